"""MSCONS (D.04B, 2.4 and 2.5), the German market's message for metered values: load profiles, true or substitute.

A value is taken from QTY with its period in DTM 163 and 164. Its metering point stands in LOC 172, its register in PIA.
The line of a problem is the number of the segment in the interchange.
"""

import datetime as dt
import re
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.metering.formats.base import Broken, Content, Refused, Sample, ValueUnit, register_of, ticks_of
from apps.metering.formats.edifact import Segment, read_marks, segments_of
from evidence.readings import Quality, Register, Unit

QUALITIES = {"220": Quality.TRUE_VALUE, "67": Quality.SUBSTITUTE}
# What a message says itself is not for use: a proposal, and a value that cannot be used.
NOT_FOR_USE = {"201", "20"}
UNITS = {"KWH": Unit.WH, "K3": Unit.VARH}
VERSIONS = re.compile(r"2\.[45][a-z]?")

_TIME = re.compile(r"(\d{12})([+-]\d{2})", re.ASCII)
_POINT, _START, _END = "172", "163", "164"


def read_mscons(file: str, content: bytes) -> Content:
    """Read an interchange with any number of messages."""
    found = Content(file)
    reader = _Reader(found)
    try:
        text = content.decode("latin-1")
        reader.decimal = read_marks(text)[0].decimal
        for segment in segments_of(text):
            reader.take(segment)
        reader.end()
    except Broken as broken:
        return found.broken(reader.number, broken)
    return found


@dataclass
class _Value:
    """A QTY and what follows it."""

    segment: Segment
    start: int | None = None
    end: int | None = None


