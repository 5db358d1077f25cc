"""The members of an invoice or credit note, read."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from evidence.canonical import decode_bytes, decode_int
from evidence.settlement import Scheme
from evidence.verify.report import VerificationError
from market_math.money import MINOR_DIGITS
from market_math.slots import day_number, day_slots

DOCUMENT = "energymarket/invoice/1"
SLOT_MINUTES = (5, 10, 15, 30, 60)
PARTY = {"id", "name", "street", "postal_code", "city", "country", "tax_id"}
PLACES = {"issuer": PARTY, "customer": PARTY, "point": {"id", "code", "name"}}
LISTS = {
    "lines": {"scheme", "energy_wh", "price_micro", "amount_minor", "vat_ppm"},
    "vat": {"ppm", "net_minor", "vat_minor"},
    "grades": {"grade", "energy_wh"},
}
TEXTS = {"type", "kind", "series", "number", "issued", "area", "time_zone", "slot_seconds", "start", "end", "currency"}
TOTALS = ("net_minor", "vat_minor", "total_minor")


def _check_members(document: dict[str, Any]) -> None:
    """Whatever the verifier does not recompute could be read as a part of the bill, so there is nothing else."""
    if set(document) != {*PLACES, *LISTS, *TEXTS, *TOTALS}:
        raise VerificationError("document", "it does not have the members of an invoice")
    for name in (*TEXTS, *TOTALS):
        if not isinstance(document[name], str):
            raise VerificationError(f"document.{name}", "text is expected")
    objects = [(name, document[name], members) for name, members in PLACES.items()]
    for name, members in LISTS.items():
        if not isinstance(document[name], list):
            raise VerificationError(f"document.{name}", "a list is expected")
        objects += [(name, item, members) for item in document[name]]
    for name, item, members in objects:
        texts = isinstance(item, dict) and all(isinstance(text, str) for text in item.values())
        if not texts or set(item) != members:
            raise VerificationError(f"document.{name}", f"exactly {', '.join(sorted(members))} are expected, as text")


class Document:
    """An invoice's members, read. Raises `VerificationError`."""

    def __init__(self, document: dict[str, Any]) -> None:
        _check_members(document)
        try:
            self.kind: str = document["kind"]
            self.series: str = document["series"]
            self.number = decode_int(document["number"])
            self.issuer = decode_bytes(document["issuer"]["id"])
            self.customer = decode_bytes(document["customer"]["id"])
            self.point = decode_bytes(document["point"]["id"])
            self.area = decode_bytes(document["area"])
            self.currency: str = document["currency"]
            self.zone = ZoneInfo(document["time_zone"])
            self.minutes, seconds = divmod(decode_int(document["slot_seconds"]), 60)
            self.start, self.end = date.fromisoformat(document["start"]), date.fromisoformat(document["end"])
            self.lines = [_line(line) for line in document["lines"]]
            self.vat = [
                tuple(decode_int(group[n]) for n in ("ppm", "net_minor", "vat_minor")) for group in document["vat"]
            ]
            self.totals = _numbers(document, *TOTALS)
            self.grades = {decode_int(g["grade"]): decode_int(g["energy_wh"]) for g in document["grades"]}
        except (KeyError, ValueError, OSError) as error:
            raise VerificationError("document", f"cannot be read: {error!r}") from None
        if document["type"] != DOCUMENT or self.kind not in ("invoice", "credit_note"):
            raise VerificationError("document.kind", f"unknown kind {self.kind!r} of {document['type']!r}")
        if self.currency not in MINOR_DIGITS:
            raise VerificationError("document.currency", f"unknown currency {self.currency!r}")
        if seconds or self.minutes not in SLOT_MINUTES:
            raise VerificationError("document.slot_seconds", "no area has slots of this length")
        self._slots_of = {day_number(day): day_slots(day, self.zone, self.minutes) for day in self._dates()}
        self.days = list(self._slots_of)
        self.slots = range(self._slots_of[self.days[0]].start, self._slots_of[self.days[-1]].stop, self.minutes * 60)

    def _dates(self) -> Iterator[date]:
        if not timedelta(0) < self.end - self.start <= timedelta(days=400):
            raise VerificationError("document", "the period is empty or too long")
        for offset in range((self.end - self.start).days):
            yield self.start + timedelta(days=offset)

    def slots_of(self, day: int) -> range:
        return self._slots_of.get(day, range(0))


StatedLine = tuple[str, int, int, int, int]  # scheme, Wh, micro-currency per kWh, minor units, parts per million


def _line(line: dict[str, str]) -> StatedLine:
    wh, price, minor, ppm = _numbers(line, "energy_wh", "price_micro", "amount_minor", "vat_ppm")
    scheme = line["scheme"]
    if scheme != "rounding":
        Scheme(decode_int(scheme))
    return scheme, wh, price, minor, ppm


def _numbers(members: dict[str, Any], *names: str) -> tuple[int, ...]:
    return tuple(decode_int(members[name]) for name in names)
