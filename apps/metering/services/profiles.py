"""Take profiles from files as readings of metering points, signed by the utility that imports them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.choices import SourceKey, Use
from apps.metering.formats.base import Problem
from apps.metering.formats.slots import SlotValue
from apps.metering.profiles import TIMESTAMP, VALUE, Profile, Rules, read_profile
from apps.metering.services.batches import most_energy
from apps.metering.services.intake import Compared, Part, compare, store_part
from evidence.readings import Quality, Register


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
    """A file's profile, compared with what is stored already."""

    source: Source
    compared: Compared
    problems: Sequence[Problem]

    @property
    def energy(self) -> dict[int, int]:
        """What it would add, Wh by slot."""
        return {slot: value.value for slot, value in self.compared.new.items()}

    @property
    def changed(self) -> int:
        return self.compared.changed

    @property
    def identical(self) -> int:
        return self.compared.identical

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
        return Loaded(source, Compared(register), [Problem(str(source.path), 1, VALUE, "no_plant", message)])
    seconds = point.area.slot_seconds
    units = {ProfileUnit.WATT: 1, ProfileUnit.KILOWATT: 1000, ProfileUnit.SHARE: plant.power_w if plant else 0}
    end = int(timezone.now().timestamp())
    rules = Rules(seconds, units[source.unit], most_energy(point, register, seconds), end)
    return _compare(source, read_profile(str(source.path), content, rules))


def _compare(source: Source, profile: Profile) -> Loaded:
    values = {slot: SlotValue(wh, Quality.TRUE_VALUE, profile.lines[slot]) for slot, wh in profile.energy.items()}
    compared = compare(
        source.point,
        source.register,
        values,
        source=SourceKey.PROFILE,
        time_field=TIMESTAMP,
        value_field=VALUE,
    )
    problems = [
        *profile.problems,
        *(Problem(profile.file, line, bad.field, bad.rule, bad.message) for line, bad in compared.problems),
    ]
    problems.sort(key=lambda problem: problem.line)
    return Loaded(source, compared, problems)


def store_profiles(area: MarketArea, point: MeteringPoint, loaded: Iterable[Loaded]) -> int:
    """Store what profiles of one point add, whole or not at all; returns how many batches that made.

    Raises `BatchRefused`.
    """
    return store_part(area.utility, Part(point, Use.BILLING, tuple(profile.compared for profile in loaded)))
