"""The table of readings: written by `COPY`, read into arrays. Nothing here decides what is valid.

Versions that count rise from 0, and the highest stands. What a backup device read is kept in versions that fall from
-1: it is shown and can be proven, and never stands.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from apps.assets.partitions import bucket_of, buckets_between, ensure_partitions
from evidence.readings import Quality

Ints = NDArray[np.int64]

TABLE = "metering_reading"

# Columns with their width in bytes.
_COLUMNS = {
    "slot": 8,
    "value": 8,
    "batch": 8,
    "area": 4,
    "point": 4,
    "bucket": 2,
    "register": 2,
    "version": 2,
    "quality": 2,
}
_COPY = f"COPY metering_reading ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_RECORD = np.dtype(
    [("fields", ">i2")]
    + [field for name, width in _COLUMNS.items() for field in ((f"length of {name}", ">i4"), (name, f">i{width}"))]
)
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"

_VERSIONS = """
SELECT point, register, slot, max(version), min(version) FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = ANY(%s) AND slot >= %s AND slot < %s
GROUP BY point, register, slot
"""

_LATEST = """
SELECT DISTINCT ON (point, register, slot) point, register, slot, value, quality, batch FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = ANY(%s) AND slot >= %s AND slot < %s AND version >= 0{only}
ORDER BY point, register, slot, version DESC
"""
_ANCHORED = " AND batch IN (SELECT id FROM metering_batch WHERE anchor_id = ANY(%s))"
_KNOWN = " AND batch IN (SELECT id FROM metering_batch WHERE area_id = %s AND received_at <= %s)"

_COUNTS = """
SELECT day, point, register, count(*), count(*) FILTER (WHERE quality = 2) FROM (
    SELECT DISTINCT ON (point, register, slot) day, point, register, quality
    FROM unnest(%s::date[], %s::bigint[], %s::bigint[]) AS days (day, start, stop)
    JOIN metering_reading ON slot >= start AND slot < stop
    WHERE area = %s AND bucket BETWEEN %s AND %s AND point = ANY(%s) AND slot >= %s AND slot < %s
        AND register = ANY(%s) AND version >= 0
    ORDER BY point, register, slot, version DESC
) AS standing GROUP BY day, point, register
"""

_SUMS = """
SELECT day, point, count(*), sum(value) FROM (
    SELECT DISTINCT ON (point, slot) day, point, value, quality
    FROM unnest(%s::date[], %s::bigint[], %s::bigint[]) AS days (day, start, stop)
    JOIN metering_reading ON slot >= start AND slot < stop
    WHERE area = %s AND bucket BETWEEN %s AND %s AND slot >= %s AND slot < %s AND register = %s AND version >= 0
    ORDER BY point, slot, version DESC
) AS standing WHERE quality <> %s GROUP BY day, point
"""

_STANDING = """
SELECT decision_id, count(*) FROM (
    SELECT DISTINCT ON (point, register, slot) batch FROM metering_reading
    WHERE area = %s AND bucket BETWEEN %s AND %s AND point = ANY(%s) AND slot >= %s AND slot < %s
        AND register = ANY(%s) AND version >= 0
    ORDER BY point, register, slot, version DESC
) AS standing JOIN metering_batch ON metering_batch.id = batch WHERE decision_id IS NOT NULL GROUP BY decision_id
"""

# Going back from the end of each month's index: whatever else is stored costs nothing.
_NEWEST = """
SELECT DISTINCT ON (point, register) last.*
FROM unnest(%s::bigint[]) AS points (id), unnest(%s::bigint[]) AS registers (id),
    generate_series(%s, %s) AS buckets (id),
LATERAL (
    SELECT point, register, slot, value, quality, batch FROM metering_reading
    WHERE area = %s AND bucket = buckets.id AND point = points.id AND register = registers.id AND slot >= %s
        AND slot < %s AND version >= 0
    ORDER BY slot DESC, version DESC LIMIT 1
) AS last ORDER BY point, register, slot DESC
"""

_OF_BATCHES = """
SELECT batch, point, register, slot, value, quality FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND batch = ANY(%s) AND slot >= %s AND slot < %s
"""


class Row(NamedTuple):
    """A reading under the database's own id of its metering point. Slot in UTC seconds, value in Wh."""

    point: int
    register: int
    slot: int
    value: int
    quality: int


