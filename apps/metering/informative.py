"""Readings that only inform: kept in versions that fall from -1, signed and anchored as others, never settled."""

from django.db import connection

from apps.assets.partitions import bucket_of
from apps.metering.choices import SourceKey
from apps.metering.readings import Stored

_LATEST = """
SELECT DISTINCT ON (register, slot) point, register, slot, value, quality, batch FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = %s AND slot >= %s AND slot < %s AND version < 0
    AND batch IN (
        SELECT metering_batch.id FROM metering_batch
        JOIN metering_readingimport ON metering_readingimport.id = brought_by_id
        WHERE metering_batch.area_id = %s AND source = %s
    )
ORDER BY register, slot, version
"""


def latest_informative(area: int, point: int, start: int, end: int, source: SourceKey) -> list[Stored]:
    """What one source last said of the slots of a metering point that start in [start, end)."""
    buckets = bucket_of(start), bucket_of(end - 1)
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, [area, *buckets, point, start, end, area, source])
        return [Stored(*row) for row in cursor.fetchall()]
