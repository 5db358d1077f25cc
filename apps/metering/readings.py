"""The table of readings: written by `COPY`, read into arrays. Nothing here decides what is valid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from apps.assets.partitions import bucket_of, buckets_between, ensure_partitions

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
SELECT point, register, slot, max(version) FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = ANY(%s) AND slot >= %s AND slot < %s
GROUP BY point, register, slot
"""

_LATEST = """
SELECT DISTINCT ON (point, register, slot) point, register, slot, value, quality, batch FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = ANY(%s) AND slot >= %s AND slot < %s
ORDER BY point, register, slot, version DESC
"""

_LATEST_ANCHORED = """
SELECT DISTINCT ON (point, register, slot) point, register, slot, value, quality, batch FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = ANY(%s) AND slot >= %s AND slot < %s
    AND batch IN (SELECT id FROM metering_batch WHERE anchor_id = ANY(%s))
ORDER BY point, register, slot, version DESC
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

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.equal(self.batch, 0)


def prepare_partitions(start: int, end: int) -> None:
    """Make sure that there are partitions for these instants. Call outside of a transaction that should stay short."""
    ensure_partitions(TABLE, buckets_between(start, end))


def write(area: int, batch: int, rows: Sequence[Row]) -> None:
    """Store readings of one batch. One that is there already stays; the new one is its next version.

    The caller holds the lock of whoever may write to these points, so that versions do not collide. Raises
    `OverflowError` for a number that its column cannot hold.
    """
    numbers = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * len(Row._fields))
    point, register, slot, value, quality = numbers.reshape(len(rows), len(Row._fields)).T
    known = _versions(area, point, slot)
    versions = [known.get((row.point, row.register, row.slot), -1) + 1 for row in rows] if known else 0
    slots, index = np.unique(slot, return_inverse=True)
    columns: dict[str, Ints | Sequence[int] | int] = {
        "slot": slot,
        "value": value,
        "batch": batch,
        "area": area,
        "point": point,
        "bucket": np.array([bucket_of(start) for start in slots.tolist()])[index],
        "register": register,
        "version": versions,
        "quality": quality,
    }
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(_SIGNATURE + _binary(len(rows), columns) + _TRAILER)


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


def _versions(area: int, point: Ints, slot: Ints) -> dict[tuple[int, int, int], int]:
    start, end = int(slot.min()), int(slot.max()) + 1
    points = np.unique(point).tolist()
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONS, [area, bucket_of(start), bucket_of(end - 1), points, start, end])
        return {(point, register, slot): version for point, register, slot, version in cursor.fetchall()}


def latest(
    area: int, points: Sequence[int], start: int, end: int, anchors: Sequence[int] | None = None
) -> list[Stored]:
    """Readings of the slots that start in [start, end), the latest version of each, by point, register and slot.

    With `anchors`, only what these stand for: what a settlement was made from stays the same whatever comes later.
    """
    if anchors is None:
        return [Stored(*row) for row in _rows(_LATEST, area, list(points), start, end)]
    return [Stored(*row) for row in _rows(_LATEST_ANCHORED, area, list(points), start, end, list(anchors))]


def of_batches(area: int, batches: Iterable[int], start: int, end: int) -> dict[int, list[Row]]:
    """All readings of some batches whose slots start in [start, end), by batch."""
    found: dict[int, list[Row]] = {}
    for batch, *row in _rows(_OF_BATCHES, area, list(batches), start, end):
        found.setdefault(batch, []).append(Row(*row))
    return found


def _rows(query: str, area: int, ids: list[int], start: int, end: int, *more: list[int]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, [area, bucket_of(start), bucket_of(end - 1), ids, start, end, *more])
        rows: list[Any] = cursor.fetchall()
    return rows


def grids(
    area: int, points: Sequence[int], slots: range, registers: Sequence[int], anchors: Sequence[int] | None = None
) -> dict[int, Grid]:
    """The latest readings of `points` as one grid per register; `anchors` as for `latest`."""
    row_of = {point: index for index, point in enumerate(points)}
    shape = (len(points), len(slots))
    found = {
        register: Grid(list(points), slots, np.zeros(shape, np.int64), np.zeros(shape, np.int64))
        for register in registers
    }
    for point, register, slot, value, _, batch in latest(area, points, slots.start, slots.stop, anchors):
        if register in found:
            grid, column = found[register], (slot - slots.start) // slots.step
            grid.value[row_of[point], column] = value
            grid.batch[row_of[point], column] = batch
    return found
