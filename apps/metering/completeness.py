"""What an area's local day should have of readings, has, has as substitutes, and lacks; and whether it may be settled.

Everything is counted by the database: the number of queries does not depend on that of points or days.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Max, Q
from django.utils import timezone

from apps.assets.models import MarketArea, MeteringPoint, Occupancy, Plant
from apps.metering import readings
from apps.metering.choices import SETTLED
from apps.metering.models import Batch, DayCount, Decision
from evidence.readings import Register
from market_math.slots import day_bounds, day_slots


@dataclass(frozen=True, slots=True)
class PointCount:
    """Readings of a register of a metering point on a local day."""

    point: MeteringPoint
    register: Register
    expected: int
    present: int
    substituted: int

    @property
    def missing(self) -> int:
        return self.expected - self.present


class Gate(StrEnum):
    """Open: nothing is missing. Due: what is missing is to be substituted by rule. Closed: somebody has to look."""

    OPEN = "open"
    DUE = "due"
    CLOSED = "closed"


def gate_of(area: MarketArea, day: dt.date) -> Gate:
    """Whether a past local day may be settled."""
    if not any(count.missing for count in point_counts(area, day)):
        return Gate.OPEN
    waits = area.substitute_days
    overdue = waits is not None and day < area.today - dt.timedelta(days=waits)
    return Gate.DUE if overdue else Gate.CLOSED


def point_counts(area: MarketArea, day: dt.date) -> list[PointCount]:
    """Every metering point and register of which the day should have readings, by code and register."""
    expected = _expected(area, [day])[day]
    points = area.points.filter(pk__in={point for point, _ in expected}).order_by("code").in_bulk()
    found = {(c.point, c.register): c for c in _counts(area, [day], points)}
    slots = len(day_slots(day, area.zone, area.slot_minutes))
    listed = []
    for point_id, point in sorted(points.items(), key=lambda item: item[1].code):
        for register in SETTLED:
            if (point_id, register) in expected:
                count = found.get((point_id, register))
                present, substituted = (count.present, count.substituted) if count else (0, 0)
                listed.append(PointCount(point, register, slots, present, substituted))
    return listed


def count_days(area: MarketArea, start: dt.date, end: dt.date) -> dict[dt.date, DayCount]:
    """The counts of the past days of [start, end), counted anew where readings have come since the last time."""
    end = min(end, area.today)
    days = [start + dt.timedelta(days=n) for n in range((end - start).days)]
    known = {count.day: count for count in DayCount.objects.filter(area=area, day__gte=start, day__lt=end)}
    batches = Batch.objects.filter(area=area, day__gte=start, day__lt=end).order_by()
    newest = dict(batches.values("day").annotate(last=Max("received_at")).values_list("day", "last"))
    stale = [day for day in days if day not in known or known[day].counted_at <= newest.get(day, known[day].counted_at)]
    stale = [day for day in stale if day not in known or day in newest]
    return known | {count.day: count for count in _store(area, stale)}


def first_day(area: MarketArea) -> dt.date | None:
    """The first local day of which there is a reading."""
    return Batch.objects.filter(area=area).order_by("day").values_list("day", flat=True).first()


def recount(area: MarketArea, day: dt.date) -> DayCount:
    """Count a past day whatever is known of it: people move in, and plants are added, without a reading."""
    (count,) = _store(area, [day])
    return count


def _store(area: MarketArea, days: Sequence[dt.date]) -> list[DayCount]:
    counted_at = timezone.now()
    expected = _expected(area, days)
    present: dict[dt.date, list[int]] = defaultdict(lambda: [0, 0])
    for count in _counts(area, days, {point for keys in expected.values() for point, _ in keys}):
        if (count.point, count.register) in expected[count.day]:
            present[count.day][0] += count.present
            present[count.day][1] += count.substituted
    counts = [
        DayCount(
            area=area,
            day=day,
            expected=len(expected[day]) * len(day_slots(day, area.zone, area.slot_minutes)),
            present=present[day][0],
            substituted=present[day][1],
            counted_at=counted_at,
        )
        for day in days
    ]
    return DayCount.objects.bulk_create(
        counts,
        update_conflicts=True,
        unique_fields=["area", "day"],
        update_fields=["expected", "present", "substituted", "counted_at"],
    )


def _expected(area: MarketArea, days: Sequence[dt.date]) -> dict[dt.date, set[tuple[int, int]]]:
    """Points and registers by day: consumption where somebody lives, generation where a plant stands."""
    expected: dict[dt.date, set[tuple[int, int]]] = {day: set() for day in days}
    if not days:
        return expected
    plants = dict(Plant.objects.filter(area=area, since__lte=max(days)).values_list("point", "since"))
    occupied = Occupancy.objects.filter(
        Q(until=None) | Q(until__gt=min(days)), point__area=area, since__lte=max(days)
    ).values_list("point", "since", "until")
    for point, since, until in occupied:
        for day in days:
            if since <= day and (until is None or day < until):
                expected[day].add((point, int(Register.CONSUMPTION)))
                if point in plants and plants[point] <= day:
                    expected[day].add((point, int(Register.GENERATION)))
    return expected


def _counts(area: MarketArea, days: Sequence[dt.date], points: Iterable[int]) -> list[readings.Count]:
    bounds = {day: day_bounds(day, area.zone) for day in days}
    return readings.counts(area.pk, bounds, sorted(points), [int(register) for register in SETTLED])


def decisions_of(area: MarketArea, day: dt.date) -> list[tuple[Decision, int]]:
    """Decisions on substitutes of a day, with how many of each still stand: no true value has come for them."""
    decisions = list(Decision.objects.filter(area=area, day=day).select_related("decided_by"))
    if not decisions:
        return []
    points = list(area.points.values_list("pk", flat=True))
    start, end = day_bounds(day, area.zone)
    left = readings.by_decision(area.pk, points, start, end, [int(register) for register in SETTLED])
    return [(decision, left.get(decision.pk, 0)) for decision in decisions]
