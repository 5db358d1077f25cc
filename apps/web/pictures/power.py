"""The mean power of the last slots: small enough to stand beside the figures of this moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.web.components import Column, Table
from apps.web.formatting import EN_DASH, kw, kw_number, slot_range
from apps.web.pictures.day import CLOCK_WIDTH, Values, runs
from apps.web.pictures.svg import Attribute, Frame, axis_step, drawing, legend, line, number, picture, stroke, tag, text

_LEFT, _TOP, _BOTTOM = 40, 28, 28
_STEPS = 3
_HOURS = (1, 2, 3, 6, 12, 24)


@dataclass(frozen=True, slots=True)
class PowerStrip:
    """Mean power in W per slot from the instant `first`; None where not all is known. `key` starts all ids.

    Either may be absent, not both. ValueError unless both have as many slots, none of them negative.
    """

    key: str
    title: str
    zone: ZoneInfo
    slot_minutes: int
    first: datetime
    consumption: tuple[int | None, ...] | None = None
    generation: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        known = self.series
        if not known or len({len(values) for _name, _css, values in known}) > 1 or not self.slots:
            raise ValueError("A strip shows generation, consumption or both, over the same slots.")
        if any(value is not None and value < 0 for _name, _css, values in known for value in values):
            raise ValueError("Power of a register counts from zero.")

    @property
    def series(self) -> list[tuple[str, str, tuple[int | None, ...]]]:
        """Name, class and values of what is shown."""
        both = (
            (_("Generation"), "curve-generation", self.generation),
            (_("Consumption"), "curve-consumption", self.consumption),
        )
        return [(name, css, values) for name, css, values in both if values is not None]

    @property
    def slots(self) -> int:
        return len(self.consumption or self.generation or ())

    @property
    def largest(self) -> int:
        return max((value for _name, _css, values in self.series for value in values if value is not None), default=0)

    def start(self, slot: int) -> datetime:
        return self.first + timedelta(minutes=self.slot_minutes) * slot


def power_strip(strip: PowerStrip) -> SafeString:
    """Stepped lines above zero, broken where nothing is known; the legend carries the highest value of each."""
    highest = [(name, css, _highest(values)) for name, css, values in strip.series]
    description = ", ".join(f"{name} {value}" for name, _css, value in highest)

    def draw(frame: Frame) -> SafeString:
        height = 150 if frame.narrow else 180
        return drawing(strip.key, frame, height, strip.title, description, *_shapes(strip, frame, height))

    return picture(strip.key, draw, legend((stroke(css), name, value) for name, css, value in highest))


def _highest(values: Values) -> str:
    known = [value for value in values if value is not None]
    return _("at most %(power)s") % {"power": kw(max(known))} if known else EN_DASH


def _shapes(strip: PowerStrip, frame: Frame, height: int) -> list[SafeString]:
    step = axis_step(strip.largest, _STEPS)
    top = max(1, -(-strip.largest // step)) * step
    base = height - _BOTTOM

    def x(slot: int) -> float:
        return _LEFT + slot * (frame.width - _LEFT - 1) / strip.slots

    def y(watt: int) -> float:
        return base - watt * (base - _TOP) / top

    shapes = [text("kW", 0, 14, "axis-unit")]
    for watt in range(0, top + 1, step):
        shapes.append(text(kw_number(watt), _LEFT - 8, y(watt) + 4.5, "axis-number", "end"))
        if watt:
            shapes.append(line(_LEFT, y(watt), frame.width, y(watt), "axis-grid"))
    for _name, css, values in strip.series:
        for first, run in runs(values):
            steps = "".join(f"V{number(y(watt))}H{number(x(slot + 1))}" for slot, watt in run)
            area = f"M{number(x(first))} {base}{steps}V{base}Z"
            shapes.append(_path(area, "area-soft"))
            shapes.append(_path(f"M{number(x(first))} {number(y(run[0][1]))}{steps}", f"curve {css}"))
    shapes.append(line(_LEFT, base, frame.width, base, "axis-base"))
    for slot, label in _ticks(strip, 4 if frame.narrow else 8):
        shapes.append(line(x(slot), base, x(slot), base + 5, "axis-base"))
        if x(slot) + CLOCK_WIDTH / 2 <= frame.width:
            shapes.append(text(label, x(slot), base + 21, "axis-number", "middle"))
    return shapes


def _path(d: str, css: str) -> SafeString:
    attributes: dict[str, Attribute] = {"d": d, "class": css}
    return tag("path", attributes)


def _ticks(strip: PowerStrip, most: int) -> list[tuple[int, str]]:
    """Slot and clock time of full hours, not more than `most` of them."""
    span = strip.slots * strip.slot_minutes / 60
    every = next((hours for hours in _HOURS if span / hours <= most), _HOURS[-1])
    local = [strip.start(slot).astimezone(strip.zone) for slot in range(strip.slots)]
    return [(slot, f"{at:%H:%M}") for slot, at in enumerate(local) if at.minute == 0 and at.hour % every == 0]


def power_table(strip: PowerStrip) -> Table:
    """The table behind it, the newest slot first."""
    columns = (Column(_("Time")), *(Column(f"{name}, kW", numeric=True) for name, _css, _values in strip.series))
    rows = []
    for slot in reversed(range(strip.slots)):
        powers = [values[slot] for _name, _css, values in strip.series]
        time = slot_range(strip.start(slot), strip.start(slot + 1), strip.zone)
        rows.append((time, *(EN_DASH if power is None else kw_number(power, fixed=True) for power in powers)))
    return Table(strip.title, columns, tuple(rows), long=True)
