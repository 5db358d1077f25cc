"""Readings on their way into the table: written at once, and posted by a box; and what a box takes."""

import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import psycopg
from django.db import transaction

from apps.assets.partitions import bucket_of
from apps.metering import readings
from apps.metering.readings import Row
from bench import box
from bench.baselines import metering as plain
from bench.head_end import make_site, running_web
from bench.measure import Amount, Cost, Figure, Found, compare

READINGS = 10_000
# What is posted: so many readings in a batch, so many batches in a round.
POSTED, POINTS, BATCHES = 1_000, 11, 10
BYTES_PER_READING = """
SELECT sum(pg_total_relation_size(inhrelid)) / (SELECT count(*) FROM metering_reading)
FROM pg_inherits WHERE inhparent = 'metering_reading'::regclass
"""
SLOTS = range(1_622_498_400, 1_622_498_400 + 96 * 900, 900)


def batch(size: int = READINGS) -> list[Row]:
    """A local day of two registers of as many points as it takes, in the order of points."""
    random = np.random.default_rng(10_000)
    places = ((point, register, slot) for point in count(1) for register in (1, 2) for slot in SLOTS)
    return [
        Row(*place, value, 1) for place, value in zip(places, random.integers(0, 3_000, size).tolist(), strict=False)
    ]


def columns(area: int, rows: list[Row]) -> list[tuple[int, ...]]:
    """The same rows as the table has them, for the baseline."""
    return [(r.slot, r.value, 1, area, r.point, bucket_of(r.slot), r.register, 0, r.quality) for r in rows]


def write(area: int, rows: list[Row]) -> None:
    with transaction.atomic():
        readings.write(area, 1, rows)


def figures(rounds: int, url: str) -> Iterator[Found]:
    yield from written(rounds, url)
    yield from posted(rounds, url)
    yield box_memory()


def posted(rounds: int, url: str) -> list[Found]:
    """Batches over HTTP, against what has to be done for them in any case."""
    site = make_site(POINTS)
    batches = [site.readings(day, POSTED) for day in range((rounds + 1) * BATCHES)]
    bodies = [site.body(number, batch) for number, batch in enumerate(batches, 1)]
    ids = {bytes(point.ledger_id): point.pk for point in site.points}
    ours, baseline = [], []
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(plain.TABLE)
        with running_web(Path(folder) / "web.log") as web:
            for number in range(rounds + 1):
                part = slice(number * BATCHES, (number + 1) * BATCHES)
                before = web.cpu_seconds()
                for body in bodies[part]:
                    web.post(body)
                ours.append((web.cpu_seconds() - before) / BATCHES * 1000)
                before = time.process_time()
                for body, batch in zip(bodies[part], batches[part], strict=True):
                    plain.take(connection, body, site, batch, ids)
                baseline.append((time.process_time() - before) / BATCHES * 1000)
            memory = web.memory() / 1e6
        size = connection.execute(BYTES_PER_READING).fetchone()
    conditions = (
        f"batches of {POSTED} readings of {POINTS} points, one after another, processor time of the web server's"
        " processes; the baseline checks the signature, makes the root and copies ready rows; both without PostgreSQL's"
        " own time"
    )
    return [
        Cost("metering.post", ours[1:], baseline[1:], 2.0, "ms of processor time a batch", conditions),
        Amount("metering.bytes", size[0] if size else 0, None, "bytes a reading", "table and index, as it grows"),
        Amount("metering.web-memory", memory, None, "MB", "the web server with one process, after the batches"),
    ]


def box_memory() -> Found:
    """What a box takes that reads two meters and has sent."""
    with tempfile.TemporaryDirectory() as folder:
        return Amount(
            "metering.box-memory",
            box.resident_bytes(Path(folder)) / 1e6,
            60,
            "MB",
            "one point with two meters, running",
        )


def written(rounds: int, url: str) -> list[Figure]:
    rows = batch()
    readings.prepare_partitions(SLOTS.start, SLOTS.stop)
    areas = count(1)
    ready = iter([columns(area, rows) for area in range(1, rounds + 2)])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(plain.TABLE)
        return [
            compare(
                "metering.batch",
                lambda: write(next(areas), rows),
                lambda: plain.copy(connection, next(ready)),
                rounds=rounds,
                aim=0.5,
                unit="readings",
                count=len(rows),
                conditions="10,000 readings of 53 points in one transaction; ours looks for earlier versions first; the"
                " baseline is a binary COPY of ready rows into a table of the same form; PostgreSQL 18, fsync on",
            )
        ]
