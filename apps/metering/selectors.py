"""Readings as people look at them."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from apps.assets.models import MeteringPoint
from apps.metering import readings
from apps.metering.models import Batch
from evidence.readings import Register
from market_math.slots import day_slots


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """A local day of a metering point: Wh per slot, None where there is no reading, and how each was evidenced."""

    slots: list[int]
    consumption: list[int | None]
    generation: list[int | None]
    grades: dict[int, int]


def load_curve(point: MeteringPoint, day: dt.date) -> LoadCurve:
    """`grades` counts readings by grade of evidence."""
    slots = day_slots(day, point.area.zone, point.area.slot_minutes)
    registers = (Register.CONSUMPTION, Register.GENERATION)
    grids = readings.grids(point.area_id, [point.pk], slots, registers)
    batches = {int(batch) for grid in grids.values() for batch in grid.batch[0] if batch}
    grade_of = dict(Batch.objects.filter(pk__in=batches).values_list("pk", "grade"))
    grades: dict[int, int] = {}
    for grid in grids.values():
        for batch in grid.batch[0].tolist():
            if batch:
                grades[grade_of[batch]] = grades.get(grade_of[batch], 0) + 1
    return LoadCurve(list(slots), _curve(grids[Register.CONSUMPTION]), _curve(grids[Register.GENERATION]), grades)


def _curve(grid: readings.Grid) -> list[int | None]:
    pairs = zip(grid.value[0].tolist(), grid.batch[0].tolist(), strict=True)
    return [value if batch else None for value, batch in pairs]


def latest_day(points: Iterable[MeteringPoint]) -> dt.date | None:
    """The last local day for which any of these points has a batch."""
    areas = {point.area_id for point in points}
    return Batch.objects.filter(area__in=areas).order_by("-day").values_list("day", flat=True).first()
