"""Load curves as Spanish grid operators send them: P1, P1D, F1, F5, F5D and P5D, hourly or quarter-hourly.

Rows are `CUPS;...;yyyy/mm/dd HH:MM;season;...` without column names. Which of the files it is, the number of columns
says. Times are local and name the end of their period; season is 1 in summer time and 0 in winter, so that the hour
that comes twice is told apart.
"""

import datetime as dt
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from apps.metering.formats.base import Broken, Content, Refused, Sample, ValueUnit, parse_number, ticks_of
from apps.metering.formats.packed import unpacked
from evidence.readings import Quality, Register

HOUR, QUARTER = 3600, 900
INVALID = 128  # the bit of IEC 60870-5-102 in a value's own quality
_ENERGIES = (
    Register.GRID_IMPORT,
    Register.GRID_EXPORT,
    Register.REACTIVE_1,
    Register.REACTIVE_2,
    Register.REACTIVE_3,
    Register.REACTIVE_4,
)
_TIME = re.compile(r"(\d{4})/(\d{2})/(\d{2}) (\d{2}):(\d{2})(?::00)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Form:
    """Where things stand in a row. `step` from one energy to the next; with `qualities` each one's stands behind it."""

    name: str
    unit: ValueUnit
    time: int
    energy: int
    count: int
    step: int = 1
    firm: int | None = None

    @property
    def qualities(self) -> bool:
        return self.step == 2


# By the number of columns.
_FORMS = {
    5: _Form("P5D", ValueUnit.WH, time=1, energy=3, count=2),
    11: _Form("F5", ValueUnit.WH, time=1, energy=3, count=6, firm=10),
    12: _Form("F5D", ValueUnit.WH, time=1, energy=3, count=6, firm=10),
    14: _Form("F1", ValueUnit.KWH, time=2, energy=4, count=6, firm=13),
    22: _Form("P1", ValueUnit.KWH, time=2, energy=4, count=6, step=2, firm=21),
}


class _Row(NamedTuple):
    line: int
    point: str
    end: int
    values: list[tuple[Register, str, Quality]]


def read_spanish(file: str, content: bytes, zone: ZoneInfo) -> Content:
    """Read a file, or an archive of them; `zone` is the local time they are in."""
    found = Content(file)
    line = 0
    try:
        for _name, inner in unpacked(content):
            line = _read(found, inner, zone, line)
    except Broken as broken:
        return found.broken(line + 1, broken)
    if not found.count and not found.problems:
        return found.broken(1, Broken("", "empty", _("The file has no rows.")))
    return found


def _read(found: Content, content: bytes, zone: ZoneInfo, before: int) -> int:
    """Read one file; lines are counted on after those `before` it. Returns the last line's number."""
    standard = _Offsets(zone)
    rows: list[_Row] = []
    form: _Form | None = None
    line = before
    for line, raw in enumerate(io.BytesIO(content), before + 1):
        text = raw.strip().removesuffix(b";")
        if not text:
            continue
        with found.row(line):
            cells = _cells(text)
            form = form or _FORMS.get(len(cells))
            if form is None or _FORMS.get(len(cells)) != form:
                message = _("%(count)s columns: this is none of the files P1, F1, F5, F5D and P5D.")
                raise Refused("", "wrong_columns", message % {"count": len(cells)})
            found.count_one()
            rows.append(_row(line, cells, form, standard))
    if form is None:
        return line
    seconds = QUARTER if any(row.end % HOUR for row in rows) else HOUR
    for row in rows:
        for register, value, quality in row.values:
            with found.row(row.line):
                ticks = ticks_of(value, register.name.lower(), form.unit, seconds)
                found.add(row.point, register, Sample(row.line, row.end - seconds, seconds, ticks, quality))
    return line


def _cells(text: bytes) -> list[str]:
    try:
        return [cell.strip() for cell in text.decode("ascii").split(";")]
    except UnicodeDecodeError:
        raise Refused("", "not_ascii", _("This is no text of these files.")) from None


def _row(line: int, cells: Sequence[str], form: _Form, offsets: "_Offsets") -> _Row:
    end = offsets.instant(cells[form.time], cells[form.time + 1])
    firm = cells[form.firm] if form.firm is not None else "1"
    if firm not in ("0", "1"):
        raise Refused("firm", "unknown_quality", _('"%(text)s" is neither 1, firm, nor 0.') % {"text": firm[:20]})
    values = []
    for number, register in enumerate(_ENERGIES[: form.count]):
        place = form.energy + number * form.step
        invalid = form.qualities and _octet(cells[place + 1]) >= INVALID
        quality = Quality.TRUE_VALUE if firm == "1" and not invalid else Quality.SUBSTITUTE
        if cells[place]:
            values.append((register, cells[place], quality))
    return _Row(line, cells[0], end, values)


def _octet(text: str) -> int:
    number = parse_number(text or "0", "quality").exact
    if number.denominator != 1 or not 0 <= number < 256:
        raise Refused("quality", "unknown_quality", _("A quality is a number from 0 to 255."))
    return int(number)


class _Offsets:
    """From local time with its season to UTC."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone

    def instant(self, text: str, season: str) -> int:
        """UTC seconds. The hour before a change may be named by either clock. Raises `Refused`."""
        match = _TIME.fullmatch(text)
        if match is None:
            message = _('"%(text)s" is no time such as 2021/03/28 01:00.') % {"text": text[:30]}
            raise Refused("time", "no_time", message)
        if season not in ("0", "1"):
            raise Refused("season", "wrong_season", _("The season is 1 in summer and 0 in winter."))
        year, month, day, hour, minute = (int(part) for part in match.groups())
        try:
            local = dt.datetime(year, month, day, tzinfo=dt.UTC)
            if hour > 24 or minute > 59 or (hour == 24 and minute):
                raise ValueError
            local += dt.timedelta(hours=hour, minutes=minute)
            winter = dt.datetime(year, 1, 1, tzinfo=self.zone).utcoffset() or dt.timedelta()
        except (ValueError, OverflowError):
            raise Refused("time", "no_time", _("There is no such time.")) from None
        instant = int((local - winter).timestamp()) - HOUR * int(season)
        if season not in (self._season(instant), self._season(instant - 1)):
            raise Refused("season", "wrong_season", _("This time is not in the season that the row names."))
        return instant

    def _season(self, instant: int) -> str:
        return "1" if dt.datetime.fromtimestamp(instant, self.zone).dst() else "0"
