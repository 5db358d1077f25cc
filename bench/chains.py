"""What is measured on every chain: commands together or each alone, and readings by their root."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bench.measure import Figure, Side, in_turn
from evidence import merkle
from evidence.commands import Batch, Command, parse, signed_batch
from evidence.commands.kinds import AnchorReadings
from evidence.keys import SoftwareKey
from evidence.readings import Reading, Register, Statement, Unit, anchor_leaf, batch_root
from ledger_adapters.base import Lane, LedgerAdapter, Limits
from ledger_adapters.contract.records import AppliedId
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.quorum.adapter import QuorumLedger

SIZES = (1, 10, 100, 1_000)
MOST = SIZES[-1]
LANES = 8
DEVICES = 500
SLOTS = range(1_622_498_400, 1_622_498_400 + 96 * 900, 900)
DAY = 18_779
READ_AT_ONCE = 400  # keys
AIM_OF_MOST = 20
AIM_OF_READINGS = 1_000

Chain = FabricLedger | QuorumLedger
# Puts units on a ledger and returns the envelopes that it sent.
Run = Callable[[], Sequence[bytes]]


@dataclass(frozen=True)
class Way:
    """A way of getting `count` units onto a ledger. `prepare` gives a run for one round, and is not measured."""

    count: int
    prepare: Callable[[], Run]


def race(ledger: LedgerAdapter, ways: Mapping[str, Way], rounds: int) -> dict[str, Side]:
    """How long each way takes, in turn. Raises `RuntimeError` when one of the commands was not applied."""
    prepared = {name: iter([way.prepare() for _ in range(rounds + 1)]) for name, way in ways.items()}
    sent: list[bytes] = []

    def run(name: str) -> None:
        sent.extend(next(prepared[name])())

    seconds = in_turn({name: partial(run, name) for name in ways}, rounds)
    check_applied(ledger, sent)
    return {name: Side(seconds[name], way.count) for name, way in ways.items()}


def check_applied(ledger: LedgerAdapter, envelopes: Sequence[bytes]) -> None:
    keys = [AppliedId.key(command.id) for command in map(parse, envelopes) if command is not None]
    found: dict[bytes, bytes | None] = {}
    for start in range(0, len(keys), READ_AT_ONCE):
        found |= ledger.read(keys[start : start + READ_AT_ONCE])
    if missing := len(envelopes) - sum(value is not None for value in found.values()):
        raise RuntimeError(f"{missing} of {len(envelopes)} commands were not applied")


def ways(ledger: LedgerAdapter, devices: int = DEVICES, sizes: Sequence[int] = SIZES) -> dict[str, Way]:
    """Our side: so many commands together, by their number, and readings by their root."""
    return {**{str(size): together(ledger, size) for size in sizes}, "readings": by_root(ledger, devices)}


def names(chain: str) -> list[str]:
    """Of the figures below."""
    sizes = [f"commands_{size}" for size in SIZES]
    return [f"{chain}.{name}" for name in (*sizes, f"commands_{MOST}.at_once", "readings", "readings.at_once")]


def figures(chain: str, sides: Mapping[str, Side], conditions: str) -> list[Figure]:
    """`sides` are those of `ways` and two baselines that send each command alone: `alone` waits before the next."""
    alone, at_once = sides["alone"], sides["at_once"]
    readings, most = sides["readings"], sides[str(MOST)]
    each = f"the baseline sends {alone.count} commands in a transaction each and waits for each before the next"
    many = f"the baseline sends {at_once.count} commands in a transaction each, all at once"
    root = f"{readings.count:,} readings of {DEVICES} devices, salted, hashed and signed, anchored by one command"

    def together(size: int) -> str:
        return f"{size:,} commands in as few transactions as the node takes"

    def figure(name: str, ours: Side, baseline: Side, aim: float | None, unit: str, *texts: str) -> Figure:
        return Figure(f"{chain}.{name}", ours, baseline, aim, unit, "; ".join((*texts, conditions)))

    by_size = [
        figure(
            f"commands_{size}",
            sides[str(size)],
            alone,
            AIM_OF_MOST if size == MOST else None,
            "commands",
            together(size),
            each,
        )
        for size in SIZES
    ]
    return [
        *by_size,
        figure(f"commands_{MOST}.at_once", most, at_once, AIM_OF_MOST, "commands", together(MOST), many),
        figure("readings", readings, alone, AIM_OF_READINGS, "readings", root, f"{each}; each anchors one reading"),
        figure("readings.at_once", readings, at_once, AIM_OF_READINGS, "readings", root, f"{many}, each one reading"),
    ]


# What is sent


def anchors(ledger: LedgerAdapter, number: int) -> list[bytes]:
    """Envelopes of commands that do not wait for each other: each anchors one reading in an area of its own."""
    market = ledger.genesis().market
    return [_anchor(market, 1, secrets.token_bytes(32)) for _ in range(number)]


def _anchor(market: bytes, count: int, root: bytes) -> bytes:
    fields = AnchorReadings(secrets.token_bytes(32), DAY, SLOTS.start, SLOTS.stop, count, root)
    return Command(market, secrets.token_bytes(32), fields).envelope.encode()


def together(ledger: LedgerAdapter, number: int) -> Way:
    """Commands in as few transactions as the ledger takes."""
    return Way(number, lambda: partial(send, ledger, anchors(ledger, number)))


def one_each(ledger: Chain, number: int, send: Callable[[Sequence[Batch]], object]) -> Way:
    """Commands in a batch each, signed beforehand. `send` puts each batch on the ledger in a transaction of its own."""

    def prepare() -> Run:
        envelopes = anchors(ledger, number)
        batches = [signed_batch(ledger.genesis().ledger, [envelope], ledger.operator) for envelope in envelopes]

        def run() -> Sequence[bytes]:
            send(batches)
            return envelopes

        return run

    return Way(number, prepare)


def send(ledger: LedgerAdapter, envelopes: Sequence[bytes]) -> Sequence[bytes]:
    """In lanes at once, as the outbox does; a lane's transactions one after another."""
    packs = list(pack(envelopes, ledger.limits))

    def submit(lane: int) -> None:
        for packed in packs[lane::LANES]:
            ledger.submit(ledger.prepare(packed, Lane(lane)))

    with ThreadPoolExecutor(LANES) as threads:
        list(threads.map(submit, range(LANES)))
    return envelopes


