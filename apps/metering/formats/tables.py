"""Tables of a metering operator, CSV or XLSX, in the layout that was agreed with it.

A *long* table has a row per value, with columns that name metering point and register. A *wide* one has a row per time
and a column per series.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from apps.metering.formats.base import (
    MOST_CHARACTERS,
    Broken,
    Content,
    Key,
    Reading,
    Refused,
    Sample,
    ValueUnit,
    register_of,
    ticks_of,
)
from apps.metering.formats.clock import Clock
from apps.metering.formats.slots import differences
from apps.metering.formats.xlsx import xlsx_rows
from evidence.readings import Quality, Register

MOST_COLUMNS = 200
MOST_LINE = 100_000
Cells = Sequence[str]
Rows = Iterable[tuple[int, Cells]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How tables of one operator are laid out. Columns go by the names in the line `header`; "" is a column not there.

    `point`, `register`, `value` and `quality` are columns of a long table; without `register`, all values are of
    `fixed_register`. `series` are columns of a wide table, with code and register. Where `quality` says one of
    `substitutes`, the value is a substitute. `zone` is None for times in UTC; `form` is a pattern of `strptime`.
    """

    time: str
    date: str = ""
    form: str = ""
    zone: ZoneInfo | None = None
    at_end: bool = False
    seconds: int = 900
    unit: ValueUnit = ValueUnit.KWH
    decimal: str = "."
    delimiter: str = ";"
    encoding: str = "utf-8-sig"
    header: int = 1
    point: str = ""
    register: str = ""
    value: str = ""
    quality: str = ""
    substitutes: frozenset[str] = frozenset()
    fixed_register: Register = Register.GRID_IMPORT
    series: Mapping[str, Key] = field(default_factory=dict)

    @property
    def is_wide(self) -> bool:
        return bool(self.series)

    @property
    def columns(self) -> set[str]:
        """Columns that must be there."""
        named = {self.time, self.date}
        named |= set(self.series) if self.is_wide else {self.point, self.register, self.value, self.quality}
        return named - {""}


def read_csv(file: str, content: bytes, layout: Layout) -> Content:
    return _read(file, _csv_rows(content, layout), layout, pads=False)


def read_xlsx(file: str, content: bytes, layout: Layout) -> Content:
    """The first sheet of a workbook."""
    return _read(file, xlsx_rows(content, layout.decimal, MOST_COLUMNS), layout, pads=True)


def _csv_rows(content: bytes, layout: Layout) -> Iterator[tuple[int, Cells]]:
    """Lines that are not blank. A quote that is left open ends with its line, not with the file."""
    for line, raw in enumerate(io.BytesIO(content), 1):
        if len(raw) > MOST_LINE:
            raise Broken("", "too_long_line", _("Line %(line)s is too long.") % {"line": line})
        encoding = layout.encoding if line == 1 else layout.encoding.removesuffix("-sig")
        try:
            text = raw.decode(encoding).strip("\r\n")
            if text.strip():
                yield line, [cell.strip() for cell in next(csv.reader([text], delimiter=layout.delimiter, strict=True))]
        except UnicodeDecodeError:
            raise Broken(
                "", "wrong_encoding", _("Line %(line)s is no text in this encoding.") % {"line": line}
            ) from None
        except csv.Error as error:
            raise Broken("", "not_csv", _("Line %(line)s: %(error)s.") % {"line": line, "error": error}) from None


def _read(file: str, rows: Rows, layout: Layout, *, pads: bool) -> Content:
    found = Content(file)
    try:
        reader = _Reader(found, layout, pads)
        for line, cells in rows:
            reader.take(line, cells)
        reader.end()
    except Broken as broken:
        return found.broken(1, broken)
    return found


