"""What all sources of readings share: whose a value is, what it is good for, and what is stored of it.

A value is compared with what is stored already. The same again is left out; another one becomes a new version; what a
meter signed and what nobody could have measured is refused, with its line and rule.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Party
from apps.assets.models import MarketArea, MeteringPoint, Occupancy
from apps.metering import readings
from apps.metering.choices import Grade, Placement, SourceKey, Use
from apps.metering.formats.base import MOST_PROBLEMS, Content, Problem, Refused
from apps.metering.formats.slots import SlotValue, slots_of
from apps.metering.informative import latest_informative
from apps.metering.models import Batch, PointSource, ReadingImport
from apps.metering.services.batches import most_energy
from apps.metering.services.imports import Series, import_series, store_substitutes
from evidence.readings import Quality, Register
from market_math.slots import local_day

Values = Mapping[int, SlotValue]

_CUPS = re.compile(r"(ES\d{16}[A-Z]{2})(\d[A-Z])?", re.ASCII)
# Documents say themselves whether a register counts at the site or at the grid.
_SAYS_PLACEMENT = frozenset({SourceKey.MEASURES})
_PLACED = {
    Placement.SITE: {Register.GRID_IMPORT: Register.CONSUMPTION, Register.GRID_EXPORT: Register.GENERATION},
    Placement.GRID: {},
}


@dataclass(frozen=True, slots=True)
class Compared:
    """Values of a register split by what is stored already: `new` is what they would add, by slot."""

    register: Register
    new: dict[int, SlotValue] = field(default_factory=dict)
    changed: int = 0
    identical: int = 0
    problems: list[tuple[int, Refused]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Part:
    """What a file has for one metering point."""

    point: MeteringPoint
    use: Use
    registers: tuple[Compared, ...]

    @property
    def new(self) -> int:
        return sum(len(compared.new) for compared in self.registers)


@dataclass(frozen=True, slots=True)
class Checked:
    """A file after all checks. `more_problems` counts by rule those that are not listed."""

    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]
    more_problems: Mapping[str, int]
    skipped: Mapping[str, int]
    is_broken: bool

    def _sum(self, name: str) -> int:
        return sum(getattr(compared, name) for part in self.parts for compared in part.registers)

    @property
    def new(self) -> int:
        return sum(part.new for part in self.parts)

    @property
    def changed(self) -> int:
        return self._sum("changed")

    @property
    def identical(self) -> int:
        return self._sum("identical")

    @property
    def bad(self) -> int:
        return len(self.problems) + sum(self.more_problems.values())

    @property
    def is_usable(self) -> bool:
        return not self.is_broken and bool(self.new or self.identical)


class _Problems:
    """A bounded list of problems by line."""

    def __init__(self, content: Content) -> None:
        self.file = content.file
        self.listed = list(content.problems)
        self.more = Counter(content.more_problems)

    def add(self, line: int, refused: Refused) -> None:
        if len(self.listed) < MOST_PROBLEMS:
            self.listed.append(Problem(self.file, line, refused.field, refused.rule, refused.message))
        else:
            self.more[refused.rule] += 1


def check_content(area: MarketArea, source: SourceKey, content: Content) -> Checked:
    """Compare a file with metering points and what is stored, a metering point after another."""
    problems = _Problems(content)
    parts = []
    if not content.is_broken:
        for point, registers in _by_point(area, content, problems).items():
            part = _check_point(area, source, content, point, registers, problems)
            if part is not None:
                parts.append(part)
    problems.listed.sort(key=lambda problem: problem.line)
    return Checked(tuple(parts), tuple(problems.listed), dict(problems.more), dict(content.skipped), content.is_broken)


def _by_point(
    area: MarketArea, content: Content, problems: _Problems
) -> dict[MeteringPoint, dict[Register, tuple[str, Register]]]:
    """The keys of a file's samples by metering point and register, in order of the points' codes."""
    points = _Points(area)
    found: dict[MeteringPoint, dict[Register, tuple[str, Register]]] = {}
    for key in sorted(content.samples):
        code, register = key
        point, samples = points.find(code), content.samples[key]
        if not samples:
            continue
        if point is None:
            message = _('There is no metering point "%(code)s" in %(area)s.') % {"code": code[:50], "area": area}
            problems.add(samples[0].line, Refused("point", "unknown_point", message))
        elif register in found.setdefault(point, {}):
            message = _("The file has this register of the metering point under two codes.")
            problems.add(samples[0].line, Refused("point", "register_twice", message))
        else:
            found[point][register] = key
    return found


class _Points:
    """The metering points of an area by code."""

    def __init__(self, area: MarketArea) -> None:
        self.by_code = {point.code: point for point in area.points.select_related("area__utility", "plant")}
        self.by_short: dict[str, list[MeteringPoint]] = {}
        for code, point in self.by_code.items():
            self.by_short.setdefault(_short(code), []).append(point)

    def find(self, code: str) -> MeteringPoint | None:
        """By its code; by the short form of a CUPS where one side has it and no other point is meant."""
        exact = self.by_code.get(code)
        if exact is not None:
            return exact
        alike = [point for point in self.by_short.get(_short(code), []) if len(point.code) != len(code)]
        return alike[0] if len(alike) == 1 else None


def _short(code: str) -> str:
    """A CUPS without the two characters for the point of supply, which not everybody writes."""
    match = _CUPS.fullmatch(code)
    return match[1] if match else code


def _check_point(
    area: MarketArea,
    source: SourceKey,
    content: Content,
    point: MeteringPoint,
    keys: Mapping[Register, tuple[str, Register]],
    problems: _Problems,
) -> Part | None:
    """None where nothing of the metering point is taken."""
    told = _told(point, source)
    use = _use(told)
    first = min(content.samples[key][0].line for key in keys.values())
    if use == Use.REFUSED:
        problems.add(first, source_refused(point, "point"))
        return None
    has_plant = hasattr(point, "plant")
    placed = _PLACED[Placement(told.placement) if told else Placement.SITE]
    if source in _SAYS_PLACEMENT:
        placed = {}
    elif told is None and has_plant and set(keys) & set(_PLACED[Placement.SITE]):
        message = _("%(point)s has a plant: say whether this source counts at the plant or at the grid connection.")
        problems.add(first, Refused("point", "no_placement", message % {"point": point.code}))
        return None
    registers = []
    for register, key in keys.items():
        slots = slots_of(content.samples[key], area.slot_seconds)
        for line, refused in slots.problems:
            problems.add(line, refused)
        kept = placed.get(register, register)
        if kept == Register.GENERATION and not has_plant and not any(value.value for value in slots.values.values()):
            continue  # a meter's idle register of export
        compared = compare(point, kept, slots.values, use=use, source=source)
        for line, refused in compared.problems:
            problems.add(line, refused)
        registers.append(compared)
    return Part(point, use, tuple(registers))


def use_of(point: MeteringPoint, source: SourceKey) -> Use:
    """What readings of a source are good for at a metering point. They count where nobody said otherwise."""
    return _use(_told(point, source))


def _told(point: MeteringPoint, source: SourceKey) -> PointSource | None:
    return PointSource.objects.filter(point=point, source=source).first()


def _use(told: PointSource | None) -> Use:
    return Use(told.use) if told else Use.BILLING


def source_refused(point: MeteringPoint, field: str) -> Refused:
    message = _("%(point)s takes no readings of this source.") % {"point": point.code}
    return Refused(field, "source_refused", message)


def compare(
    point: MeteringPoint,
    register: Register,
    values: Values,
    *,
    use: Use = Use.BILLING,
    source: SourceKey,
    time_field: str = "time",
    value_field: str = "value",
) -> Compared:
    """Split values of one register by what is stored. The fields are what problems of time and of value name."""
    occupied = _Occupied(point)
    stored = _stored(point, register, values, use, source)
    meters = set() if use == Use.INFORMATIVE else _batches_of_meters(stored.values())
    seconds = point.area.slot_seconds
    most, end = most_energy(point, register, seconds), int(timezone.now().timestamp())
    new: dict[int, SlotValue] = {}
    changed = identical = 0
    problems: list[tuple[int, Refused]] = []
    for slot, value in values.items():
        before = stored.get(slot)
        if before is not None and (before.value, before.quality) == (value.value, value.quality):
            identical += 1
        elif slot + seconds > end:
            problems.append((value.line, Refused(time_field, "in_the_future", _("The slot is not over yet."))))
        elif reason := occupied.problem(slot):
            problems.append((value.line, Refused(time_field, "no_occupant", reason)))
        elif refusal := _refusal(value, before, meters, most, value_field):
            problems.append((value.line, refusal))
        else:
            new[slot] = value
            changed += before is not None
    return Compared(register, new, changed, identical, problems)


def _refusal(
    value: SlotValue, before: readings.Stored | None, meters: set[int], most: int, field: str
) -> Refused | None:
    if value.value > most:
        message = _("%(wh)s in a slot is more than is possible here: at most %(most)s.")
        return Refused(field, "implausible_energy", message % {"wh": value.value, "most": most})
    if before is not None and before.batch in meters:
        message = _("The meter itself signed another value for this slot: %(wh)s Wh.") % {"wh": before.value}
        return Refused(field, "signed_by_meter", message)
    if before is not None and value.quality == Quality.SUBSTITUTE and before.quality == Quality.TRUE_VALUE:
        message = _("There is a true value for this slot: a substitute does not replace it.")
        return Refused(field, "true_value_there", message)
    return None


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


def _stored(
    point: MeteringPoint, register: Register, values: Values, use: Use, source: SourceKey
) -> dict[int, readings.Stored]:
    if not values:
        return {}
    start, end = min(values), max(values) + point.area.slot_seconds
    if use == Use.INFORMATIVE:
        found: Iterable[readings.Stored] = latest_informative(point.area_id, point.pk, start, end, source)
    else:
        found = readings.latest(point.area_id, [point.pk], start, end)
    return {reading.slot: reading for reading in found if reading.register == register}


def _batches_of_meters(stored: Iterable[readings.Stored]) -> set[int]:
    batches = {reading.batch for reading in stored}
    return set(Batch.objects.filter(pk__in=batches, grade=Grade.DEVICE_SIGNED).values_list("pk", flat=True))


def store_part(importer: Party, part: Part, brought_by: ReadingImport | None = None) -> int:
    """Store what a file adds to one metering point, whole or not at all; returns how many batches that made.

    True values are signed as imported, substitutes as decided, both by `importer`. Raises `BatchRefused`.
    """
    true_values, substitutes = (_series(part.registers, quality) for quality in Quality)
    slots = [slot for series in (true_values, substitutes) for values in series.values() for slot in values]
    if not slots:
        return 0
    area, informs = part.point.area, part.use == Use.INFORMATIVE
    readings.prepare_partitions(min(slots), max(slots) + area.slot_seconds)
    with transaction.atomic():
        made = import_series(area, importer, {part.point: true_values}, informs=informs, brought_by=brought_by)
        made += store_substitutes(area, importer, {part.point: substitutes}, informs=informs, brought_by=brought_by)
    return made


def _series(registers: Sequence[Compared], quality: Quality) -> Series:
    found = {
        int(compared.register): {slot: v.value for slot, v in compared.new.items() if v.quality == quality}
        for compared in registers
    }
    return {register: values for register, values in found.items() if values}
