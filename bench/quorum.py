"""Quorum: commands together and alone, and readings by root."""

from collections.abc import Iterator, Sequence
from functools import partial

from bench import chains, outbox
from bench.baselines import quorum as baseline
from bench.measure import Figure, Found, Skipped
from bench.networks import Quorum, Unavailable, running_quorum
from bench.servers import Servers
from evidence.commands import Batch
from ledger_adapters.quorum.adapter import QuorumLedger
from ledger_adapters.quorum.market import artefact

ALONE = 4
# Each costs a validator some milliseconds. With more than it executes within a block's second no block holds any.
AT_ONCE = 50
NAMES = (*outbox.names("quorum"), *chains.names("quorum"))
PERIOD = 1.0  # seconds between two blocks


def sender(ledger: QuorumLedger) -> baseline.Sender:
    return baseline.Sender(ledger.options.rpc[0], ledger.market.address, artefact("IMarket")["abi"])


def send_alone(sender: baseline.Sender, batches: Sequence[Batch]) -> None:
    for batch in batches:
        sender.submit(*pair(batch))


def send_at_once(sender: baseline.Sender, batches: Sequence[Batch]) -> None:
    sender.submit_all([pair(batch) for batch in batches])


def pair(batch: Batch) -> tuple[bytes, bytes]:
    """The envelope of a batch's one command, and the operator's signature."""
    (envelope,) = batch.envelopes
    return envelope, batch.signature


def figures(servers: Servers, rounds: int) -> Iterator[Found]:
    try:
        with running_quorum() as quorum:
            plain = sender(quorum.ledger)
            yield from outbox.figures(network(quorum, plain), servers, rounds)
            yield from throughput(quorum, plain, rounds)
    except Unavailable as error:
        for name in NAMES:
            yield Skipped(name, str(error))


def network(quorum: Quorum, plain: baseline.Sender) -> outbox.Network:
    conditions = f"a transfer of nothing to oneself; {quorum.conditions}"
    return outbox.Network("quorum", quorum.ledger, quorum.options, plain.submit_empty, PERIOD, conditions)


def throughput(quorum: Quorum, plain: baseline.Sender, rounds: int) -> list[Figure]:
    ledger = quorum.ledger
    ways = chains.ways(ledger)
    ways["alone"] = chains.one_each(ledger, ALONE, partial(send_alone, plain))
    ways["at_once"] = chains.one_each(ledger, AT_ONCE, partial(send_at_once, plain))
    sides = chains.race(ledger, ways, rounds)
    return chains.figures("quorum", sides, f"{quorum.conditions}; {rounds} rounds")
