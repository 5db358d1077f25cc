"""What every format gives: samples by metering point and register, and the problems of what cannot be used.

Decimals are exact. Nothing here knows which metering points there are, or decides whether good rows are used.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from django.utils.translation import gettext as _

from evidence.readings import Quality, Register

MOST_BYTES = 5_000_000
MOST_UNPACKED = 40_000_000
MOST_SAMPLES = 300_000
MOST_PROBLEMS = 1_000  # are listed, others counted
MOST_BAD_ROWS = 20_000
# What is longer is no load profile: nobody knows how its energy lies in the slots.
LONGEST_SAMPLE = 3600

# Longer than any meter or weather model writes; an exponent of millions would only fill the memory.
MOST_CHARACTERS = 50
MOST_EXPONENT = 50

# Energies of samples are whole numbers of these, so that powers and decimals of any file stay exact.
DECIMALS = 15
TICKS: int = 3600 * 10**DECIMALS  # of a Wh or varh

_NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_OBIS = re.compile(r"(?:\d{1,3}-\d{1,3}:)?(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[*&]\d{1,3})?", re.ASCII)
_OF_OBIS = {
    1: Register.GRID_IMPORT,
    2: Register.GRID_EXPORT,
    5: Register.REACTIVE_1,
    6: Register.REACTIVE_2,
    7: Register.REACTIVE_3,
    8: Register.REACTIVE_4,
}
_OBIS_ENERGY = (8, 9, 29)  # a counter, its advance, a load profile
_OF_NAME = {
    **{register.name.lower(): register for register in Register},
    "import": Register.GRID_IMPORT,
    "export": Register.GRID_EXPORT,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that cannot be used. `field` is a column, `rule` a stable name, `message` says it in words."""

    file: str
    line: int
    field: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, {self.field}: {self.message} [{self.rule}]"


class Refused(Exception):
    """A row that breaks a rule."""

    def __init__(self, field: str, rule: str, message: str) -> None:
        super().__init__(message)
        self.field, self.rule, self.message = field, rule, message


class Broken(Refused):
    """What makes the whole file unusable: nothing of it is taken, whatever else is good in it."""


class Sample(NamedTuple):
    """Energy of a period: `ticks` / `TICKS` Wh or varh in [start, start + seconds), UTC seconds."""

    line: int
    start: int
    seconds: int
    ticks: int
    quality: Quality


class Reading(NamedTuple):
    """A counter as it stood at an instant: `ticks` / `TICKS` Wh or varh."""

    line: int
    instant: int
    ticks: int
    quality: Quality


Key = tuple[str, Register]


@dataclass
class Content:
    """What was found in a file, by code of the metering point and register.

    Import and export are what the meter counts; whether that is consumption and generation, the metering point says.
    `reference` names an interchange, if the format does. `skipped` counts rows that say themselves that they are not
    for use. `is_broken`: nothing may be taken.
    """

    file: str
    samples: dict[Key, list[Sample]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    more_problems: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    reference: str = ""
    is_broken: bool = False
    count: int = 0

    def add(self, point: str, register: Register, sample: Sample) -> None:
        """Raises `Broken` when there are too many."""
        self.count_one()
        self.samples.setdefault((point, register), []).append(sample)

    def count_one(self) -> None:
        self.count += 1
        if self.count > MOST_SAMPLES:
            message = _("At most %(count)s values in a file: split it.") % {"count": MOST_SAMPLES}
            raise Broken("", "too_many_values", message)

    def refuse(self, line: int, field: str, rule: str, message: str) -> None:
        """Raises `Broken` when there are so many that this is another kind of file."""
        if self.more_problems.total() >= MOST_BAD_ROWS:
            raise Broken("", "too_many_problems", _("Too many rows cannot be used: the rest was not read."))
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(self.file, line, field, rule, message))
        else:
            self.more_problems[rule] += 1

    @contextmanager
    def row(self, line: int) -> Iterator[None]:
        """A rule that is broken inside is a problem of this line; a broken file goes on to whoever reads it."""
        try:
            yield
        except Broken:
            raise
        except Refused as refused:
            self.refuse(line, refused.field, refused.rule, refused.message)

    def broken(self, line: int, broken: Broken) -> "Content":
        """The same, of which nothing can be used."""
        self.samples.clear()
        self.is_broken = True
        self.problems.insert(0, Problem(self.file, line, broken.field, broken.rule, broken.message))
        return self


class ValueUnit(StrEnum):
    """What a value of 1 stands for. Reactive energy alike, in varh and var."""

    WH = "Wh"
    KWH = "kWh"
    W = "W"
    KW = "kW"
    COUNTER_KWH = "counter kWh"
    COUNTER_WH = "counter Wh"

    @property
    def is_counter(self) -> bool:
        return self in (ValueUnit.COUNTER_KWH, ValueUnit.COUNTER_WH)


_KILO = (ValueUnit.KWH, ValueUnit.KW, ValueUnit.COUNTER_KWH)


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal as it was written: `digits` times ten to the power of `exponent`."""

    digits: int
    exponent: int

    @property
    def exact(self) -> Fraction:
        return Fraction(self.digits) * Fraction(10) ** self.exponent


def parse_number(text: str, field: str) -> Number:
    """Raises `Refused`."""
    match = _NUMBER.fullmatch(text) if len(text) <= MOST_CHARACTERS else None
    whole, fraction = (match[2], match[3] or "") if match else ("", "")
    if match is None or not whole + fraction or abs(int(match[4] or 0)) > MOST_EXPONENT:
        if text.lstrip("+-").lower() in ("nan", "inf", "infinity"):
            raise Refused(field, "not_finite", _('"%(text)s" is no finite number.') % {"text": text})
        message = _('"%(text)s" is not a number.') if text else _("The value is missing.")
        raise Refused(field, "not_a_number", message % {"text": text[:MOST_CHARACTERS]})
    digits = int(whole + fraction)
    return Number(-digits if match[1] == "-" else digits, int(match[4] or 0) - len(fraction))


def ticks_of(text: str, field: str, unit: ValueUnit, seconds: int) -> int:
    """The exact energy of a value, in `TICKS`; `seconds` is how long a power held. Raises `Refused`."""
    number = parse_number(text, field)
    if number.digits < 0:
        raise Refused(field, "negative", _("%(text)s is negative.") % {"text": text})
    factor = seconds if unit in (ValueUnit.W, ValueUnit.KW) else 3600
    exponent = number.exponent + DECIMALS + (3 if unit in _KILO else 0)
    digits = number.digits * factor
    if exponent >= 0:
        return digits * int(10**exponent)
    ticks, rest = divmod(digits, int(10**-exponent))
    if rest:
        message = _("%(text)s has too many decimals to be exact.") % {"text": text}
        raise Refused(field, "too_many_decimals", message)
    return ticks


def register_of(text: str, field: str) -> Register:
    """A register by its name (`import`, `export`, `consumption`, `reactive_1`) or its OBIS. Raises `Refused`."""
    named = _OF_NAME.get(text.lower())
    if named is not None:
        return named
    obis = _OBIS.fullmatch(text)
    if obis and int(obis[1]) in _OF_OBIS and int(obis[2]) in _OBIS_ENERGY and int(obis[3]) == 0:
        return _OF_OBIS[int(obis[1])]
    message = _('"%(text)s" is no register that is kept here.') % {"text": text[:MOST_CHARACTERS]}
    raise Refused(field, "unknown_register", message)
