"""Substitutes for readings that never came, by rule: what was measured at the same time of an earlier day."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from django.db import transaction

from apps.accounts.models import Party, User
from apps.assets.models import MarketArea, MeteringPoint
from apps.assets.selectors import occupied_points, plants_on
from apps.metering import readings
from apps.metering.choices import SubstituteRule
from apps.metering.models import Decision
from apps.metering.services.imports import Series, store_substitutes
from evidence.readings import Quality, Register
from market_math.slots import day_bounds, day_slots

# How many days back, the best first. A household lives by weeks, the sun by days.
LOOK_BACK = {
    Register.CONSUMPTION: (7, 14, 21, 28, 1, 2, 3, 4, 5, 6),
    Register.GENERATION: (1, 2, 3, 4, 5, 6, 7),
}

Missing = dict[MeteringPoint, dict[Register, list[int]]]


def substitute_missing(area: MarketArea, day: dt.date, *, reason: str, by: User | None = None) -> Decision | None:
    """Put in what a past local day lacks, and keep who decided so and why; None where nothing is missing.

    The utility answers for it with its signature; `by` is the person who decided, nobody where the area's setting did.
    The value of the same local time of an earlier day, of those in `LOOK_BACK` the first with a true reading; without
    any 0 Wh. A true value that comes later is the next version of its reading, and so the substitute's end.
    """
    readings.prepare_partitions(*day_bounds(day, area.zone))
    points = list(_missing(area, day, list(occupied_points(area, day))))
    if not points:
        return None
    with transaction.atomic():
        # Locks in the order of an import: who signs, then what is measured. What arrives meanwhile comes after.
        Party.objects.select_for_update().get(pk=area.utility_id)
        locked = MeteringPoint.objects.select_for_update(no_key=True, of=("self",)).select_related("plant")
        points = list(locked.filter(pk__in=[point.pk for point in points]).order_by("pk"))
        missing = _missing(area, day, points)
        if not missing:
            return None
        return _put_in(area, day, missing, reason, by)


def _put_in(area: MarketArea, day: dt.date, missing: Missing, reason: str, by: User | None) -> Decision:
    known = _true_values(area, sorted(point.pk for point in missing), day)
    series: dict[MeteringPoint, Series] = {
        point: {
            register: {slot: _substitute(known, point.pk, register, slot, area.zone) for slot in slots}
            for register, slots in registers.items()
        }
        for point, registers in missing.items()
    }
    decision = Decision.objects.create(
        area=area,
        day=day,
        rule=SubstituteRule.EARLIER_DAY,
        reason=reason,
        decided_by=by,
        count=sum(len(slots) for registers in missing.values() for slots in registers.values()),
    )
    store_substitutes(area, area.utility, series, decision)
    return decision


def _missing(area: MarketArea, day: dt.date, points: Sequence[MeteringPoint]) -> Missing:
    """Slots without a reading, by metering point and register."""
    slots = day_slots(day, area.zone, area.slot_minutes)
    sites = {plant.point_id for plant in plants_on(area, day)}
    grids = readings.grids(area.pk, [point.pk for point in points], slots, tuple(LOOK_BACK))
    found: Missing = defaultdict(dict)
    for register, grid in grids.items():
        for row, point in enumerate(points):
            lacking = grid.missing[row].nonzero()[0].tolist()
            if lacking and (register == Register.CONSUMPTION or point.pk in sites):
                found[point][Register(register)] = [slots[column] for column in lacking]
    return found


def _true_values(area: MarketArea, points: Sequence[int], day: dt.date) -> dict[tuple[int, int, int], int]:
    longest = max(max(days) for days in LOOK_BACK.values())
    start = day_slots(day - dt.timedelta(days=longest), area.zone, area.slot_minutes).start
    end = day_slots(day, area.zone, area.slot_minutes).start
    stored = readings.latest(area.pk, points, start, end)
    return {(r.point, r.register, r.slot): r.value for r in stored if r.quality == Quality.TRUE_VALUE}


def _substitute(
    known: dict[tuple[int, int, int], int], point: int, register: Register, slot: int, zone: ZoneInfo
) -> int:
    local = dt.datetime.fromtimestamp(slot, zone)
    for days in LOOK_BACK[register]:
        earlier = int((local - dt.timedelta(days=days)).timestamp())
        value = known.get((point, register, earlier))
        if value is not None:
            return value
    return 0
