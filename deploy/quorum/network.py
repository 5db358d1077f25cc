"""A GoQuorum network on this machine: `python -m deploy.quorum.network start --folder F`.

All nodes run here and are reachable over loopback only. The folder holds all there is of them: keys, chain, logs, and
`network.json` with what a client needs. README.md beside this file is the operator's page.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

import psutil

from deploy.quorum.foreign import Foreign, read_enodes, settings_of
from deploy.quorum.genesis import BLOCK_GAS_LIMIT, Key, Settings, genesis
from deploy.quorum.node import (
    LOOPBACK,
    NetworkError,
    Node,
    NodeStatus,
    block_number,
    call,
    free_ports,
    validators,
    wait_until,
    with_free_ports,
)
from energymarket.supervisor.processes import Record, SupervisorError, end_stale, make_private_folder, read_records

APIS = "eth,net,web3,istanbul,txpool"
ENVIRONMENT = {"PRIVATE_CONFIG": "ignore"}  # no private transactions

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 30.0
VOTE_TIMEOUT = 60.0


class Network:
    """The nodes of one folder.

    network = Network.create(folder, Settings())  # or Network.load(folder)
    network.start()

    With `foreign` the nodes here are members of a network that others run, and seal nothing.
    """

    def __init__(
        self, folder: Path, settings: Settings, nodes: Iterable[Node] = (), foreign: Foreign | None = None
    ) -> None:
        self.folder = folder.resolve()
        self.settings = settings
        self.nodes = list(nodes)
        self.foreign = foreign
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    def create(cls, folder: Path, settings: Settings) -> Self:
        """Make keys, genesis block and data folders of a new network. Raises NetworkError."""
        if settings.validators < 1:
            raise NetworkError("A network needs at least one validator.")
        network = cls(folder, settings)
        network._make_folders()
        senders = [Key.generate() for _ in range(settings.senders)]
        for number, sender in enumerate(senders, 1):
            (network.folder / "keys" / f"sender{number}").write_text(sender.secret, encoding="ascii")
        for number in range(1, settings.validators + 1):
            network.nodes.append(network._new_node(f"node{number}", is_permitted=True))
        first_block = genesis(settings, [node.address for node in network.nodes], [key.address for key in senders])
        write_json(network.folder / "genesis.json", first_block)
        for node in network.nodes:
            network._initialise(node)
        network._write()
        return network

    @classmethod
    def attach(cls, folder: Path, genesis_file: Path, foreign: Foreign, gas_price: int = 0) -> Self:
        """Make key and data folder of a node that joins others' network. Raises NetworkError."""
        network = cls(folder, settings_of(genesis_file, gas_price), foreign=foreign)
        network._make_folders()
        shutil.copy(genesis_file, network.folder / "genesis.json")
        network.add("node1")
        return network

    def _make_folders(self) -> None:
        if (self.folder / "network.json").exists():
            raise NetworkError(f"{self.folder} holds a network already.")
        make_private_folder(self.folder, os.geteuid(), os.getegid())
        for part in ("nodes", "logs", "pids", "keys"):
            (self.folder / part).mkdir(exist_ok=True)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The network of an existing folder. Raises NetworkError."""
        try:
            content = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NetworkError(f"{folder} holds no network.") from None
        names = [field.name for field in fields(Node)]
        nodes = [Node(**{name: entry[name] for name in names}) for entry in content["nodes"]]
        theirs = content.get("foreign")
        foreign = Foreign(tuple(theirs["enodes"]), theirs["contract"]) if theirs else None
        return cls(folder, Settings(**content["settings"]), nodes, foreign)

    def start(self) -> None:
        """Start the nodes that are not running and wait until all have a new block. Raises NetworkError."""
        if not self.running():
            self.nodes = [with_free_ports(node) for node in self.nodes]
        self._write()
        for node in self.nodes:
            if self.pid(node) is None:
                self._spawn(node)
        self._write()
        for node in self.nodes:
            self._wait_until_answering(node)
            if self.foreign:
                self._wait_until_connected(node)
        self.wait_for_blocks(1)

    def stop(self) -> None:
        """Stop all that was started, at once; each node takes its time to write its state down."""
        for record in self._records():
            if process := record.process():
                process.send_signal(signal.SIGTERM)
        for record in self._records():
            self._end(record, signal.SIGTERM)
        self._write()

    def kill(self, name: str) -> None:
        """End a node as a power cut does."""
        self._end_node(self.node(name), signal.SIGKILL)
        self._write()

    def restart(self, name: str) -> None:
        """Stop a node where it runs and start it with the same ports; returns as soon as it answers."""
        node = self.node(name)
        self._end_node(node, signal.SIGTERM)
        self._spawn(node)
        self._write()
        self._wait_until_answering(node)

    def join(self, name: str) -> None:
        """Start a further node, which follows the chain; `vote` can make it a validator. Raises NetworkError."""
        self.add(name)
        self.permit(name, True)
        self.restart(name)

    def add(self, name: str) -> None:
        """Make key and data folder of a further node, which neither runs nor is permitted yet. Raises NetworkError."""
        if not name.isidentifier() or any(node.name == name for node in self.nodes):
            raise NetworkError(f"{name!r} is taken, or no name for a node.")
        node = self._new_node(name, is_permitted=False)
        self._initialise(node)
        self.nodes.append(node)
        self._write()

    def permit(self, name: str, allowed: bool) -> None:
        """Say whether the nodes of a permissioned network connect to this one. What is connected already stays so."""
        self.nodes[self.nodes.index(self.node(name))] = replace(self.node(name), is_permitted=allowed)
        self._write()

    def vote(self, name: str, *, is_in: bool) -> None:
        """Make a node a validator, or no longer one, by the votes of all that run. Raises NetworkError.

        It needs more than half of the validators; each casts its vote in a block that it proposes.
        """
        address = self.node(name).address
        voters = self.running()
        for voter in voters:
            call(voter, "istanbul_propose", address, is_in)
        try:
            wait_until(
                lambda: all((address in validators(voter)) == is_in for voter in voters),
                VOTE_TIMEOUT,
                f"{name} is {'not yet' if is_in else 'still'} a validator",
            )
        finally:
            for voter in voters:
                call(voter, "istanbul_discard", address)

    def wait_for_blocks(self, count: int, timeout: float = START_TIMEOUT) -> None:
        """Wait until every running node is `count` blocks further than the furthest now. Raises NetworkError."""
        running = self.running()
        aim = max((block_number(node) for node in running), default=0) + count
        wait_until(
            lambda: all(block_number(node) >= aim for node in running), timeout, f"not every node has block {aim}"
        )

    def status(self) -> list[NodeStatus]:
        return [self._status(node) for node in self.nodes]

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise NetworkError(f"There is no node {name!r}, only {', '.join(node.name for node in self.nodes)}.")

    def running(self) -> list[Node]:
        return [node for node in self.nodes if self.pid(node)]

    def pid(self, node: Node) -> int | None:
        """The process of a node, None when it does not run."""
        return next((record.pid for record in self._records() if record.name == node.name and record.process()), None)

    def log(self, node: Node) -> Path:
        return self.folder / "logs" / f"{node.name}.log"

    def options(self) -> dict[str, Any]:
        """What a Quorum ledger of `LEDGERS` has to know of the network."""
        contract = {"CONTRACT": self.foreign.contract} if self.foreign and self.foreign.contract else {}
        return {
            "RPC": [node.rpc for node in self.nodes],
            "CHAIN_ID": self.settings.chain_id,
            "GAS_PRICE": self.settings.gas_price,
            **contract,
            "BLOCK_GAS": BLOCK_GAS_LIMIT,
        }

    def sender_keys(self) -> list[str]:
        """The secret keys of the accounts that own ether from the start, 64 hexadecimal digits each."""
        return [path.read_text(encoding="ascii") for path in self._sender_files()]

    def _status(self, node: Node) -> NodeStatus:
        pid = self.pid(node)
        if pid is None:
            return NodeStatus(node.name, None)
        try:
            peers = int(call(node, "net_peerCount"), 16)
            return NodeStatus(node.name, pid, block_number(node), peers, node.address in validators(node))
        except NetworkError:
            return NodeStatus(node.name, pid)

    def _home(self, node: Node) -> Path:
        return self.folder / "nodes" / node.name

    def _sender_files(self) -> list[Path]:
        return [self.folder / "keys" / f"sender{number}" for number in range(1, self.settings.senders + 1)]

    def _records(self) -> list[Record]:
        return read_records(self.folder / "pids")

    def _new_node(self, name: str, *, is_permitted: bool) -> Node:
        key = Key.generate()
        taken = {port for node in self.nodes for port in (node.p2p_port, node.http_port, node.ws_port)}
        node = Node(name, key.address, key.public, *free_ports(taken), is_permitted)
        home = self._home(node)
        home.mkdir()
        (home / "nodekey").write_text(key.secret, encoding="ascii")
        return node

    def _initialise(self, node: Node) -> None:
        finished = subprocess.run(  # noqa: S603 found on PATH
            [find_geth(), "--datadir", self._home(node), "init", self.folder / "genesis.json"],
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
        )
        if finished.returncode:
            raise NetworkError(f"geth does not take the genesis block of {node.name}:\n{finished.stderr[-2000:]}")

    def _spawn(self, node: Node) -> None:
        # The command line has the p2p port only, and would have geth listen on all addresses.
        config = f'[Node.P2P]\nListenAddr = "{LOOPBACK}:{node.p2p_port}"\n'
        (self._home(node) / "config.toml").write_text(config, encoding="ascii")
        with self.log(node).open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 found on PATH
                [find_geth(), *self._options(node)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._home(node),
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
            )
        self._children[node.name] = child
        started = psutil.Process(child.pid).create_time()
        Record(node.name, child.pid, started, 0, signal.SIGTERM).write(self.folder / "pids")

    def _options(self, node: Node) -> list[str]:
        options = {
            "config": "config.toml",
            "datadir": str(self._home(node)),
            "nodekey": "nodekey",
            "networkid": str(self.settings.chain_id),
            "syncmode": "full",
            # Else a killed node loses the state of its latest blocks; all of them killed, the chain would lose them.
            "gcmode": "full" if self.foreign else "archive",
            "snapshot": "false",
            "cache": "64",
            "nat": "none",
            "netrestrict": ",".join(_networks([LOOPBACK, *(self.foreign.hosts if self.foreign else ())])),
            "http.addr": LOOPBACK,
            "http.port": str(node.http_port),
            "http.api": APIS,
            "ws.addr": LOOPBACK,
            "ws.port": str(node.ws_port),
            "ws.api": APIS,
            "rpc.gascap": str(BLOCK_GAS_LIMIT),
            "rpc.txfeecap": "0",
            "txpool.accountslots": "20000",
            "txpool.globalslots": "50000",
            "txpool.accountqueue": "20000",
            "txpool.globalqueue": "50000",
        }
        switches = ["nodiscover", "ipcdisable", "http", "ws"]
        if self.foreign is None:
            switches.append("mine")
            options |= {
                "miner.threads": "1",
                "miner.gastarget": str(BLOCK_GAS_LIMIT),
                "miner.gaslimit": str(BLOCK_GAS_LIMIT),
                "miner.gasprice": str(self.settings.gas_price),
            }
        if self.settings.gas_price:
            # A node takes any price from its own clients unless told not to.
            switches.append("txpool.nolocals")
            options["txpool.pricelimit"] = str(self.settings.gas_price)
        if self.settings.is_permissioned:
            switches.append("permissioned")
        return [f"--{name}={value}" for name, value in options.items()] + [f"--{name}" for name in switches]

    def _wait_until_answering(self, node: Node) -> None:
        def answers() -> bool:
            if self.pid(node) is None:
                end = self.log(node).read_text(encoding="utf-8", errors="replace")[-2000:]
                raise NetworkError(f"{node.name} ended as soon as it was started:\n{end}")
            try:
                block_number(node)
            except NetworkError:
                return False
            return True

        wait_until(answers, START_TIMEOUT, f"{node.name} does not answer; its log is {self.log(node)}")

    def _wait_until_connected(self, node: Node) -> None:
        complaint = f"nobody connects to {node.name}; is the genesis file theirs, and do they permit {node.enode}"
        wait_until(lambda: int(call(node, "net_peerCount"), 16) > 0, START_TIMEOUT, complaint)

    def _end_node(self, node: Node, number: signal.Signals) -> None:
        for record in self._records():
            if record.name == node.name:
                self._end(record, number)

    def _end(self, record: Record, number: signal.Signals) -> None:
        if process := record.process():
            end_stale(process, number, STOP_TIMEOUT)
        if child := self._children.pop(record.name, None):
            child.wait()
        record.remove(self.folder / "pids")

    def _write(self) -> None:
        """Bring network.json and the nodes' lists of each other up to date."""
        entries = [
            {**asdict(node), "enode": node.enode, "rpc": node.rpc, "ws": node.ws, "pid": self.pid(node)}
            for node in self.nodes
        ]
        content = {
            "chain_id": self.settings.chain_id,
            "nodes": entries,
            "sender_keys": [str(path.relative_to(self.folder)) for path in self._sender_files()],
            "settings": asdict(self.settings),
            **({"foreign": asdict(self.foreign)} if self.foreign else {}),
        }
        write_json(self.folder / "network.json", content)
        theirs = self.foreign.enodes if self.foreign else ()
        for node in self.nodes:
            write_json(self._home(node) / "static-nodes.json", [*theirs, *(other.enode for other in self.nodes)])
            permitted = [other.enode for other in self.nodes if other.is_permitted]
            write_json(self._home(node) / "permissioned-nodes.json", permitted)


