// Compiles the contracts: `node compile.mjs [FOLDER [SOURCES...]]` writes ABI and bytecode of each contract under the
// source folders (src by default) to FOLDER (build by default). Warnings are errors.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const here = dirname(fileURLToPath(import.meta.url));
const [target = join(here, "build"), ...chosen] = process.argv.slice(2);
const folders = chosen.length > 0 ? chosen : ["src"];

const paths = folders
  .flatMap((folder) => readdirSync(join(here, folder), { recursive: true }).map((name) => join(folder, name)))
  .filter((path) => path.endsWith(".sol"))
  .sort();

const input = {
  language: "Solidity",
  sources: Object.fromEntries(paths.map((path) => [path, { content: readFileSync(join(here, path), "utf8") }])),
  settings: {
    // The last version before `basefee`, `push0` and `mcopy`, which GoQuorum does not run.
    evmVersion: "berlin",
    optimizer: { enabled: true, runs: 200 },
    // Without a hash of the sources' text the same code gives the same bytes.
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};

function imported(path) {
  try {
    return { contents: readFileSync(join(here, path.startsWith("@") ? "node_modules" : ".", path), "utf8") };
  } catch (error) {
    return { error: error.message };
  }
}

const output = JSON.parse(solc.compile(JSON.stringify(input), { import: imported }));
if (output.errors?.length) {
  for (const { formattedMessage } of output.errors) console.error(formattedMessage);
  process.exit(1);
}

mkdirSync(resolve(target), { recursive: true });
for (const path of paths) {
  for (const [name, { abi, evm }] of Object.entries(output.contracts[path] ?? {})) {
    // Libraries of internal functions are part of the contracts that use them.
    if (abi.length === 0) continue;
    const artefact = { contractName: name, sourceName: path, abi, bytecode: `0x${evm.bytecode.object}` };
    writeFileSync(join(target, `${name}.json`), `${JSON.stringify(artefact, null, 1)}\n`);
  }
}
