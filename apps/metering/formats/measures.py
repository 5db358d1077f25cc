"""Measure documents: what a device is, and, where its measures have a value and a date, readings.

A value is a decimal in kWh or kvarh. With a `period` in seconds it is the energy of the period that begins at the date,
without one what a counter showed at the date. The line of a problem is the number of the measure, from 1.
"""

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from apps.metering.formats.base import (
    LONGEST_SAMPLE,
    Broken,
    Content,
    Reading,
    Refused,
    Sample,
    ValueUnit,
    ticks_of,
)
from evidence.measures import DISABLED, UNITIES, VISIBLE, identifier_of, register_of
from evidence.readings import Quality, Register

MOST_MEASURES = 10_000
MOST_DESCRIBED = 100
LONGEST = 200

_TEXTS = {"name": 100, "description": LONGEST, "unity": 10, "visibility": 10}
_OPTIONAL = {"value", "date", "period"}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})", re.ASCII)


@dataclass
class Document:
    """A document as it was read. `content` has energies of periods, `counters` what counters showed."""

    identifier: str
    name: str
    description: list[dict[str, Any]]
    content: Content
    counters: dict[Register, list[Reading]] = field(default_factory=dict)

    @property
    def has_readings(self) -> bool:
        return bool(self.content.samples or self.counters)


def read_document(body: Any, point: str) -> Document:
    """Read a document from JSON; `point` is the code under which its energies are kept. Raises `Broken`."""
    if not isinstance(body, dict) or set(body) != {"id", "device_name", "measures"}:
        raise Broken("", "members", _("An object with exactly these members is expected: %s.") % _names("document"))
    identifier, name, measures = body["id"], body["device_name"], body["measures"]
    if not isinstance(identifier, str) or not 0 < len(identifier) <= 100:
        raise Broken("id", "format", _too_long(100))
    if not isinstance(name, str) or len(name) > LONGEST:
        raise Broken("device_name", "format", _too_long(LONGEST))
    if not isinstance(measures, list) or not 0 < len(measures) <= MOST_MEASURES:
        raise Broken("measures", "format", _("From 1 to %(count)s measures are expected.") % {"count": MOST_MEASURES})
    document = Document(identifier_of(identifier), name, [], Content(identifier_of(identifier)))
    for number, measure in enumerate(measures, 1):
        with document.content.row(number):
            _Measure(document, point, number).take(measure)
    return document


def _too_long(longest: int) -> str:
    return _("A text of at most %(count)s characters is expected.") % {"count": longest}


def _names(what: str) -> str:
    return "id, device_name, measures" if what == "document" else "name, description, unity, pos, visibility"


@dataclass(frozen=True, slots=True)
class _Measure:
    document: Document
    point: str
    number: int

    def take(self, measure: Any) -> None:
        """Raises `Refused`."""
        if not isinstance(measure, dict) or not {*_TEXTS, "pos"} <= set(measure) <= {*_TEXTS, "pos", *_OPTIONAL}:
            message = _("A measure has the members %s, and to carry a reading value, date and period.")
            raise Refused("", "members", message % _names("measure"))
        for name, longest in _TEXTS.items():
            if not isinstance(measure[name], str) or len(measure[name]) > longest:
                raise Refused(name, "format", _too_long(longest))
        if type(measure["pos"]) is not int or not 0 < measure["pos"] < 1000:
            raise Refused("pos", "format", _("A position is a number from 1 to 999."))
        if measure["visibility"] not in (VISIBLE, DISABLED):
            raise Refused("visibility", "format", _("A measure is visible or disabled."))
        self._describe(measure)
        if "value" in measure or "date" in measure or "period" in measure:
            self._read(measure)

    def _describe(self, measure: dict[str, Any]) -> None:
        said = {name: measure[name] for name in (*_TEXTS, "pos")}
        if said not in self.document.description:
            if len(self.document.description) == MOST_DESCRIBED:
                message = _("At most %(count)s different measures of a device.") % {"count": MOST_DESCRIBED}
                raise Broken("measures", "too_many", message)
            self.document.description.append(said)

    def _read(self, measure: dict[str, Any]) -> None:
        if "value" not in measure or "date" not in measure:
            raise Refused("value", "members", _("A value needs a date, and a date a value."))
        if measure["visibility"] == DISABLED:
            self.document.content.skipped[measure["name"]] += 1
            return
        register = self._register(measure)
        instant, ticks = _instant(measure["date"]), self._ticks(measure["value"])
        if "period" not in measure:
            reading = Reading(self.number, instant, ticks, Quality.TRUE_VALUE)
            self.document.counters.setdefault(register, []).append(reading)
            return
        period = measure["period"]
        if type(period) is not int or not 0 < period <= LONGEST_SAMPLE:
            raise Refused("period", "format", _("A period is a number of seconds, at most an hour."))
        sample = Sample(self.number, instant, period, ticks, Quality.TRUE_VALUE)
        self.document.content.add(self.point, register, sample)

    def _register(self, measure: dict[str, Any]) -> Register:
        try:
            register = register_of(measure["name"], measure["pos"])
        except KeyError:
            message = _('"%(text)s" is no register that is kept here.') % {"text": measure["name"]}
            raise Refused("name", "unknown_register", message) from None
        if measure["unity"] != UNITIES[register.unit]:
            raise Refused("unity", "other_unit", _("The register does not count in this unit."))
        others = (said for said in self.document.description if said["visibility"] == VISIBLE)
        if any(said["pos"] != measure["pos"] and _same(said, register) for said in others):
            message = _("Two visible measures count the same: disable one of them.")
            raise Refused("pos", "register_twice", message)
        return register

    def _ticks(self, value: Any) -> int:
        if not isinstance(value, str):
            raise Refused("value", "format", _("A value is a text with a decimal number, such as 12.345."))
        return ticks_of(value, "value", ValueUnit.KWH, LONGEST_SAMPLE)


def _same(said: dict[str, Any], register: Register) -> bool:
    try:
        return register_of(said["name"], said["pos"]) == register
    except KeyError:
        return False


def _instant(date: Any) -> int:
    """UTC seconds of a date with its offset, as RFC 3339 has it, to the second."""
    try:
        if isinstance(date, str) and _DATE.fullmatch(date):
            return int(dt.datetime.fromisoformat(date).timestamp())
    except ValueError:
        pass
    raise Refused("date", "no_time", _("A date is given to the second with its offset: 2026-06-01T10:15:00Z."))
