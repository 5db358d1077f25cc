"""Fabric: commands together and alone, readings by root, and our client of the Gateway service against others."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import chains, outbox
from bench.baselines import fabric as baseline
from bench.measure import Figure, Found, Side, Skipped
from bench.networks import Fabric, Unavailable, running_fabric
from bench.servers import Servers
from evidence.commands import Batch
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.fabric.gateway import Committed, Proposal

PROJECT = Path(__file__).resolve().parents[1]
# An environment with the requirements of hfc, which clash with ours.
HFC = PROJECT / ".venv-hfc" / "bin" / "python"
ALONE, AT_ONCE = 8, 200
# With more in flight hfc loses sight of transactions that are committed.
HFC_AT_ONCE = 20
AIM_OF_CLIENT = 10
CLIENTS = ("fabric.client.hfc", "fabric.client.hfc_at_once", "fabric.client.gateway")
NAMES = (*outbox.names("fabric"), *chains.names("fabric"), *CLIENTS)
PERIOD = 0.25  # seconds until what waits is put into a block


class Hfc:
    """hfc's client in a process of its own; see `bench.baselines.hfc_client`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._hear()

    def submit(self, batches: Sequence[Batch], at_once: int) -> list[bytes]:
        """What the chaincode returned for each."""
        assert self._process.stdin is not None
        request = {"batches": [batch.encode().hex() for batch in batches], "at_once": at_once}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return [bytes.fromhex(result) for result in json.loads(self._hear())]

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"hfc's process ended with {self._process.wait()}")
        return line


@contextmanager
def running_hfc(description: Path) -> Iterator[Hfc]:
    """Raises `FileNotFoundError` where its environment is missing."""
    program = Path(baseline.__file__).with_name("hfc_client.py")
    with subprocess.Popen(  # noqa: S603 our own program
        [HFC, program, description], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Hfc(process)
        finally:
            process.terminate()


def send_at_once(ledger: FabricLedger, batches: Sequence[Batch]) -> None:
    """By our client, all in flight together."""
    identity, options = ledger.identity, ledger.options

    def start(batch: Batch) -> Future[Committed]:
        arguments = [b"submit", batch.encode()]
        proposal = Proposal.build(identity.identity, options.channel, options.chaincode, arguments).sign(identity)
        return ledger.gateway.start(lambda gateway: gateway.execute(proposal, identity))

    for each in [start(batch) for batch in batches]:
        each.result()


def send_alone(gateway: baseline.Gateway, batches: Sequence[Batch]) -> None:
    for batch in batches:
        gateway.submit(b"submit", batch.encode())


def figures(servers: Servers, rounds: int) -> Iterator[Found]:
    try:
        with running_fabric() as fabric, baseline.Gateway(fabric.options) as gateway:
            yield from outbox.figures(network(fabric, gateway), servers, rounds)
            yield from throughput(fabric, gateway, rounds)
    except Unavailable as error:
        for name in NAMES:
            yield Skipped(name, str(error))


def network(fabric: Fabric, gateway: baseline.Gateway) -> outbox.Network:
    conditions = f"which reads and writes nothing; {fabric.conditions}"
    return outbox.Network(
        "fabric", fabric.ledger, fabric.options, lambda: gateway.submit(b"read", b""), PERIOD, conditions
    )


def throughput(fabric: Fabric, gateway: baseline.Gateway, rounds: int) -> list[Found]:
    ledger = fabric.ledger
    ways = chains.ways(ledger)
    ways["alone"] = chains.one_each(ledger, ALONE, partial(send_alone, gateway))
    ways["at_once"] = chains.one_each(ledger, AT_ONCE, partial(send_at_once, ledger))
    with ExitStack() as opened:
        if HFC.exists():
            hfc = opened.enter_context(running_hfc(fabric.description))
            ways["hfc"] = chains.one_each(ledger, ALONE, partial(hfc.submit, at_once=1))
            ways["hfc_at_once"] = chains.one_each(ledger, HFC_AT_ONCE, partial(hfc.submit, at_once=HFC_AT_ONCE))
        sides = chains.race(ledger, ways, rounds)
    conditions = f"{fabric.conditions}; {rounds} rounds"
    return [*chains.figures("fabric", sides, conditions), *client_figures(sides, conditions)]


def client_figures(sides: Mapping[str, Side], conditions: str) -> list[Found]:
    """Our client with many transactions in flight against hfc, and against plain calls of the Gateway service."""
    ours = sides["at_once"]

    def against(name: str, other: str, aim: float | None, text: str) -> Found:
        if other not in sides:
            return Skipped(name, f"there is no {HFC.relative_to(PROJECT)}: `make hfc`")
        about = f"ours has {ours.count} transactions of one command in flight; {text}; {conditions}"
        return Figure(name, ours, sides[other], aim, "transactions", about)

    hfc = "the baseline is hfc 1.0.0 (fabric-sdk-py) in a process of its own"
    return [
        against(CLIENTS[0], "hfc", AIM_OF_CLIENT, f"{hfc}, which waits for each of {ALONE}"),
        against(CLIENTS[1], "hfc_at_once", AIM_OF_CLIENT, f"{hfc} with {HFC_AT_ONCE} in flight"),
        against(
            CLIENTS[2],
            "alone",
            None if "hfc" in sides else AIM_OF_CLIENT,
            f"the baseline calls the Gateway service by synchronous gRPC and waits for each of {ALONE}",
        ),
    ]