class _Reader:
    """Where in the interchange the reader is."""

    def __init__(self, found: Content) -> None:
        self.found = found
        self.decimal = "."
        self.number = 0
        self.interchange: Segment | None = None
        self.closed = False
        self.message: Segment | None = None
        self.messages = 0
        self.point = ""
        self.register: Register | None = None
        self.other_register = False  # it was named as a problem where it stands
        self.value: _Value | None = None
        self.handlers = {
            "UNB": self._unb,
            "UNH": self._unh,
            "NAD": self._nad,
            "LOC": self._loc,
            "LIN": self._lin,
            "PIA": self._pia,
            "QTY": self._qty,
            "DTM": self._dtm,
            "UNT": self._unt,
            "UNZ": self._unz,
        }

    def take(self, segment: Segment) -> None:
        """Raises `Broken` for what makes an interchange incomplete or no MSCONS."""
        self.number = segment.number
        if (segment.tag == "UNB") != (self.interchange is None) or self.closed:
            raise self._broken("no_interchange", _("An interchange begins with UNB and ends with UNZ, once."))
        if self.message is None and segment.tag not in ("UNB", "UNH", "UNZ"):
            raise self._broken("no_message", _("This segment belongs to no message."))
        if segment.tag not in ("DTM", "STS"):
            self._finish()
        handle = self.handlers.get(segment.tag)
        if handle is not None:
            with self.found.row(segment.number):
                handle(segment)

    def end(self) -> None:
        if not self.closed:
            self.number += 1
            raise self._broken("cut_off", _("The interchange ends without UNZ."))

    def _broken(self, rule: str, message: str) -> Broken:
        return Broken(f"segment {self.number}", rule, message)

    def _unb(self, segment: Segment) -> None:
        self.interchange = segment
        sender, reference = segment.get(1), segment.get(4)
        if not sender or not reference or len(sender) > 35 or len(reference) > 14:
            raise self._broken("no_reference", _("The interchange names no sender or no reference."))
        self.found.reference = f"{sender}/{reference}"

    def _unz(self, segment: Segment) -> None:
        assert self.interchange is not None  # noqa: S101 `take` has seen to it
        if self.message is not None:
            raise self._broken("no_message", _("The last message has no UNT."))
        if segment.get(0) != str(self.messages) or segment.get(1) != self.interchange.get(4):
            raise self._broken(
                "wrong_count", _("UNZ counts other messages, or names another interchange, than there is.")
            )
        self.closed = True

    def _unh(self, segment: Segment) -> None:
        if self.message is not None:
            raise self._broken("no_message", _("The message before has no UNT."))
        form = [segment.get(1, component) for component in range(5)]
        if form[:3] != ["MSCONS", "D", "04B"] or not VERSIONS.fullmatch(form[4]):
            raise self._broken("unknown_message", _("Only MSCONS D.04B 2.4 and 2.5 are read here."))
        self.message, self.messages = segment, self.messages + 1
        self._nad(segment)

    def _unt(self, segment: Segment) -> None:
        assert self.message is not None  # noqa: S101 `take` has seen to it
        count = segment.number - self.message.number + 1
        if segment.get(0) != str(count) or segment.get(1) != self.message.get(0):
            raise self._broken("wrong_count", _("UNT counts other segments, or names another message, than there is."))
        self.message = None

    def _nad(self, segment: Segment) -> None:
        self.point = ""
        self._lin(segment)

    def _loc(self, segment: Segment) -> None:
        self._lin(segment)
        if segment.get(0) == _POINT:
            self.point = segment.get(1)

    def _lin(self, segment: Segment) -> None:
        self.register, self.other_register = None, False

    def _pia(self, segment: Segment) -> None:
        self.register, self.other_register = None, True
        self.register = register_of(segment.get(1), "PIA")

    def _qty(self, segment: Segment) -> None:
        self.value = _Value(segment)

    def _dtm(self, segment: Segment) -> None:
        kind = segment.get(0)
        if self.value is None or kind not in (_START, _END):
            return
        instant = _instant(segment)
        if kind == _START:
            self.value.start = instant
        else:
            self.value.end = instant

    def _finish(self) -> None:
        """Take the value whose period is known by now."""
        value, self.value = self.value, None
        if value is None:
            return
        with self.found.row(value.segment.number):
            self._take(value)

    def _take(self, value: _Value) -> None:
        quantity, segment = value.segment.get(0), value.segment
        if quantity in NOT_FOR_USE:
            self.found.skipped[f"QTY+{quantity}"] += 1
            self.found.count_one()
            return
        if quantity not in QUALITIES:
            message = _('"%(text)s" is no quality of a value that is used here.') % {"text": quantity}
            raise Refused("QTY", "unknown_quality", message)
        if not self.point:
            raise Refused("LOC", "no_point", _("The value belongs to no metering point: LOC+172 is missing."))
        if self.register is None and self.other_register:
            self.found.skipped["PIA"] += 1
            return
        if self.register is None:
            raise Refused("PIA", "no_register", _("The value belongs to no register that is kept here."))
        if value.start is None or value.end is None or value.start >= value.end:
            raise Refused("DTM", "no_period", _("The value has no period: DTM+163 and DTM+164 are missing or turned."))
        if UNITS.get(segment.get(0, 2)) != self.register.unit:
            raise Refused("QTY", "other_unit", _("The register does not count in this unit."))
        seconds = value.end - value.start
        text = segment.get(0, 1).replace(self.decimal, ".")
        ticks = ticks_of(text, "QTY", ValueUnit.KWH, seconds)
        sample = Sample(segment.number, value.start, seconds, ticks, QUALITIES[quantity])
        self.found.add(self.point, self.register, sample)


def _instant(segment: Segment) -> int:
    """UTC seconds of a DTM in format 303: minutes and the offset from UTC in hours."""
    match = _TIME.fullmatch(segment.get(0, 1)) if segment.get(0, 2) == "303" else None
    if match is None:
        raise Refused("DTM", "no_time", _("A time is given as 303: to the minute, with its offset from UTC."))
    try:
        local = dt.datetime.strptime(match[1], "%Y%m%d%H%M").replace(tzinfo=dt.UTC)
    except ValueError:
        raise Refused("DTM", "no_time", _("There is no such time.")) from None
    return int(local.timestamp()) - 3600 * int(match[2])
