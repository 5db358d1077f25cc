"""What is wrong with an area's devices: each condition asks once for all of them.

Every function returns the devices that it holds for, by their database id, with the values for the texts of notices.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Abs
from django.utils import timezone

from apps.assets.models import MarketArea, Plant
from apps.metering import readings
from apps.metering.arrangements import Measurement
from apps.metering.choices import AlarmKind
from apps.metering.models import BoxStatus, Device, DeviceKey, Thresholds
from evidence.readings import Register
from market_math.slots import day_bounds

Found = dict[int, dict[str, str | int]]
Condition = Callable[[MarketArea, Thresholds], Found]

# Local hours in which every plant that works makes something, also in winter.
MIDDAY = (11, 14)
WEEKS = 4
LEAST_WEEKS = 2


def in_service(area: MarketArea) -> QuerySet[Device]:
    """Devices whose key was not revoked."""
    current = DeviceKey.objects.filter(device=OuterRef("pk"), revoked_at=None)
    return Device.objects.filter(Exists(current), area=area)


def silent(area: MarketArea, limits: Thresholds) -> Found:
    since = timezone.now() - dt.timedelta(minutes=limits.silence_minutes)
    old_key = DeviceKey.objects.filter(device=OuterRef("pk"), revoked_at=None, created_at__lt=since)
    long_ago = Q(newest_end__lt=int(since.timestamp())) | Q(Exists(old_key), newest_end=None)
    found = in_service(area).filter(long_ago).values_list("pk", flat=True)
    return {device: {"minutes": limits.silence_minutes} for device in found}


def clock_off(area: MarketArea, limits: Thresholds) -> Found:
    statuses = BoxStatus.objects.filter(device__area=area).annotate(off=Abs("clock_offset"))
    found = statuses.filter(off__gte=limits.clock_seconds).values_list("device", "clock_offset")
    return {device: {"seconds": offset} for device, offset in found}


def backlog_grows(area: MarketArea, limits: Thresholds) -> Found:
    since = timezone.now() - dt.timedelta(minutes=limits.backlog_minutes)
    statuses = BoxStatus.objects.filter(
        device__area=area, readings__gte=limits.backlog_readings, growing_since__lte=since
    )
    return {device: {"readings": count} for device, count in statuses.values_list("device", "readings")}


def batches_refused(area: MarketArea, limits: Thresholds) -> Found:
    found = Device.objects.filter(area=area, refused_at__gt=_trouble_since(limits)).values_list("pk", "refused_rule")
    return {device: {"rule": rule} for device, rule in found}


def revoked_key_in_use(area: MarketArea, limits: Thresholds) -> Found:
    keys = DeviceKey.objects.filter(device__area=area, misused_at__gt=_trouble_since(limits))
    return {device: {} for device in keys.values_list("device", flat=True)}


def _trouble_since(limits: Thresholds) -> dt.datetime:
    return timezone.now() - dt.timedelta(hours=limits.trouble_hours)


def makes_nothing(area: MarketArea, limits: Thresholds) -> Found:
    """Plants whose readings of the last days' middle are there, and all of them zero."""
    days = [area.today - dt.timedelta(days=back) for back in range(1, limits.zero_days + 1)]
    sums = readings.sums(area.pk, {day: _midday(area, day) for day in days}, Register.GENERATION)
    names = dict(Plant.objects.filter(area=area, since__lte=days[-1]).values_list("point", "name"))
    idle = [point for point in names if all((total := sums.get((day, point))) and not total.energy for day in days)]
    return {
        device: {"plant": names[point], "days": limits.zero_days}
        for device, point in _devices(idle, Register.GENERATION)
    }


def consumes_unusually(area: MarketArea, limits: Thresholds) -> Found:
    """Points that used many times what they used on the same weekday of the last weeks."""
    day = area.today - dt.timedelta(days=1)
    before = [day - dt.timedelta(weeks=week) for week in range(1, WEEKS + 1)]
    sums = readings.sums(area.pk, {each: day_bounds(each, area.zone) for each in (day, *before)}, Register.CONSUMPTION)
    unusual: dict[int, tuple[int, int]] = {}
    for (of, point), total in sums.items():
        if of != day or total.energy < limits.consumption_least_wh:
            continue
        # A day with gaps says nothing about a whole one.
        earlier = [
            found for each in before if (found := sums.get((each, point))) and found.present * 10 >= total.present * 9
        ]
        usual = max((each.energy for each in earlier), default=0)
        if len(earlier) >= LEAST_WEEKS and total.energy > limits.consumption_factor * usual:
            unusual[point] = (total.energy, usual)
    return {
        device: {"wh": unusual[point][0], "usual": unusual[point][1], "day": day.isoformat()}
        for device, point in _devices(unusual, Register.CONSUMPTION)
    }


def _midday(area: MarketArea, day: dt.date) -> tuple[int, int]:
    start, end = (int(dt.datetime.combine(day, dt.time(hour), tzinfo=area.zone).timestamp()) for hour in MIDDAY)
    return start, end


def _devices(points: Iterable[int], register: Register) -> list[tuple[int, int]]:
    """Who measures this register of these points now, with the point."""
    now = int(timezone.now().timestamp())
    measured = Measurement.objects.filter(
        Q(until=None) | Q(until__gt=now),
        Q(registers=[]) | Q(registers__contains=[int(register)]),
        point__in=list(points),
        since__lte=now,
        is_backup=False,
    )
    return list(measured.order_by(F("point").desc()).values_list("device", "point"))


# Asked every few minutes, from rows that are one per device.
QUICK: Mapping[AlarmKind, Condition] = {
    AlarmKind.SILENCE: silent,
    AlarmKind.CLOCK: clock_off,
    AlarmKind.BACKLOG: backlog_grows,
    AlarmKind.REFUSED: batches_refused,
    AlarmKind.REVOKED_KEY: revoked_key_in_use,
}
# Asked a few times a day, from the readings of days.
SLOW: Mapping[AlarmKind, Condition] = {
    AlarmKind.NO_GENERATION: makes_nothing,
    AlarmKind.CONSUMPTION: consumes_unusually,
}
