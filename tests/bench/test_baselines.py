"""Both sides of each benchmark give equal results on a small input."""

from collections.abc import Iterator
from hashlib import sha256

import psycopg
import pytest
from django.db import connection

from apps.metering import readings
from bench import ledger, metering, settlement
from bench.baselines import ledger as plain_ledger
from bench.baselines import metering as plain_metering
from bench.measure import compare
from bench.sample import sample_days
from ledger_adapters.embedded.postgres import PostgresStore
from market_math.waterfall import run_waterfall
from tests.ledger.support import database_url


@pytest.fixture
def plain(django_db_setup: None) -> Iterator[psycopg.Connection]:
    """A connection beside Django's, whose tables are dropped again."""
    with psycopg.connect(database_url(), autocommit=True) as connection:
        yield connection
        connection.execute("DROP TABLE IF EXISTS bench_reading, bench_entry")


def test_both_settle_alike() -> None:
    # Into the change to summer time: the last day has 92 slots.
    days = sample_days(42, points=60, plants=12, purchases=90)[-4:]
    assert [day.generation.shape[1] for day in days] == [96, 96, 96, 92]
    found = run_waterfall(*settlement.stacked(days))
    plain = settlement.settle_plain([settlement.plain(day) for day in days])
    first = [sum(len(day.purchases) for day in days[:number]) for number in range(len(days))]
    expected = {
        (first[number] + key, slot): energy
        for number, settled in enumerate(plain)
        for (key, slot), energy in settled.delivered.items()
    }
    rows = found.deliveries
    delivered = zip(rows.purchase.tolist(), rows.slot.tolist(), rows.allocated.tolist(), strict=True)
    assert {(purchase, slot): energy for purchase, slot, energy in delivered} == expected
    assert sum(expected.values()) > 0
    for number, (day, settled) in enumerate(zip(days, plain, strict=True)):
        slots = day.generation.shape[1]
        for name, count in (("own_use", 12), ("fed_in", 12), ("supplied", 60)):
            ours = getattr(found, name)[number * count : (number + 1) * count, :slots]
            theirs = [list(by_row.values()) for by_row in getattr(settled, name)]
            assert ours.T.tolist() == theirs, name


@pytest.mark.django_db
def test_both_write_the_same_readings(plain: psycopg.Connection) -> None:
    rows = metering.batch(500)
    readings.prepare_partitions(metering.SLOTS.start, metering.SLOTS.stop)
    metering.write(7, rows)
    plain.execute(plain_metering.TABLE)
    plain_metering.copy(plain, metering.columns(7, rows))
    everything = "SELECT {} FROM {} ORDER BY area, point, register, slot"
    names = "slot, value, batch, area, point, bucket, register, version, quality"
    with connection.cursor() as cursor:
        cursor.execute(everything.format(names, "metering_reading WHERE area = 7"))
        ours = cursor.fetchall()
    assert len(ours) == 500
    assert ours == plain.execute(everything.format(names, "bench_reading")).fetchall()


def test_both_keep_the_same_records(plain: psycopg.Connection) -> None:
    adapter = ledger.open_ledger(database_url(), "bench_test")
    store = adapter._store
    assert isinstance(store, PostgresStore)
    try:
        events = ledger.records(0, 50)
        ledger.append(adapter, events[:30])
        ledger.append(adapter, events[30:])
        assert adapter.events(0, 100).events == tuple(events)
        plain.execute(plain_ledger.TABLE)
        plain_ledger.append(plain, ledger.plain(events))
        query = "SELECT position, time, code, transaction, id, envelope, digest FROM bench_entry ORDER BY position"
        stored = plain.execute(query).fetchall()
        assert [row[:6] for row in stored] == ledger.plain(adapter.events(0, 100).events)
        assert [row[6] for row in stored] == [sha256(event.outcome.envelope).digest() for event in events]
        assert len(adapter.prove([events[3].outcome.id]).events) == 1
    finally:
        store.drop()


def test_all_commands_of_the_submit_rate_are_applied(django_db_setup: None) -> None:
    adapter = ledger.open_ledger(database_url(), "bench_test")
    store = adapter._store
    assert isinstance(store, PostgresStore)
    try:
        ledger.submit(adapter, ledger.transactions(adapter)[:6], threads=3)
        assert {event.outcome.code for event in adapter.events(0, 100).events} == {0}
        assert adapter.health().size == 60
    finally:
        store.drop()


def test_a_ratio_says_how_many_times_faster_ours_is() -> None:
    calls: list[str] = []

    def run(name: str, loops: int) -> None:
        calls.append(name)
        sum(range(loops))

    figure = compare(
        "name",
        lambda: run("ours", 1_000),
        lambda: run("baseline", 1_000_000),
        rounds=3,
        aim=2,
        unit="loops",
        count=1,
        conditions="none",
    )
    assert calls == ["ours", "baseline", "ours", "baseline", "baseline", "ours", "ours", "baseline"]
    assert figure.ratio > 2
    assert figure.verdict == "holds"
    assert figure.lines()[0].split() == ["name", f"{figure.ratio:.3g}", "2", "holds"]