def find_geth() -> str:
    """The path of GoQuorum's geth. Raises NetworkError when PATH has none, or another."""
    found = shutil.which("geth")
    if found is None:
        raise NetworkError("There is no geth on PATH.")
    version = subprocess.run([found, "version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    if "Quorum Version:" not in version:
        raise NetworkError(f"{found} is not GoQuorum's geth.")
    return found


def _networks(hosts: Iterable[str]) -> Iterator[str]:
    for host in hosts:
        yield str(ip_network(host))


def write_json(path: Path, content: Any) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.quorum.network", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, argument_default=argparse.SUPPRESS)
        added.add_argument("--folder", type=Path, required=True, help="where the network lives")
        return added

    start = command("start", "start the network of the folder; where there is none, make it with these options")
    start.add_argument("--consensus", choices=("qbft", "ibft"))
    start.add_argument("--validators", type=int, help="how many nodes there are at first (4)")
    start.add_argument("--gas-price", type=int, help="the least price of gas in wei; 0: gas is free (0)")
    start.add_argument("--chain-id", type=int)
    start.add_argument("--senders", type=int, help="how many accounts own ether from the start (4)")
    start.add_argument(
        "--permissioned", dest="is_permissioned", action="store_true", help="connect to listed nodes only"
    )
    attach = command("attach", "start a node that joins a network which others run")
    attach.add_argument("--genesis", type=Path, required=True, help="their genesis file")
    attach.add_argument("--enode", action="append", help="a node of theirs to connect to; may be given several times")
    attach.add_argument("--nodes", type=Path, action="append", help="a file like static-nodes.json with such nodes")
    attach.add_argument("--contract", help="the market's address, where one is there")
    attach.add_argument("--gas-price", type=int, help="the least price of gas that they take, in wei (0)")
    command("options", "print what ENERGYMARKET_LEDGER_OPTIONS has to hold for this network")
    command("stop", "stop all nodes")
    command("status", "show how each node is doing")
    for name, text in (
        ("kill", "end a node as a power cut does"),
        ("restart", "stop a node where it runs and start it"),
        ("join", "start a further node, which follows the chain"),
        ("permit", "let the nodes of a permissioned network connect to this one"),
        ("forbid", "no longer let them"),
    ):
        command(name, text).add_argument("node")
    vote = command("vote", "have all nodes that run vote on who may seal blocks")
    vote.add_argument("node")
    way = vote.add_mutually_exclusive_group(required=True)
    way.add_argument("--in", dest="is_in", action="store_true")
    way.add_argument("--out", dest="is_in", action="store_false")
    return parser


def opened(folder: Path, given: dict[str, Any]) -> Network:
    """The network of the folder, made with the given settings where there is none. Raises NetworkError."""
    if not (folder / "network.json").exists():
        return Network.create(folder, Settings(**given))
    network = Network.load(folder)
    for name, value in given.items():
        if (kept := getattr(network.settings, name)) != value:
            raise NetworkError(f"This network was made with {name}={kept}, which cannot be changed to {value}.")
    return network


def attached(folder: Path, given: dict[str, Any]) -> Network:
    """A network of the folder with a node that joins others'. Raises NetworkError."""
    foreign = Foreign(read_enodes(given.get("enode", []), given.get("nodes", [])), given.get("contract", ""))
    return Network.attach(folder, given["genesis"], foreign, given.get("gas_price", 0))


def run(command: str, folder: Path, given: dict[str, Any]) -> None:
    match command:
        case "start":
            opened(folder, given).start()
        case "attach":
            attached(folder, given).start()
        case "vote":
            Network.load(folder).vote(given["node"], is_in=given["is_in"])
        case "permit" | "forbid":
            Network.load(folder).permit(given["node"], command == "permit")
        case "kill" | "restart" | "join":
            getattr(Network.load(folder), command)(given["node"])
        case "options":
            print(json.dumps(Network.load(folder).options(), indent=2))
            return
        case "stop":
            Network.load(folder).stop()
    show(Network.load(folder).status())


def show(nodes: Sequence[NodeStatus]) -> None:
    print(f"{'node':12}{'process':>9}{'block':>9}{'peers':>7}  role")
    for node in nodes:
        role = {True: "validator", False: "follows", None: "does not answer" if node.pid else "does not run"}
        numbers = ("-" if number is None else number for number in (node.pid, node.block, node.peers))
        print("{:12}{:>9}{:>9}{:>7}  {}".format(node.name, *numbers, role[node.is_validator]))


def main() -> None:
    given = vars(arguments().parse_args())
    try:
        run(given.pop("command"), given.pop("folder"), given)
    except (NetworkError, SupervisorError) as error:
        sys.exit(f"quorum: {error}")


if __name__ == "__main__":
    main()
