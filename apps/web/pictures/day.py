"""A local day as areas per slot: where the energy came from or went to, or a load curve."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate, groupby
from zoneinfo import ZoneInfo

from django.utils.html import conditional_escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.web.components import Column, Table
from apps.web.formatting import EN_DASH, EXACT, decimal_text, kwh, kwh_number, local_date, slot_range
from apps.web.pictures.hues import Hue, paint, patterns, swatch
from apps.web.pictures.svg import (
    Attribute,
    Frame,
    axis_step,
    drawing,
    join,
    legend,
    line,
    number,
    picture,
    stroke,
    tag,
    text,
)

Values = Sequence[int | None]

# The room that "00:00" takes, in pixels of a drawing.
CLOCK_WIDTH = 38


@dataclass(frozen=True, slots=True)
class LocalDay:
    """A local date cut into slots: 92, 96 or 100 quarter-hours in zones with summer time."""

    day: date
    zone: ZoneInfo
    slot_minutes: int = 15

    @property
    def starts(self) -> tuple[datetime, ...]:
        """The UTC starts of the day's slots."""
        first, after = self._midnight(self.day), self._midnight(self.day + timedelta(days=1))
        count = (after - first) // timedelta(minutes=self.slot_minutes)
        return tuple(first + timedelta(minutes=self.slot_minutes) * index for index in range(count))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=self.zone).astimezone(UTC)

    def check(self, values: Values, label: str) -> None:
        """ValueError unless there is one value, zero or more, or None for each slot."""
        if len(values) != len(self.starts):
            raise ValueError(f"{label} has {len(values)} values, {self.day} has {len(self.starts)} slots.")
        if any(value is not None and value < 0 for value in values):
            raise ValueError(f"{label} has a negative value; energy of a slot counts from zero.")

    def labels(self) -> tuple[str, ...]:
        """The clock times of each slot."""
        length = timedelta(minutes=self.slot_minutes)
        return tuple(slot_range(start, start + length, self.zone) for start in self.starts)

    def ticks(self, every: int) -> tuple[tuple[int, str], ...]:
        """Slot index and clock time of each local hour that `every` divides, each once, and the day's end."""
        found: dict[str, int] = {}
        for index, start in enumerate(self.starts):
            local = start.astimezone(self.zone)
            if local.hour % every == 0 and local.minute == 0:
                found.setdefault(f"{local:%H:%M}", index)
        return (*((index, label) for label, index in found.items()), (len(self.starts), "24:00"))

    def clock_note(self) -> str:
        """A sentence about a change of the clocks during the day, empty on other days."""
        minutes = len(self.starts) * self.slot_minutes
        if minutes == 24 * 60:
            return ""
        hours = decimal_text(EXACT.divide(Decimal(minutes), Decimal(60)), most=1)
        if minutes < 24 * 60:
            return _("This day has %(hours)s hours: the clocks went forward.") % {"hours": hours}
        return _("This day has %(hours)s hours: the clocks went back.") % {"hours": hours}


@dataclass(frozen=True, slots=True)
class Series:
    """One area of a day: Wh per slot, None where nothing is known yet."""

    hue: Hue
    label: str
    values: tuple[int | None, ...]

    @property
    def total(self) -> int:
        """Wh."""
        return sum(value or 0 for value in self.values)


@dataclass(frozen=True, slots=True)
class DayChart:
    """A day as stacked areas, the first series lowest. `key` starts all ids: one per page.

    ValueError unless every series has a value, or None, for each slot.
    """

    key: str
    title: str
    day: LocalDay
    series: tuple[Series, ...]

    def __post_init__(self) -> None:
        for series in self.series:
            self.day.check(series.values, series.label)


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """Generation and consumption of one metering point, Wh per slot; either may be absent, not both."""

    key: str
    title: str
    day: LocalDay
    consumption: tuple[int | None, ...] | None = None
    generation: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        if self.consumption is None and self.generation is None:
            raise ValueError("A load curve shows generation, consumption or both.")
        for values, label in ((self.consumption, "Consumption"), (self.generation, "Generation")):
            if values is not None:
                self.day.check(values, label)


