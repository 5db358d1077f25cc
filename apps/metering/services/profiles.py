"""Take profiles from files as readings of metering points, signed by the utility that imports them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.choices import ImportState, SourceKey, Use
from apps.metering.formats.base import Problem, Refused
from apps.metering.formats.slots import SlotValue
from apps.metering.models import ReadingImport
from apps.metering.profiles import TIMESTAMP, VALUE, Rules, read_profile
from apps.metering.services.batches import most_energy
from apps.metering.services.files import report_of
from apps.metering.services.intake import Checked, Compared, Part, compare, source_refused, store_part, use_of
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
    sha256: bytes
    size: int
    use: Use
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
    use = use_of(point, SourceKey.PROFILE)
    plant = getattr(point, "plant", None)
    content = source.path.read_bytes()
    if plant is None and (register == Register.GENERATION or source.unit == ProfileUnit.SHARE):
        message = _("The metering point %(point)s has no plant.") % {"point": point.code}
        return _unusable(source, content, Refused(VALUE, "no_plant", message))
    if use == Use.REFUSED:
        return _unusable(source, content, source_refused(point, VALUE))
    seconds = point.area.slot_seconds
    units = {ProfileUnit.WATT: 1, ProfileUnit.KILOWATT: 1000, ProfileUnit.SHARE: plant.power_w if plant else 0}
    end = int(timezone.now().timestamp())
    rules = Rules(seconds, units[source.unit], most_energy(point, register, seconds), end)
    profile = read_profile(str(source.path), content, rules)
    values = {slot: SlotValue(wh, Quality.TRUE_VALUE, profile.lines[slot]) for slot, wh in profile.energy.items()}
    compared = compare(
        point, register, values, use=use, source=SourceKey.PROFILE, time_field=TIMESTAMP, value_field=VALUE
    )
    problems = [*profile.problems, *(_problem(source, line, bad) for line, bad in compared.problems)]
    problems.sort(key=lambda problem: problem.line)
    return Loaded(source, hashlib.sha256(content).digest(), len(content), use, compared, problems)


def _unusable(source: Source, content: bytes, refused: Refused) -> Loaded:
    problems = [_problem(source, 1, refused)]
    digest = hashlib.sha256(content).digest()
    return Loaded(source, digest, len(content), Use.REFUSED, Compared(source.register), problems)


def _problem(source: Source, line: int, refused: Refused) -> Problem:
    return Problem(str(source.path), line, refused.field, refused.rule, refused.message)


def store_profiles(area: MarketArea, point: MeteringPoint, loaded: Sequence[Loaded]) -> int:
    """Store what profiles of one point add, whole or not at all; returns how many batches that made.

    Raises `BatchRefused`.
    """
    part = Part(point, use_of(point, SourceKey.PROFILE), tuple(profile.compared for profile in loaded))
    if not part.new:
        return 0
    with transaction.atomic():
        delivery = ReadingImport.objects.create(
            area=area,
            source=SourceKey.PROFILE,
            name=", ".join(profile.source.path.name for profile in loaded)[:200],
            sha256=hashlib.sha256(b"".join(profile.sha256 for profile in loaded)).digest(),
            size=sum(profile.size for profile in loaded),
            keep_good=any(profile.problems for profile in loaded),
            state=ImportState.STORED,
            report=report_of(Checked((part,), tuple(chain(*(profile.problems for profile in loaded))), {}, {}, False)),
            total=1,
            done=1,
            stored=part.new,
            finished_at=timezone.now(),
        )
        return store_part(area.utility, part, delivery)
