"""A month as a calendar whose days are tinted by how well they went; every day says so in figures too."""

import calendar
import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.web.components import Column, Table
from apps.web.formatting import local_date
from apps.web.pictures.svg import Attribute, Frame, drawing, picture, tag, text

GAP = 4
HEAD = 24
CELL = 48


class Tint(StrEnum):
    """How a day went, the worst last. Each has a border of its own for print and for eyes that see no red and green."""

    UNKNOWN = "unknown"
    FULL = "full"
    REPLACED = "replaced"
    SOME = "some"
    MOST = "most"


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day: its tint, the figure in its cell, what that says in words, and the page that it opens, if any."""

    day: dt.date
    tint: Tint
    figure: str
    words: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class CalendarMap:
    """The days of a month that something is known of. `key` starts all ids: one per page.

    ValueError for a day of another month.
    """

    key: str
    title: str
    month: dt.date
    days: tuple[CalendarDay, ...]

    def __post_init__(self) -> None:
        for one in self.days:
            if (one.day.year, one.day.month) != (self.month.year, self.month.month):
                raise ValueError(f"{one.day} is no day of {self.month:%Y-%m}")


def calendar_map(shown: CalendarMap) -> SafeString:
    """Weeks from Monday to Sunday, one below the other."""
    description = "; ".join(f"{local_date(one.day)}: {one.words}" for one in shown.days)

    def draw(frame: Frame) -> SafeString:
        return _draw(shown, frame, description)

    return picture(shown.key, draw)


def calendar_table(shown: CalendarMap) -> Table:
    columns = (Column(_("Day")), Column(_("Readings"), numeric=True), Column(_("State")))
    return Table(shown.title, columns, tuple((local_date(one.day), one.figure, one.words) for one in shown.days))


def _draw(shown: CalendarMap, frame: Frame, description: str) -> SafeString:
    width = (frame.width - 6 * GAP) / 7
    by_day = {one.day: one for one in shown.days}
    shapes = [
        text(
            date_format(dt.date(2024, 1, 1 + column), "D"), column * (width + GAP) + width / 2, 14, "day-name", "middle"
        )
        for column in range(7)
    ]
    weeks = calendar.Calendar().monthdatescalendar(shown.month.year, shown.month.month)
    for row, week in enumerate(weeks):
        for column, day in enumerate(week):
            if day.month == shown.month.month:
                x, y = column * (width + GAP), HEAD + row * (CELL + GAP)
                shapes.append(_cell(by_day.get(day), day, x, y, width))
    height = HEAD + len(weeks) * (CELL + GAP)
    return drawing(shown.key, frame, height, shown.title, description, *shapes)


def _cell(one: CalendarDay | None, day: dt.date, x: float, y: float, width: float) -> SafeString:
    tint = one.tint if one else Tint.UNKNOWN
    box: dict[str, Attribute] = {
        "x": x + 1,
        "y": y + 1,
        "width": width - 2,
        "height": CELL - 2,
        "rx": 4,
        "class": f"tint tint-{tint}",
    }
    middle = x + width / 2
    parts = [
        tag("rect", box),
        text(str(day.day), middle, y + 20, "day-number", "middle"),
        text(one.figure if one else "", middle, y + 38, "day-figure", "middle"),
    ]
    if one is None or not one.href:
        return tag("g", {}, *parts)
    label = f"{local_date(day)}: {one.words}"
    return tag("a", {"href": one.href, "aria-label": label}, *parts)
