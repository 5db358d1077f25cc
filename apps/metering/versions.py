"""All versions of readings, for those who look at one metering point closely."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.assets.models import MeteringPoint
from apps.assets.partitions import bucket_of
from apps.metering.choices import Grade
from apps.metering.models import Batch
from evidence.readings import Quality
from market_math.slots import day_bounds

_ALL = """
SELECT slot, register, version, value, quality, batch,
       version >= 0 AND version = max(version) OVER (PARTITION BY slot, register) AS is_current
FROM metering_reading
WHERE area = %s AND bucket BETWEEN %s AND %s AND point = %s AND slot >= %s AND slot < %s{only}
ORDER BY slot, register, version
"""

_KNOWN = " AND batch IN (SELECT id FROM metering_batch WHERE area_id = %s AND received_at <= %s)"


@dataclass(frozen=True, slots=True)
class Version:
    """A reading in one version. Slot in UTC seconds, value in Wh or varh; `batch` brought it and carries its evidence.

    A version below zero comes from a backup device and only informs.
    """

    slot: int
    register: int
    version: int
    value: int
    quality: int
    batch: Batch
    is_current: bool

    @property
    def grade(self) -> Grade:
        """Of its evidence: what a device itself marks as a substitute is no better than that."""
        return Grade.SUBSTITUTE if self.quality == Quality.SUBSTITUTE else Grade(self.batch.grade)


def day_versions(point: MeteringPoint, day: dt.date, known_at: dt.datetime | None = None) -> list[Version]:
    """Every version of the readings of a local day, by slot, register and version; in two queries.

    With `known_at`, as if nothing had come since: the highest version that had been received by then is current.
    """
    start, end = day_bounds(day, point.area.zone)
    parameters: list[Any] = [point.area_id, bucket_of(start), bucket_of(end - 1), point.pk, start, end]
    known = "" if known_at is None else _KNOWN
    with connection.cursor() as cursor:
        cursor.execute(_ALL.format(only=known), parameters + ([point.area_id, known_at] if known else []))
        rows = cursor.fetchall()
    related = Batch.objects.select_related("anchor", "device", "importer", "decision__decided_by", "brought_by")
    batches = related.in_bulk({batch for *_, batch, _current in rows})
    return [
        Version(slot, register, version, value, quality, batches[batch], is_current)
        for slot, register, version, value, quality, batch, is_current in rows
    ]
