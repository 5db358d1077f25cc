"""A local EVM node for tests marked `evm`: anvil, which mines at once and reorganises on request."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

CHAIN_ID = 31_337
BLOCK_GAS_LIMIT = 800_000_000
CODE_SIZE_LIMIT = 128 * 1024  # bytes, as in the networks of deploy/quorum
START_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class EvmNode:
    """A running node and the accounts that own ether on it: secret keys of 64 hexadecimal digits."""

    rpc: str
    ws: str
    chain_id: int
    sender_keys: tuple[str, ...]

    def call(self, method: str, *arguments: object) -> object:
        """The answer to one JSON-RPC request; what the node refuses fails the test."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments}
        answer = httpx.post(self.rpc, json=request, timeout=60, trust_env=False).raise_for_status().json()
        assert "error" not in answer, answer["error"]
        return answer["result"]


@pytest.fixture(scope="session")
def evm_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvmNode]:
    """One node for the whole run; to be used together with the marker `evm`."""
    with running_evm_node(tmp_path_factory.mktemp("evm")) as node:
        yield node


@contextmanager
def running_evm_node(folder: Path, options: Sequence[str] = (), *, is_free: bool = True) -> Iterator[EvmNode]:
    """A node of one's own, for tests that reorganise its chain, stop its mining or its clock.

    Where gas is not free, blocks have a base fee.
    """
    program = shutil.which("anvil")
    if program is None:
        pytest.skip("there is no anvil on PATH")
    port = free_port()
    accounts = folder / "accounts.json"
    command = [
        program,
        f"--port={port}",
        "--host=127.0.0.1",
        f"--chain-id={CHAIN_ID}",
        *(("--hardfork=berlin", "--gas-price=0") if is_free else ("--hardfork=london",)),
        f"--gas-limit={BLOCK_GAS_LIMIT}",
        f"--code-size-limit={CODE_SIZE_LIMIT}",
        "--order=fifo",
        f"--cache-path={folder / 'states'}",
        f"--config-out={accounts}",
        *options,
    ]
    log = folder / "anvil.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            await_port(port, process, log)
            keys = await_keys(accounts)
            senders = tuple(key.removeprefix("0x") for key in keys)
            yield EvmNode(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", CHAIN_ID, senders)
        finally:
            process.terminate()


def await_keys(accounts: Path) -> list[str]:
    """The node may listen a moment before it has written the file."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            keys: list[str] = json.loads(accounts.read_text(encoding="utf-8"))["private_keys"]
        except (FileNotFoundError, json.JSONDecodeError):
            assert time.monotonic() < deadline, f"anvil does not write {accounts}"
            time.sleep(0.05)
        else:
            return keys


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        assert process.poll() is None, f"anvil ended as soon as it was started:\n{log.read_text(encoding='utf-8')}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"anvil does not listen on port {port} after {START_TIMEOUT:.0f} s"
            time.sleep(0.05)
        else:
            return