class _Reader:
    """Where in the table the reader is. With `pads`, rows may lack empty cells at their end."""

    def __init__(self, found: Content, layout: Layout, pads: bool) -> None:
        self.found = found
        self.layout = layout
        self.pads = pads
        self.clock = Clock(layout.zone, layout.form, layout.at_end and not layout.unit.is_counter, layout.seconds)
        self.place: dict[str, int] = {}
        self.width = 0
        self.counters: dict[Key, list[Reading]] = {}

    def take(self, line: int, cells: Cells) -> None:
        """Raises `Broken` when the column names are not those agreed."""
        if line < self.layout.header:
            return
        if not self.place:
            self._name_columns(cells)
            return
        with self.found.row(line):
            if self.pads:
                cells = [*cells, *[""] * (self.width - len(cells))]
            if len(cells) != self.width:
                message = _("There are %(found)s columns instead of %(wanted)s.")
                raise Refused("", "wrong_columns", message % {"found": len(cells), "wanted": self.width})
            if self.layout.is_wide:
                self._take_wide(line, cells)
            else:
                self._take_long(line, cells)

    def _name_columns(self, cells: Cells) -> None:
        lacking = sorted(name for name in self.layout.columns if cells.count(name) != 1)
        if lacking or len(cells) > MOST_COLUMNS:
            message = _("Not there, or there twice, in the line of column names: %(columns)s.")
            columns = ", ".join(lacking)[:200] or _("at most %(count)s columns") % {"count": MOST_COLUMNS}
            raise Broken("", "wrong_columns", message % {"columns": columns})
        self.place = {name: cells.index(name) for name in self.layout.columns}
        self.width = len(cells)

    def _take_long(self, line: int, cells: Cells) -> None:
        layout = self.layout
        point = cells[self.place[layout.point]]
        if not point or len(point) > MOST_CHARACTERS:
            raise Refused(layout.point, "no_point", _("The row names no metering point."))
        register = layout.fixed_register
        if layout.register:
            register = register_of(cells[self.place[layout.register]], layout.register)
        quality = cells[self.place[layout.quality]] if layout.quality else ""
        self._add(line, (point, register), self._time(cells), cells[self.place[layout.value]], quality, layout.value)

    def _take_wide(self, line: int, cells: Cells) -> None:
        time = self._time(cells)
        for name, key in self.layout.series.items():
            value = cells[self.place[name]]
            if value:
                with self.found.row(line):
                    self._add(line, key, time, value, "", name)

    def _time(self, cells: Cells) -> str:
        time = cells[self.place[self.layout.time]]
        return f"{cells[self.place[self.layout.date]]} {time}" if self.layout.date else time

    def _add(self, line: int, key: Key, time: str, value: str, quality: str, field: str) -> None:
        layout = self.layout
        if layout.decimal != ".":
            if "." in value:
                raise Refused(
                    field, "not_a_number", _('"%(text)s" is not a number.') % {"text": value[:MOST_CHARACTERS]}
                )
            value = value.replace(layout.decimal, ".")
        start = self.clock.start(time, key)
        ticks = ticks_of(value, field, layout.unit, layout.seconds)
        kind = Quality.SUBSTITUTE if quality in layout.substitutes else Quality.TRUE_VALUE
        if layout.unit.is_counter:
            self.found.count_one()
            self.counters.setdefault(key, []).append(Reading(line, start, ticks, kind))
        else:
            self.found.add(*key, Sample(line, start, layout.seconds, ticks, kind))

    def end(self) -> None:
        if not self.place:
            raise Broken("", "empty", _("The file has no line of column names."))
        for key, readings in self.counters.items():
            samples, problems = differences(readings)
            self.found.samples[key] = samples
            for line, refused in problems:
                self.found.refuse(line, refused.field, refused.rule, refused.message)


def layout_from(settings: Mapping[str, Any], series: Mapping[str, Sequence[str]], zone: ZoneInfo | None) -> Layout:
    """A layout from what a form stores; `series` gives code and register by column. Raises `Refused`."""
    columns = {name: (code, register_of(register, name)) for name, (code, register) in series.items()}
    return Layout(**settings, zone=zone, series=columns)
