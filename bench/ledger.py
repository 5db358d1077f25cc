"""Durable appends to the embedded ledger's journal, and how many commands it takes whole."""

import secrets
import threading
from collections.abc import Sequence

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.baselines import ledger as baseline
from bench.measure import Figure, compare
from evidence.commands import Command
from evidence.commands.kinds import AnchorReadings
from evidence.keys import SoftwareKey
from ledger_adapters.base import Event, Transaction
from ledger_adapters.contract import Code, Outcome
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.postgres import PostgresStore

RECORDS = 1_000
TRANSACTIONS, THREADS = 64, 8
TIME = 1_800_000_000


def open_ledger(url: str, schema: str) -> EmbeddedLedger:
    store = PostgresStore(url, schema)
    ledger = EmbeddedLedger("bench", store, SoftwareKey.generate(), Ed25519PrivateKey.generate())
    ledger.create()
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    return ledger


def records(first: int, count: int = RECORDS) -> list[Event]:
    """Applied commands of the size of an anchor's."""
    transaction = secrets.token_bytes(32)
    return [
        Event(first + n, transaction, Outcome(secrets.token_bytes(32), Code.APPLIED, TIME, secrets.token_bytes(704)))
        for n in range(count)
    ]


def plain(events: Sequence[Event]) -> list[baseline.Record]:
    return [
        (e.position, e.outcome.time, int(e.outcome.code), e.transaction, e.outcome.id, e.outcome.envelope)
        for e in events
    ]


def append(ledger: EmbeddedLedger, events: Sequence[Event]) -> None:
    """The journal's part of a group commit: entries, tiles, root, signature, head, one durable transaction."""
    with ledger._store.writing() as writer:
        head = writer.head()
        assert head is not None
        ledger._extend(writer, head.size, events, TIME)


def figures(rounds: int, url: str) -> list[Figure]:
    ledger = open_ledger(url, "bench_append")
    groups = [records(number * RECORDS) for number in range(rounds + 1)]
    ours, others = iter(groups), iter([plain(group) for group in groups])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(baseline.TABLE)
        figure = compare(
            "ledger.append",
            lambda: append(ledger, next(ours)),
            lambda: baseline.append(connection, next(others)),
            rounds=rounds,
            aim=0.3,
            unit="records",
            count=RECORDS,
            conditions=f"{RECORDS} prepared records of 704 bytes in one group commit; the journal alone (entries,"
            " tiles, root, signature, head), without the contract's checks; the baseline is a binary COPY with SHA-256"
            " of each record; PostgreSQL 18, fsync on",
        )
    return [figure, submit_rate(url, rounds)]


def submit_rate(url: str, rounds: int) -> Figure:
    """Whole commands through `submit`: eight threads in group commit against one that waits for each commit."""
    together, alone = open_ledger(url, "bench_together"), open_ledger(url, "bench_alone")
    many = [transactions(together) for _ in range(rounds + 1)]
    single = [transactions(alone) for _ in range(rounds + 1)]
    ours, others = iter(many), iter(single)
    return compare(
        "ledger.submit",
        lambda: submit(together, next(ours), THREADS),
        lambda: submit(alone, next(others), 1),
        rounds=rounds,
        aim=None,
        unit="commands",
        count=TRANSACTIONS * 10,
        conditions=f"{TRANSACTIONS} transactions of 10 anchors through submit with all checks of the contract:"
        f" {THREADS} threads in group commit, the baseline one thread that waits for each commit; fsync on",
    )


def transactions(ledger: EmbeddedLedger) -> list[Transaction]:
    market = ledger.genesis().market

    def anchor() -> bytes:
        fields = AnchorReadings(secrets.token_bytes(32), 20_000, 0, 900, 1, secrets.token_bytes(32))
        return Command(market, secrets.token_bytes(32), fields).envelope.encode()

    return [ledger.prepare([anchor() for _ in range(10)]) for _ in range(TRANSACTIONS)]


def submit(ledger: EmbeddedLedger, prepared: Sequence[Transaction], threads: int) -> None:
    def work(number: int) -> None:
        for transaction in prepared[number::threads]:
            ledger.submit(transaction)

    started = [threading.Thread(target=work, args=[number]) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
