"""How late readings came, hour by hour over some days."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby

from django.utils.dateformat import format as date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.web.components import Column, Table
from apps.web.formatting import EN_DASH, EXACT, decimal_text, local_date
from apps.web.pictures.svg import Frame, axis_step, drawing, line, number, picture, tag, text

HOURS = 24
_LEFT, _TOP, _BOTTOM = 40, 28, 28


@dataclass(frozen=True, slots=True)
class LagChart:
    """Minutes from the end of each hour until its last readings came; None where none came. `key` starts all ids.

    Every day has 24 values, by hour of the clock; those of the last one end now. The hour that summer time repeats
    shows the later of both. ValueError for any other number, or for a negative one.
    """

    key: str
    title: str
    days: tuple[date, ...]
    minutes: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.hours - len(self.minutes) <= HOURS:
            raise ValueError(f"{len(self.minutes)} values for {len(self.days)} days.")
        if any(value is not None and value < 0 for value in self.minutes):
            raise ValueError("A reading cannot come before its hour is over.")

    @property
    def hours(self) -> int:
        return HOURS * len(self.days)

    @property
    def largest(self) -> int:
        return max((value for value in self.minutes if value is not None), default=0)

    @property
    def in_hours(self) -> bool:
        """Whether the axis counts hours instead of minutes."""
        return self.largest > 5 * 60


def lag_chart(chart: LagChart) -> SafeString:
    """A stepped line above zero; hours without readings are marked along the axis."""
    missing = chart.minutes.count(None)
    description = _("%(missing)s of %(hours)s hours have no readings.") % {
        "missing": missing,
        "hours": len(chart.minutes),
    }

    def draw(frame: Frame) -> SafeString:
        height = 200 if frame.narrow else 240
        return drawing(chart.key, frame, height, chart.title, description, *_shapes(chart, frame, height))

    return picture(chart.key, draw)


def _shapes(chart: LagChart, frame: Frame, height: int) -> list[SafeString]:
    unit = 60 if chart.in_hours else 1
    step = axis_step(-(-chart.largest // unit), smallest=1) * unit
    top = max(1, -(-chart.largest // step)) * step
    base = height - _BOTTOM

    def x(hour: int) -> float:
        return _LEFT + hour * (frame.width - _LEFT - 1) / chart.hours

    def y(minutes: int) -> float:
        return base - minutes * (base - _TOP) / top

    shapes = [text(_("hours late") if chart.in_hours else _("minutes late"), 0, 14, "axis-unit")]
    for minutes in range(0, top + 1, step):
        shapes.append(text(str(minutes // unit), _LEFT - 8, y(minutes) + 4.5, "axis-number", "end"))
        if minutes:
            shapes.append(line(_LEFT, y(minutes), frame.width, y(minutes), "axis-grid"))
    first = 0
    for is_missing, hours in groupby(chart.minutes, key=lambda value: value is None):
        run = list(hours)
        if is_missing:
            shapes.append(line(x(first), base, x(first + len(run)), base, "gap"))
        else:
            steps = "".join(f"V{number(y(value or 0))}H{number(x(first + i + 1))}" for i, value in enumerate(run))
            shapes.append(tag("path", {"d": f"M{number(x(first))} {base}{steps}V{base}Z", "class": "area-soft"}))
            shapes.append(
                tag("path", {"d": f"M{number(x(first))} {number(y(run[0] or 0))}{steps}", "class": "curve curve-lag"})
            )
        first += len(run)
    shapes.append(line(_LEFT, base, frame.width, base, "axis-base"))
    for index, day in enumerate(chart.days):
        shapes.append(line(x(index * HOURS), base, x(index * HOURS), base + 5, "axis-base"))
        shapes.append(text(date_format(day, "D"), x(index * HOURS + HOURS // 2), base + 21, "axis-number", "middle"))
    return shapes


def lag_table(chart: LagChart) -> Table:
    """The table behind it: a row per day."""
    columns = (
        Column(_("Day")),
        Column(_("Hours with readings"), numeric=True),
        Column(_("Latest after"), numeric=True),
    )
    rows = []
    for index, day in enumerate(chart.days):
        known = [value for value in chart.minutes[index * HOURS : (index + 1) * HOURS] if value is not None]
        rows.append((local_date(day), str(len(known)), late(max(known)) if known else EN_DASH))
    return Table(chart.title, columns, tuple(rows))


def late(minutes: int) -> str:
    """A lag in words: minutes, or hours from two of them on."""
    if minutes < 120:
        return _("%(minutes)s min") % {"minutes": minutes}
    hours = EXACT.divide(Decimal(minutes), Decimal(60))
    return _("%(hours)s h") % {"hours": decimal_text(hours, most=1 if minutes < 24 * 60 else 0)}
