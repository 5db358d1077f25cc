"""Take profiles from files as readings of metering points, signed by the utility that imports them."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.assets.models import MarketArea, MeteringPoint, Occupancy
from apps.metering import readings
from apps.metering.choices import Grade
from apps.metering.models import Batch
from apps.metering.profiles import TIMESTAMP, VALUE, Problem, Profile, Rules, read_profile
from apps.metering.services.batches import most_energy
from apps.metering.services.imports import Series, import_series
from evidence.readings import Quality, Register
from market_math.slots import local_day


class ProfileUnit(StrEnum):
    """What a value of 1 in a file stands for: a watt, a kilowatt, or the installed power of the point's plant."""

    WATT = "W"
    KILOWATT = "kW"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and whose profile it is."""

    path: Path
    point: MeteringPoint
    register: Register
    unit: ProfileUnit


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file's profile, split by what is stored already: `energy` is what it would add, Wh by slot."""

    source: Source
    energy: dict[int, int]
    changed: int
    identical: int
    problems: Sequence[Problem]

    @property
    def is_usable(self) -> bool:
        return bool(self.energy) or self.identical > 0


def load_profile(source: Source) -> Loaded:
    """Read a file and compare it with what is stored. Readings that are there already are left out.

    Raises `OSError` when the file cannot be read.
    """
    point, register = source.point, source.register
    plant = getattr(point, "plant", None)
    content = source.path.read_bytes()
    if plant is None and (register == Register.GENERATION or source.unit == ProfileUnit.SHARE):
        message = _("The metering point %(point)s has no plant.") % {"point": point.code}
        return Loaded(source, {}, 0, 0, [Problem(str(source.path), 1, VALUE, "no_plant", message)])
    seconds = point.area.slot_seconds
    units = {ProfileUnit.WATT: 1, ProfileUnit.KILOWATT: 1000, ProfileUnit.SHARE: plant.power_w if plant else 0}
    end = int(timezone.now().timestamp())
    rules = Rules(seconds, units[source.unit], most_energy(point, register, seconds), end)
    return _compare(source, read_profile(str(source.path), content, rules))


def _compare(source: Source, profile: Profile) -> Loaded:
    occupied = _Occupied(source.point)
    stored = _stored(source, profile.energy)
    meters = _batches_of_meters(stored.values())
    energy: dict[int, int] = {}
    changed = identical = 0
    problems = list(profile.problems)
    for slot, wh in profile.energy.items():
        before = stored.get(slot)
        problem = occupied.problem(slot)
        if before is not None and before.value == wh and before.quality == Quality.TRUE_VALUE:
            identical += 1
        elif problem:
            problems.append(Problem(profile.file, profile.lines[slot], TIMESTAMP, "no_occupant", problem))
        elif before is not None and before.batch in meters:
            message = _("The meter itself signed another value for this slot: %(wh)s Wh.") % {"wh": before.value}
            problems.append(Problem(profile.file, profile.lines[slot], VALUE, "signed_by_meter", message))
        else:
            energy[slot] = wh
            changed += before is not None
    problems.sort(key=lambda problem: problem.line)
    return Loaded(source, energy, changed, identical, problems)


class _Occupied:
    """Whether there is a secret that salts a slot's reading."""

    def __init__(self, point: MeteringPoint) -> None:
        self.point = point
        found = Occupancy.objects.filter(point=point).exclude(sealed_secret=None)
        self.periods = [(since, until or dt.date.max) for since, until in found.values_list("since", "until")]

    def problem(self, slot: int) -> str:
        day = local_day(slot, self.point.area.zone)
        if any(since <= day < until for since, until in self.periods):
            return ""
        message = _("Nobody occupied %(point)s on %(day)s, or the secret of its readings was erased.")
        return message % {"point": self.point.code, "day": day}


def _stored(source: Source, energy: dict[int, int]) -> dict[int, readings.Stored]:
    if not energy:
        return {}
    point, end = source.point, max(energy) + source.point.area.slot_seconds
    found = readings.latest(point.area_id, [point.pk], min(energy), end)
    return {reading.slot: reading for reading in found if reading.register == source.register}


def _batches_of_meters(stored: Iterable[readings.Stored]) -> set[int]:
    batches = {reading.batch for reading in stored}
    return set(Batch.objects.filter(pk__in=batches, grade=Grade.DEVICE_SIGNED).values_list("pk", flat=True))


def store_profiles(area: MarketArea, point: MeteringPoint, loaded: Iterable[Loaded]) -> int:
    """Store what profiles of one point add, whole or not at all; returns how many batches that made.

    Raises `BatchRefused`.
    """
    series: Series = {profile.source.register: profile.energy for profile in loaded if profile.energy}
    return import_series(area, area.utility, {point: series})
