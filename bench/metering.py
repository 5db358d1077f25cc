"""Writing a batch of 10,000 readings."""

from itertools import count

import numpy as np
import psycopg
from django.db import transaction

from apps.assets.partitions import bucket_of
from apps.metering import readings
from apps.metering.readings import Row
from bench.baselines import metering as baseline
from bench.measure import Figure, compare

READINGS = 10_000
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


def figures(rounds: int, url: str) -> list[Figure]:
    rows = batch()
    readings.prepare_partitions(SLOTS.start, SLOTS.stop)
    areas = count(1)
    plain = iter([columns(area, rows) for area in range(1, rounds + 2)])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(baseline.TABLE)
        return [
            compare(
                "metering.batch",
                lambda: write(next(areas), rows),
                lambda: baseline.copy(connection, next(plain)),
                rounds=rounds,
                aim=0.5,
                unit="readings",
                count=len(rows),
                conditions="10,000 readings of 53 points in one transaction; ours looks for earlier versions first; the"
                " baseline is a binary COPY of ready rows into a table of the same form; PostgreSQL 18, fsync on",
            )
        ]
