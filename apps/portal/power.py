"""The mean power at metering points during the last slots."""

import datetime as dt
from collections.abc import Mapping, Sequence

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.assets.models import MeteringPoint
from apps.metering import readings
from apps.metering.choices import Register
from apps.web.pictures import PowerStrip
from market_math.slots import day_bounds

SLOTS = 24
MOST_POINTS = 50

Powers = tuple[int | None, ...]


def last_power(points: Sequence[MeteringPoint], since: Mapping[int, dt.date]) -> PowerStrip | None:
    """Summed over metering points of one area, of which `since` may give the first day that is shown.

    A slot is known where all points have it that have the register at all. None where nothing is known, and for more
    points than anybody would look at together.
    """
    if not 0 < len(points) <= MOST_POINTS:
        return None
    area = points[0].area
    step = area.slot_seconds
    end = int(timezone.now().timestamp()) // step * step
    slots = range(end - SLOTS * step, end, step)
    oldest = {point: day_bounds(day, area.zone)[0] for point, day in since.items()}
    found = {
        (row.register, row.point, row.slot): row.value
        for row in readings.latest(area.pk, [point.pk for point in points], slots.start, slots.stop)
        if row.slot >= oldest.get(row.point, 0)
    }
    used, made = (_powers(found, register, slots) for register in (Register.CONSUMPTION, Register.GENERATION))
    if used is None and made is None:
        return None
    first = dt.datetime.fromtimestamp(slots.start, dt.UTC)
    return PowerStrip("power", _("The last hours"), area.zone, area.slot_minutes, first, used, made)


def _powers(found: Mapping[tuple[int, int, int], int], register: int, slots: range) -> Powers | None:
    """W by slot; None where no point has the register."""
    points = {point for of, point, _slot in found if of == register}
    if not points:
        return None
    known = ([found[register, point, slot] for point in points if (register, point, slot) in found] for slot in slots)
    return tuple(sum(values) * 3600 // slots.step if len(values) == len(points) else None for values in known)