@dataclass(frozen=True, slots=True)
class Plot:
    """The frame of a day: where slots and energy lie on the paper."""

    frame: Frame
    day: LocalDay
    slots: int
    largest: int

    LEFT = 40
    TOP = 28
    BOTTOM = 28

    @property
    def height(self) -> int:
        return 220 if self.frame.narrow else 300

    @property
    def base(self) -> int:
        return self.height - self.BOTTOM

    @property
    def step(self) -> int:
        return axis_step(self.largest)

    @property
    def top(self) -> int:
        """The Wh at the upper end of the axis, a whole number of steps."""
        return max(1, -(-self.largest // self.step)) * self.step

    def x(self, slot: int) -> float:
        return self.LEFT + slot * (self.frame.width - self.LEFT - 1) / self.slots

    def y(self, wh: int) -> float:
        return self.base - wh * (self.base - self.TOP) / self.top

    def area(self, values: Values) -> str:
        """The path of a stepped area from zero up to `values`, one closed piece per run of known slots."""
        return "".join(
            f"M{number(self.x(first))} {self.base}{self._steps(run)}V{self.base}Z" for first, run in runs(values)
        )

    def outline(self, values: Values) -> str:
        """The path along the top of `values`."""
        return "".join(
            f"M{number(self.x(first))} {number(self.y(run[0][1]))}{self._steps(run)}" for first, run in runs(values)
        )

    def _steps(self, run: Sequence[tuple[int, int]]) -> str:
        parts = []
        for wh, slots in groupby(run, key=lambda item: item[1]):
            last = list(slots)[-1][0]
            parts.append(f"V{number(self.y(wh))}H{number(self.x(last + 1))}")
        return "".join(parts)

    def grid(self) -> SafeString:
        """The energy axis; it stands behind the areas."""
        marks = [text(_unit(self.day.slot_minutes), 0, 14, "axis-unit")]
        for wh in range(0, self.top + 1, self.step):
            y = self.y(wh)
            marks.append(text(kwh_number(wh), self.LEFT - 8, y + 4.5, "axis-number", "end"))
            if wh:
                marks.append(line(self.LEFT, y, self.frame.width, y, "axis-grid"))
        return tag("g", {}, *marks)

    def clock(self) -> SafeString:
        """The time axis at zero; it stands before the areas."""
        marks = [line(self.LEFT, self.base, self.frame.width, self.base, "axis-base")]
        free, end = 0.0, self.x(self.slots)
        for slot, label in self.day.ticks(6 if self.frame.narrow else 3):
            x = self.x(slot)
            marks.append(line(x, self.base, x, self.base + 5, "axis-base"))
            left, anchor = _aligned(x, slot == 0, slot == self.slots)
            # Ticks crowd where an hour is missing in spring; the label of the day's end always has its place.
            if left >= free and (slot == self.slots or left + CLOCK_WIDTH <= end - CLOCK_WIDTH):
                marks.append(text(label, x, self.base + 21, "axis-number", anchor))
                free = left + CLOCK_WIDTH + 4
        return tag("g", {}, *marks)


def _aligned(x: float, first: bool, last: bool) -> tuple[float, str]:
    """Where a clock time at `x` begins, and its anchor: the outer ones stay inside the drawing."""
    if first:
        return x, "start"
    return (x - CLOCK_WIDTH, "end") if last else (x - CLOCK_WIDTH / 2, "middle")


def day_chart(chart: DayChart) -> SafeString:
    """The day as stacked areas with a legend that carries the totals."""
    stacked = _stack(chart.day, chart.series)
    largest = _largest(stacked)
    description = ", ".join(f"{series.label} {kwh(series.total)}" for series in chart.series)

    def draw(frame: Frame) -> SafeString:
        plot = Plot(frame, chart.day, len(chart.day.starts), largest)
        prefix = f"{chart.key}-{frame.name}"
        # Each area reaches down to zero and is covered by the ones below it, painted later.
        layers = [
            _path(plot.area(values), "area", paint(prefix, series.hue))
            for series, values in zip(reversed(chart.series), reversed(stacked), strict=True)
        ]
        edge = _path(plot.outline(stacked[-1]), "outline") if stacked else join()
        ground = (patterns(prefix, [series.hue for series in chart.series]), plot.grid())
        shapes = (*ground, *layers, edge, plot.clock())
        return drawing(chart.key, frame, plot.height, chart.title, description, *shapes)

    entries = (
        (swatch(f"{chart.key}-key-{index}", series.hue), series.label, kwh(series.total))
        for index, series in enumerate(chart.series)
    )
    return picture(chart.key, draw, legend(entries), _note(chart.day))


def load_curve(curve: LoadCurve) -> SafeString:
    """Generation and consumption as lines; where they overlap, the energy used on the spot is filled."""
    known = [values for values in (curve.generation, curve.consumption) if values is not None]
    largest = _largest(known)
    shared = _overlap(curve)
    entries = _load_entries(curve)
    description = ", ".join(f"{label} {total}" for _mark, label, total in entries)

    def draw(frame: Frame) -> SafeString:
        plot = Plot(frame, curve.day, len(curve.day.starts), largest)
        prefix = f"{curve.key}-{frame.name}"
        shapes = [patterns(prefix, [Hue.OWN]), plot.grid()]
        shapes += [_path(plot.area(values), "area-soft") for values in known]
        if shared:
            shapes.append(_path(plot.area(shared), "area", paint(prefix, Hue.OWN)))
        shapes.append(plot.clock())
        if curve.generation is not None:
            shapes.append(_path(plot.outline(curve.generation), "curve curve-generation"))
        if curve.consumption is not None:
            shapes.append(_path(plot.outline(curve.consumption), "curve curve-consumption"))
        return drawing(curve.key, frame, plot.height, curve.title, description, *shapes)

    return picture(curve.key, draw, legend(entries), _note(curve.day))


def day_table(chart: DayChart) -> Table:
    """The table behind a day: a row per slot, a column per series, their sum, and the day's totals."""
    return _slot_table(
        chart.title, chart.day, [(series.label, series.values) for series in chart.series], with_sum=True
    )


def load_table(curve: LoadCurve) -> Table:
    """The table behind a load curve: a row per slot and the day's totals."""
    columns = [(_("Generation"), curve.generation), (_("Consumption"), curve.consumption)]
    known = [(label, values) for label, values in columns if values is not None]
    return _slot_table(curve.title, curve.day, known, with_sum=False)


def _slot_table(title: str, day: LocalDay, series: Sequence[tuple[str, Values]], *, with_sum: bool) -> Table:
    columns = [values for _label, values in series]
    labels = [label for label, _values in series]
    if with_sum:
        columns.append(_sum(columns))
        labels.append(_("Together"))
    caption = _("%(title)s, %(date)s, in kWh") % {"title": title, "date": local_date(day.day)}
    rows = tuple((label, *(_cell(values[index]) for values in columns)) for index, label in enumerate(day.labels()))
    total = (_("Whole day"), *(kwh_number(sum(value or 0 for value in values), fixed=True) for values in columns))
    headings = (Column(_("Time")), *(Column(label, numeric=True) for label in labels))
    return Table(caption, headings, rows, total, long=True)


def _cell(wh: int | None) -> str:
    return EN_DASH if wh is None else kwh_number(wh, fixed=True)


def _sum(columns: Sequence[Values]) -> list[int | None]:
    """Slot by slot; None only where no series knows anything."""
    return [
        None if all(value is None for value in slot) else sum(value or 0 for value in slot)
        for slot in zip(*columns, strict=True)
    ]


def _stack(day: LocalDay, series: Sequence[Series]) -> list[list[int | None]]:
    """Running sums over the series, slot by slot."""
    known = _sum([one.values for one in series]) if series else [None] * len(day.starts)
    sums = accumulate(([value or 0 for value in one.values] for one in series), lambda a, b: [*map(int.__add__, a, b)])
    return [[None if whole is None else value for value, whole in zip(values, known, strict=True)] for values in sums]


def _overlap(curve: LoadCurve) -> list[int | None]:
    if curve.generation is None or curve.consumption is None:
        return []
    pairs = zip(curve.generation, curve.consumption, strict=True)
    return [None if made is None or used is None else min(made, used) for made, used in pairs]


def _load_entries(curve: LoadCurve) -> list[tuple[SafeString, str, str]]:
    entries = []
    if curve.generation is not None:
        entries.append((stroke("curve-generation"), _("Generation"), _total(curve.generation)))
    if curve.consumption is not None:
        entries.append((stroke("curve-consumption"), _("Consumption"), _total(curve.consumption)))
    if shared := _overlap(curve):
        entries.append((swatch(f"{curve.key}-key", Hue.OWN), _("Used on the spot"), _total(shared)))
    return entries


def _total(values: Iterable[int | None]) -> str:
    return kwh(sum(value or 0 for value in values))


def _largest(columns: Iterable[Values]) -> int:
    return max((value for values in columns for value in values if value is not None), default=0)


def runs(values: Values) -> list[tuple[int, list[tuple[int, int]]]]:
    """Runs of known slots: the first index, and index and Wh of each slot."""
    found: list[tuple[int, list[tuple[int, int]]]] = []
    for index, wh in enumerate(values):
        if wh is None:
            continue
        if index == 0 or values[index - 1] is None:
            found.append((index, []))
        found[-1][1].append((index, wh))
    return found


def _unit(slot_minutes: int) -> str:
    match slot_minutes:
        case 15:
            return _("kWh per quarter-hour")
        case 60:
            return _("kWh per hour")
        case _:
            return _("kWh per %(minutes)s minutes") % {"minutes": slot_minutes}


def _path(d: str, css: str, fill: str = "") -> SafeString:
    attributes: dict[str, Attribute] = {"d": d, "class": css}
    if fill:
        attributes["fill"] = fill
    return tag("path", attributes)


def _note(day: LocalDay) -> SafeString:
    note = day.clock_note()
    return tag("p", {"class": "picture-note"}, conditional_escape(note)) if note else join()