def pack(envelopes: Sequence[bytes], limits: Limits) -> Iterator[list[bytes]]:
    packed: list[bytes] = []
    for envelope in envelopes:
        if len(packed) == limits.commands or sum(map(len, packed)) + len(envelope) > limits.bytes:
            yield packed
            packed = []
        packed.append(envelope)
    yield packed


@dataclass(frozen=True)
class Meter:
    """A device, the secret of its metering point, and a day of it."""

    device: bytes
    key: SoftwareKey
    secret: bytes
    readings: tuple[Reading, ...]

    @classmethod
    def new(cls) -> "Meter":
        point = secrets.token_bytes(32)
        registers = (Register.CONSUMPTION, Register.GENERATION)
        readings = tuple(Reading(point, register, slot, slot % 997) for register in registers for slot in SLOTS)
        return cls(secrets.token_bytes(32), SoftwareKey.generate(), secrets.token_bytes(32), readings)

    def signed_statement(self) -> tuple[Statement, bytes]:
        """What the device says about its readings, and its signature."""
        root = batch_root(self.readings, {self.readings[0].point: self.secret})
        count, key = len(self.readings), self.key.public_key.id
        statement = Statement(self.device, key, 1, SLOTS.start, SLOTS.stop, Unit.WH, count, root)
        return statement, self.key.sign(statement.digest)

    def anchor_leaf(self) -> bytes:
        statement, signature = self.signed_statement()
        return anchor_leaf(statement.digest, signature)


def by_root(ledger: LedgerAdapter, devices: int) -> Way:
    """A day's readings of so many devices: each signs the root of its own, one command anchors them all."""
    meters = [Meter.new() for _ in range(devices)]

    def run() -> Sequence[bytes]:
        root = merkle.root([meter.anchor_leaf() for meter in meters])
        return send(ledger, [_anchor(ledger.genesis().market, len(meters), root)])

    return Way(sum(len(meter.readings) for meter in meters), lambda: run)
