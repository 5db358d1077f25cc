"""Exchange the meter of a metering point: when one ended and the next began, and what both of them counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import User
from apps.assets.models import MeteringPoint
from apps.assets.partitions import bucket_of
from apps.ledger.models import Command
from apps.metering.exceptions import MeasurementError
from apps.metering.models import Device, Measurement
from evidence import commands
from evidence.readings import Register

_READ_SINCE = """
SELECT EXISTS (
    SELECT FROM metering_reading JOIN metering_batch ON metering_batch.id = metering_reading.batch
    WHERE metering_reading.area = %s AND bucket >= %s AND point = %s AND slot >= %s AND device_id = %s
)
"""


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter as it was found or left: its serial number, and its counters in Wh or varh by register."""

    serial: str = ""
    counters: Mapping[int, int] = field(default_factory=dict)


@transaction.atomic
def exchange_meter(
    old: Measurement, *, device: Device, at: int, removed: Meter, installed: Meter, by: User
) -> Measurement:
    """From `at` (UTC seconds, the start of a slot) on, `device` measures what `old` measured; it may be the same box.

    Batches of the old device with readings after that are refused from now on, as are the new one's before. Raises
    `MeasurementError`, naming the rule.
    """
    devices = {old.device_id, device.pk}
    # A batch that is being accepted holds its device's lock: it is checked against one state or the other.
    locked = {one.pk: one for one in Device.objects.select_for_update().filter(pk__in=devices).order_by("pk")}
    MeteringPoint.objects.select_for_update(no_key=True).get(pk=old.point_id)
    old = Measurement.objects.select_related("point__area", "device").get(pk=old.pk)
    _check(old, locked[device.pk], at, removed, installed)
    old.until = at
    old.counters_out = _counters(removed)
    if removed.serial:
        old.serial = removed.serial
    _store(old, by)
    # What a newly registered box says of itself: that it measures the point, since always.
    following = Measurement.objects.filter(device=device, point=old.point_id, since=0, until=None).first()
    following = following or Measurement(device=device, point=old.point)
    following.registers, following.is_backup = old.registers, old.is_backup
    following.since, following.serial, following.counters_in = at, installed.serial, _counters(installed)
    _store(following, by)
    return following


@transaction.atomic
def set_backup(measurement: Measurement, *, is_backup: bool, by: User) -> None:
    """Whether what the device reads from now on only informs. What is there already stays as it is."""
    Device.objects.select_for_update().get(pk=measurement.device_id)
    measurement.refresh_from_db()
    measurement.is_backup = is_backup
    _store(measurement, by)


def _store(measurement: Measurement, by: User) -> None:
    measurement.changed_by, measurement.changed_at = by, timezone.now()
    measurement.save()


def _counters(meter: Meter) -> dict[str, int]:
    return {str(int(register)): value for register, value in sorted(meter.counters.items())}


def _check(old: Measurement, device: Device, at: int, removed: Meter, installed: Meter) -> None:
    area = old.point.area
    if old.until is not None:
        raise MeasurementError("ended", _("This measurement has ended already."))
    if device.area_id != area.pk:
        raise MeasurementError("other_area", _("The device belongs to another market area."))
    if at % area.slot_seconds:
        raise MeasurementError("off_the_grid", _("A meter is exchanged at the start of a slot."))
    if not old.since < at <= timezone.now().timestamp():
        raise MeasurementError("not_then", _("The time must lie after the old meter's beginning and not ahead."))
    for meter in (removed, installed):
        for register, value in meter.counters.items():
            if register not in list(Register) or not 0 <= value < 1 << 63:
                raise MeasurementError("no_counter", _("A counter is a number of Wh or varh that is not negative."))
    for number, first in old.counters_in.items():
        last = removed.counters.get(int(number))
        if last is not None and last < first:
            raise MeasurementError("counted_back", _("The old meter's counter is below what it had at installation."))
    _check_registered(device, old.point)
    if device.pk != old.device_id and _has_read(old, at):
        raise MeasurementError("read_later", _("The old device has sent readings of a later time."))


def _check_registered(device: Device, point: MeteringPoint) -> None:
    """Evidence holds only for points that the ledger knows the device for."""
    if device.command_id is None:
        return
    envelope = Command.objects.values_list("envelope", flat=True).get(command_id=bytes(device.command_id))
    registered = commands.Command.from_bytes(bytes(envelope)).fields
    if bytes(point.ledger_id) not in getattr(registered, "points", ()):
        raise MeasurementError("not_registered", _("The device is not registered for this metering point."))


def _has_read(old: Measurement, at: int) -> bool:
    parameters = [old.point.area_id, bucket_of(at), old.point_id, at, old.device_id]
    with connection.cursor() as cursor:
        cursor.execute(_READ_SINCE, parameters)
        (found,) = cursor.fetchone()
    return bool(found)
