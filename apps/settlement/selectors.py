"""Where energy went, as people look at it."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

from apps.assets.models import MeteringPoint
from apps.ledger.choices import LedgerState
from apps.metering.models import Anchor
from apps.settlement import allocations
from apps.settlement.choices import Scheme
from apps.settlement.models import Settlement
from market_math.slots import day_bounds, day_slots


@dataclass(frozen=True, slots=True)
class DayFlows:
    """A settled local day of a metering point, Wh per slot."""

    settlement: Settlement
    slots: list[int]
    own_use: list[int]
    from_neighbours: list[int]
    from_utility: list[int]
    sold: list[int]
    fed_in: list[int]


@dataclass(slots=True)
class Totals:
    """Wh of a period, and the days of it that are settled."""

    own_use: int = 0
    from_neighbours: int = 0
    from_utility: int = 0
    sold: int = 0
    fed_in: int = 0
    days: list[dt.date] = field(default_factory=list)


def current_settlements(area_id: int, start: dt.date, end: dt.date) -> dict[dt.date, Settlement]:
    """The version that stands for each settled day of [start, end): the highest that is on the ledger."""
    found = Settlement.objects.filter(
        area=area_id, day__gte=start, day__lt=end, ledger_state=LedgerState.CONFIRMED
    ).select_related("area")
    return {settlement.day: settlement for settlement in found.order_by("day", "version")}


def anchors_of(settlements: Iterable[Settlement]) -> list[int]:
    """Anchors of the readings that these settlements, of a day each, were made from."""
    found = Anchor.objects.filter(settlements__in=[settlement.pk for settlement in settlements])
    return list(found.values_list("pk", flat=True).distinct())


def _role(row: allocations.Allocation, points: set[int], plants: set[int]) -> Iterable[str]:
    """What an allocation is to the owner of these points and plants; a sale to oneself is both."""
    if row.scheme == Scheme.OWN_USE:
        yield "own_use"
    elif row.scheme == Scheme.FEED_IN:
        yield "fed_in"
    elif row.scheme == Scheme.SUPPLY:
        yield "from_utility"
    else:
        if row.point in points:
            yield "from_neighbours"
        if row.plant in plants:
            yield "sold"


def _rows(
    points: list[MeteringPoint], settlements: Iterable[Settlement], start: int, end: int
) -> list[tuple[allocations.Allocation, str]]:
    area_id = points[0].area_id
    point_ids = {point.pk for point in points}
    plant_ids = {point.plant.pk for point in points if hasattr(point, "plant")}
    wanted = [settlement.pk for settlement in settlements]
    found = allocations.read_for(area_id, wanted, start, end, sorted(point_ids), sorted(plant_ids))
    return [(row, role) for row in found for role in _role(row, point_ids, plant_ids)]


def day_flows(point: MeteringPoint, day: dt.date) -> DayFlows | None:
    """None while the day is not settled."""
    settlement = current_settlements(point.area_id, day, day + dt.timedelta(days=1)).get(day)
    if settlement is None:
        return None
    slots = day_slots(day, point.area.zone, point.area.slot_minutes)
    flows = DayFlows(settlement, list(slots), *([0] * len(slots) for _ in range(5)))
    for row, role in _rows([point], [settlement], slots.start, slots.stop):
        getattr(flows, role)[(row.slot - slots.start) // slots.step] += row.allocated
    return flows


def period_flows(points: Iterable[MeteringPoint], start: dt.date, end: dt.date) -> Totals:
    """Totals of metering points of one market area over the settled days of [start, end)."""
    chosen = list(points)
    totals = Totals()
    if not chosen:
        return totals
    area = chosen[0].area
    settlements = current_settlements(area.pk, start, end)
    totals.days = sorted(settlements)
    first, last = day_bounds(start, area.zone)[0], day_bounds(end, area.zone)[0]
    for row, role in _rows(chosen, settlements.values(), first, last):
        setattr(totals, role, getattr(totals, role) + row.allocated)
    return totals