class Stored(NamedTuple):
    """A reading as it stands, with the batch that brought it."""

    point: int
    register: int
    slot: int
    value: int
    quality: int
    batch: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Readings of one register as arrays (points, slots). `batch` is zero where there is no reading."""

    points: list[int]
    slots: range
    value: NDArray[np.int64]
    batch: NDArray[np.int64]
    quality: NDArray[np.int64]

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.equal(self.batch, 0)


def prepare_partitions(start: int, end: int) -> None:
    """Make sure that there are partitions for these instants. Call outside of a transaction that should stay short."""
    ensure_partitions(TABLE, buckets_between(start, end))


def write(area: int, batch: int, rows: Sequence[Row], backup: Sequence[bool] | None = None) -> None:
    """Store readings of one batch. One that is there already stays; the new one is its next version.

    `backup` says of each row whether it is only to inform. The caller holds the lock of whoever may write to these
    points, so that versions do not collide. Raises `OverflowError` for a number that its column cannot hold.
    """
    numbers = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * len(Row._fields))
    point, register, slot, value, quality = numbers.reshape(len(rows), len(Row._fields)).T
    slots, index = np.unique(slot, return_inverse=True)
    columns: dict[str, Ints | Sequence[int] | int] = {
        "slot": slot,
        "value": value,
        "batch": batch,
        "area": area,
        "point": point,
        "bucket": np.array([bucket_of(start) for start in slots.tolist()])[index],
        "register": register,
        "version": _next_versions(_versions(area, point, slot), rows, backup),
        "quality": quality,
    }
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(_SIGNATURE + _binary(len(rows), columns) + _TRAILER)


def _next_versions(
    known: Mapping[tuple[int, int, int], tuple[int, int]], rows: Sequence[Row], backup: Sequence[bool] | None
) -> Sequence[int] | int:
    """Above the highest version that counts, or below the lowest of all."""
    if not known and backup is None:
        return 0
    found = [known.get((row.point, row.register, row.slot), (-1, 0)) for row in rows]
    if backup is None:
        return [max(highest, -1) + 1 for highest, _lowest in found]
    return [
        min(lowest, 0) - 1 if informs else max(highest, -1) + 1
        for (highest, lowest), informs in zip(found, backup, strict=True)
    ]


def _binary(count: int, columns: Mapping[str, Ints | Sequence[int] | int]) -> bytes:
    """Rows as `COPY ... (FORMAT BINARY)` takes them: the number of fields, then each field's length and content."""
    records = np.zeros(count, _RECORD)
    records["fields"] = len(_COLUMNS)
    for name, width in _COLUMNS.items():
        values = np.asarray(columns[name], np.int64)
        bound = 1 << (8 * width - 1)
        if ((values < -bound) | (values >= bound)).any():
            raise OverflowError(f"a reading's {name} does not fit {width} bytes")
        records[f"length of {name}"] = width
        records[name] = values
    return records.tobytes()


def _versions(area: int, point: Ints, slot: Ints) -> dict[tuple[int, int, int], tuple[int, int]]:
    """The highest and the lowest version of each reading that is there."""
    start, end = int(slot.min()), int(slot.max()) + 1
    points = np.unique(point).tolist()
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONS, [area, bucket_of(start), bucket_of(end - 1), points, start, end])
        return {(point, register, slot): versions for point, register, slot, *versions in cursor.fetchall()}


def latest(
    area: int,
    points: Sequence[int],
    start: int,
    end: int,
    anchors: Sequence[int] | None = None,
    known_at: dt.datetime | None = None,
) -> list[Stored]:
    """Readings of the slots that start in [start, end), the latest version of each, by point, register and slot.

    With `anchors`, only what these stand for: what a settlement was made from stays the same whatever comes later.
    With `known_at`, only what had been received by then.
    """
    only: dict[str, list[Any]] = {}
    if anchors is not None:
        only[_ANCHORED] = [list(anchors)]
    if known_at is not None:
        only[_KNOWN] = [area, known_at]
    query = _LATEST.format(only="".join(only))
    return [Stored(*row) for row in _rows(query, area, list(points), start, end, *chain(*only.values()))]


