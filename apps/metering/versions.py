"""All versions of readings, for those who look at one metering point closely."""

import datetime as dt
from dataclasses import dataclass

from django.db import connection

from apps.assets.models import MeteringPoint
from apps.assets.partitions import bucket_of
from apps.metering.models import Batch
from market_math.slots import day_bounds

_ALL = """
SELECT slot, register, version, value, quality, batch,
       version = max(version) OVER (PARTITION BY slot, register) AS is_current
FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = %s AND slot >= %s AND slot < %s
ORDER BY slot, register, version
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A reading in one version. Slot in UTC seconds, value in Wh; `batch` brought it and carries its evidence."""

    slot: int
    register: int
    version: int
    value: int
    quality: int
    batch: Batch
    is_current: bool


def day_versions(point: MeteringPoint, day: dt.date) -> list[Version]:
    """Every version of the readings of a local day, by slot, register and version; in two queries."""
    start, end = day_bounds(day, point.area.zone)
    with connection.cursor() as cursor:
        cursor.execute(_ALL, [point.area_id, bucket_of(start), bucket_of(end - 1), point.pk, start, end])
        rows = cursor.fetchall()
    batches = Batch.objects.select_related("anchor").in_bulk({batch for *_, batch, _current in rows})
    return [
        Version(slot, register, version, value, quality, batches[batch], is_current)
        for slot, register, version, value, quality, batch, is_current in rows
    ]
