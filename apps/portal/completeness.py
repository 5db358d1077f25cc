"""What the pages show of an area's readings: the month as a calendar, a day by metering point."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.assets.models import MarketArea
from apps.metering.choices import Register
from apps.metering.completeness import Gate, PointCount
from apps.metering.models import DayCount, Decision
from apps.portal.links import link, point_url
from apps.web.components import Column, Table
from apps.web.formatting import local_date, local_datetime
from apps.web.pictures import CalendarDay, CalendarMap, Tint

# From here on a day lacks more than a few stragglers.
MOST_PERCENT = 10


@dataclass(frozen=True, slots=True)
class Months:
    """The month that a page shows and its neighbours; None where there is nothing to go to."""

    shown: dt.date
    previous: dt.date
    next: dt.date | None

    @classmethod
    def around(cls, month: dt.date, today: dt.date) -> "Months":
        following = next_month(month)
        return cls(month, (month - dt.timedelta(days=1)).replace(day=1), following if following <= today else None)


def next_month(month: dt.date) -> dt.date:
    return (month.replace(day=28) + dt.timedelta(days=4)).replace(day=1)


def day_url(area: MarketArea, day: dt.date) -> str:
    return reverse("portal:completeness_day", args=[area.pk, day.isoformat()])


def calendar_of(
    area: MarketArea, month: dt.date, counts: Mapping[dt.date, DayCount], first: dt.date | None
) -> CalendarMap:
    """`first` is the day of the area's first reading: what came before it is not missing."""
    title = _("Readings of %(area)s") % {"area": area}
    days = (_day(area, counts[day]) if first and day >= first else _before(area, day) for day in sorted(counts))
    return CalendarMap("month", title, month, tuple(days))


def _before(area: MarketArea, day: dt.date) -> CalendarDay:
    return CalendarDay(day, Tint.UNKNOWN, "", _("before the first reading"), day_url(area, day))


def _day(area: MarketArea, count: DayCount) -> CalendarDay:
    if not count.expected:
        return CalendarDay(count.day, Tint.UNKNOWN, "", _("nobody is measured"), day_url(area, count.day))
    # Rounded down: a hundred says that nothing is missing.
    percent = 100 * count.present // count.expected
    if count.missing:
        tint = Tint.SOME if 100 * count.missing <= MOST_PERCENT * count.expected else Tint.MOST
    else:
        tint = Tint.REPLACED if count.substituted else Tint.FULL
    return CalendarDay(count.day, tint, f"{percent}%", words_of(count), day_url(area, count.day))


def words_of(count: DayCount) -> str:
    """What a day has, in one phrase."""
    if count.missing:
        return ngettext("%(count)s reading is missing", "%(count)s readings are missing", count.missing) % {
            "count": count.missing
        }
    if count.substituted:
        return ngettext(
            "complete, with %(count)s substitute", "complete, with %(count)s substitutes", count.substituted
        ) % {"count": count.substituted}
    return _("complete")


def gate_words(gate: Gate, area: MarketArea) -> tuple[str, str]:
    """What a day's settlement waits for, and the tone of it."""
    if gate is Gate.OPEN:
        return _("Nothing is missing: this day can be settled."), "good"
    if gate is Gate.DUE:
        return _("Readings are missing. They are substituted the next time days are settled."), "waiting"
    if area.substitute_days is None:
        return _(
            "Readings are missing. The day is not settled until they come, or somebody decides on substitutes."
        ), "bad"
    words = _("Readings are missing. If they do not come, they are substituted after %(days)s days.")
    return words % {"days": area.substitute_days}, "waiting"


def point_table(counts: Sequence[PointCount]) -> Table:
    columns = (
        Column(_("Metering point")),
        Column(_("Register")),
        Column(_("Expected"), numeric=True),
        Column(_("There"), numeric=True),
        Column(_("of them substitutes"), numeric=True),
        Column(_("Missing"), numeric=True),
    )
    rows = tuple(
        (
            link(point_url(count.point), count.point),
            str(Register(count.register).label),
            *(str(number) for number in (count.expected, count.present, count.substituted, count.missing)),
        )
        for count in counts
    )
    return Table(_("Readings of the day by metering point"), columns, rows)


def decision_table(decisions: Sequence[tuple[Decision, int]], zone: ZoneInfo) -> Table | None:
    if not decisions:
        return None
    columns = (
        Column(_("Decided")),
        Column(_("By")),
        Column(_("Rule")),
        Column(_("Reason")),
        Column(_("Readings"), numeric=True),
        Column(_("Still standing"), numeric=True),
    )
    rows = tuple(
        (
            local_datetime(decision.decided_at, zone),
            str(decision.decided_by or _("the area's setting")),
            str(decision.get_rule_display()),
            decision.reason,
            str(decision.count),
            str(left),
        )
        for decision, left in decisions
    )
    return Table(_("Decisions on substitutes; a true value that comes later takes their place"), columns, rows)


def day_title(area: MarketArea, day: dt.date) -> str:
    return _("Readings of %(area)s on %(day)s") % {"area": area, "day": local_date(day)}