def newest(area: int, points: Sequence[int], start: int, end: int, registers: Sequence[int]) -> list[Stored]:
    """The reading that stands of the last slot in [start, end) that has one, by point and register."""
    buckets = (bucket_of(start), bucket_of(end - 1))
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [list(points), list(registers), *buckets, area, start, end])
        return [Stored(*row) for row in cursor.fetchall()]


class Count(NamedTuple):
    """How many readings of a register of a point a local day has, and how many of them are substitutes."""

    day: dt.date
    point: int
    register: int
    present: int
    substituted: int


def counts(
    area: int, days: Mapping[dt.date, tuple[int, int]], points: Sequence[int], registers: Sequence[int]
) -> list[Count]:
    """Counted in the database. `days` gives UTC seconds of the start and the end of each local day."""
    if not days or not points:
        return []
    starts, ends = [start for start, _ in days.values()], [end for _, end in days.values()]
    start, end = min(starts), max(ends)
    buckets = (bucket_of(start), bucket_of(end - 1))
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [list(days), starts, ends, area, *buckets, list(points), start, end, list(registers)])
        return [Count(*row) for row in cursor.fetchall()]


class Sum(NamedTuple):
    """How many readings there are, and their energy in Wh or varh."""

    present: int
    energy: int


def sums(area: int, days: Mapping[dt.date, tuple[int, int]], register: int) -> dict[tuple[dt.date, int], Sum]:
    """What each point of an area read in each window, by day and point; substitutes are left out.

    Summed in the database. `days` gives UTC seconds of the start and the end of the windows, which must not overlap.
    """
    starts, ends = [start for start, _ in days.values()], [end for _, end in days.values()]
    start, end = min(starts), max(ends)
    buckets = (bucket_of(start), bucket_of(end - 1))
    with connection.cursor() as cursor:
        values: list[Any] = [list(days), starts, ends, area, *buckets, start, end, register, Quality.SUBSTITUTE]
        cursor.execute(_SUMS, values)
        return {(day, point): Sum(count, int(energy)) for day, point, count, energy in cursor.fetchall()}


def by_decision(area: int, points: Sequence[int], start: int, end: int, registers: Sequence[int]) -> dict[int, int]:
    """How many of the readings that stand were put in by each decision on substitutes."""
    return dict(_rows(_STANDING, area, list(points), start, end, list(registers)))


def of_batches(area: int, batches: Iterable[int], start: int, end: int) -> dict[int, list[Row]]:
    """All readings of some batches whose slots start in [start, end), by batch."""
    found: dict[int, list[Row]] = {}
    for batch, *row in _rows(_OF_BATCHES, area, list(batches), start, end):
        found.setdefault(batch, []).append(Row(*row))
    return found


def _rows(query: str, area: int, ids: list[int], start: int, end: int, *more: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, [area, bucket_of(start), bucket_of(end - 1), ids, start, end, *more])
        rows: list[Any] = cursor.fetchall()
    return rows


def grids(
    area: int,
    points: Sequence[int],
    slots: range,
    registers: Sequence[int],
    anchors: Sequence[int] | None = None,
    known_at: dt.datetime | None = None,
) -> dict[int, Grid]:
    """The latest readings of `points` as one grid per register; `anchors` and `known_at` as for `latest`."""
    row_of = {point: index for index, point in enumerate(points)}
    shape = (len(points), len(slots))
    found = {
        register: Grid(list(points), slots, *(np.zeros(shape, np.int64) for _ in range(3))) for register in registers
    }
    for point, register, slot, value, quality, batch in latest(
        area, points, slots.start, slots.stop, anchors, known_at
    ):
        if register in found:
            grid, column = found[register], (slot - slots.start) // slots.step
            grid.value[row_of[point], column] = value
            grid.batch[row_of[point], column] = batch
            grid.quality[row_of[point], column] = quality
    return found
