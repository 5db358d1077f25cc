"""Read profiles from CSV files: mean power or share of installed power per slot, turned into Wh.

Every row that breaks a rule is named; nothing here decides whether the others are used. Decimals are parsed exactly.
"""

import csv
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from apps.metering.formats.base import Number, Problem, Refused, parse_number
from market_math.energy import SECONDS_PER_HOUR, energy_of_scaled_power

TIMESTAMP = "timestamp"
VALUE = "electricity"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file's rows have to keep. A value of 1 stands for `unit_w` W; `end` is when its last slot has to end."""

    slot_seconds: int
    unit_w: int
    most_wh: int
    end: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row with what could be read of it: its value, and the start of its slot in UTC seconds."""

    line: int
    slot: int | None
    number: Number | None


@dataclass(frozen=True, slots=True)
class Profile:
    """Wh by slot of the good rows, the lines they stand in, and the problems of the others."""

    file: str
    energy: dict[int, int] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_profile(file: str, content: bytes, rules: Rules) -> Profile:
    """Read a whole file. `file` is how its problems name it.

    Rows that follow each other without a gap share one running sum. A bad row ends it, so that what it may have
    meant is not made up by its neighbours.
    """
    profile = Profile(file)
    lines = _lines(content)
    try:
        columns = _columns(lines)
    except Refused as refused:
        profile.problems.append(Problem(file, 1, refused.field, refused.rule, refused.message))
        return profile
    rows = [_row(profile, line, text, columns, rules) for line, text in lines]
    if not rows:
        profile.problems.append(Problem(file, 1, TIMESTAMP, "empty", _("The file has no rows.")))
    kept = _in_order(profile, rows, rules)
    for run in _runs(kept, rules.slot_seconds):
        profile.energy.update(zip([slot for slot, _number in run], _energy(run, rules), strict=True))
    profile.lines.update((slot, row.line) for slot, row in kept.items())
    profile.problems.sort(key=lambda problem: problem.line)
    return profile


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, by number."""
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        stripped = line.strip()
        if stripped:
            yield number, stripped


def _cells(line: bytes) -> list[str]:
    """The cells of one line. A quote that is left open ends with its line, not with the file."""
    try:
        return [cell.strip() for cell in next(csv.reader([line.decode("utf-8")], strict=True))]
    except UnicodeDecodeError:
        raise Refused(TIMESTAMP, "not_utf8", _("This is not UTF-8 text.")) from None
    except csv.Error as error:
        raise Refused(TIMESTAMP, "not_csv", _("This is no CSV: %(error)s.") % {"error": error}) from None


@dataclass(frozen=True, slots=True)
class _Columns:
    count: int
    timestamp: int
    value: int


def _columns(lines: Iterator[tuple[int, bytes]]) -> _Columns:
    first = next(lines, None)
    if first is None:
        raise Refused(TIMESTAMP, "empty", _("The file is empty."))
    names = _cells(first[1])
    for name in (TIMESTAMP, VALUE):
        if names.count(name) != 1:
            message = _('The first line must name the columns "%(timestamp)s" and "%(value)s", separated by commas.')
            raise Refused(name, "wrong_columns", message % {"timestamp": TIMESTAMP, "value": VALUE})
    return _Columns(len(names), names.index(TIMESTAMP), names.index(VALUE))


def _row(profile: Profile, line: int, text: bytes, columns: _Columns, rules: Rules) -> Row:
    slot = number = None
    try:
        cells = _cells(text)
        if len(cells) != columns.count:
            message = _("There are %(found)s columns instead of %(wanted)s.")
            message %= {"found": len(cells), "wanted": columns.count}
            raise Refused(TIMESTAMP, "wrong_columns", message)
        slot = _slot(cells[columns.timestamp], rules)
        number = _value(cells[columns.value], rules)
    except Refused as refused:
        profile.problems.append(Problem(profile.file, line, refused.field, refused.rule, refused.message))
    return Row(line, slot, number)


def _slot(text: str, rules: Rules) -> int:
    number = parse_number(text, TIMESTAMP)
    slot, rest = divmod(number.digits * _power_of_ten(number.exponent), _power_of_ten(-number.exponent))
    if rest or slot % rules.slot_seconds:
        message = _("%(text)s is not the start of a slot: Unix seconds, a multiple of %(seconds)s.")
        raise Refused(TIMESTAMP, "off_the_grid", message % {"text": text, "seconds": rules.slot_seconds})
    if slot < 0:
        raise Refused(TIMESTAMP, "negative", _("The time lies before 1970."))
    if slot + rules.slot_seconds > rules.end:
        raise Refused(TIMESTAMP, "in_the_future", _("The slot is not over yet."))
    return slot


def _value(text: str, rules: Rules) -> Number:
    number = parse_number(text, VALUE)
    if number.digits < 0:
        raise Refused(VALUE, "negative", _("%(text)s is negative.") % {"text": text})
    wh = number.digits * rules.unit_w * rules.slot_seconds
    most = rules.most_wh * SECONDS_PER_HOUR
    if wh * _power_of_ten(number.exponent) > most * _power_of_ten(-number.exponent):
        message = _("%(text)s is more than is possible here: at most %(most)s Wh in a slot.")
        raise Refused(VALUE, "implausible_energy", message % {"text": text, "most": rules.most_wh})
    return number


def _power_of_ten(exponent: int) -> int:
    """1 for negative exponents."""
    return int(10 ** max(exponent, 0))


def _in_order(profile: Profile, rows: Sequence[Row], rules: Rules) -> dict[int, Row]:
    """Rows that can be used, by slot; checks that slots ascend without gaps."""
    once, disputed = _once(profile, rows)
    ascending = set(_longest_ascending(once))
    last: int | None = None
    displaced = 0  # rows since the last slot whose times are wrong: each may be one of the slots that lack
    for row in rows:
        if row.slot is None or once[row.slot] is not row:
            displaced += 1
        elif row.slot not in ascending:
            displaced += 1
            message = _("Slots must ascend: this one stands in the wrong place.")
            profile.problems.append(Problem(profile.file, row.line, TIMESTAMP, "not_ascending", message))
        else:
            between = range(row.slot if last is None else last + rules.slot_seconds, row.slot, rules.slot_seconds)
            lacking = sum(slot not in once for slot in between)
            if lacking > displaced:
                message = _("%(count)s slots before this row are missing.") % {"count": lacking}
                profile.problems.append(Problem(profile.file, row.line, TIMESTAMP, "gap", message))
            last, displaced = row.slot, 0
    return {s: once[s] for s in sorted(ascending - disputed) if once[s].number is not None}


def _once(profile: Profile, rows: Sequence[Row]) -> tuple[dict[int, Row], set[int]]:
    """The first row of every slot, and the slots that another row gives another value."""
    once: dict[int, Row] = {}
    disputed: set[int] = set()
    for row in rows:
        if row.slot is None:
            continue
        first = once.setdefault(row.slot, row)
        if first is row:
            continue
        if _same(first, row):
            message = _("Line %(line)s has this slot already.")
        else:
            message = _("Line %(line)s has this slot with another value: neither is used.")
            disputed.add(row.slot)
        problem = Problem(profile.file, row.line, TIMESTAMP, "duplicate", message % {"line": first.line})
        profile.problems.append(problem)
    return once, disputed


def _longest_ascending(slots: Iterable[int]) -> list[int]:
    """The most slots that ascend as they stand: so one wrong time makes one row wrong, and not all after it."""
    ends: list[int] = []  # the smallest end of an ascending row of slots, by its length
    before: dict[int, int | None] = {}
    for slot in slots:
        length = bisect_left(ends, slot)
        before[slot] = ends[length - 1] if length else None
        ends[length : length + 1] = [slot]
    chosen: list[int] = []
    slot_or_none = ends[-1] if ends else None
    while slot_or_none is not None:
        chosen.append(slot_or_none)
        slot_or_none = before[slot_or_none]
    return chosen[::-1]


def _same(first: Row, second: Row) -> bool:
    if first.number is None or second.number is None:
        return False
    return first.number.exact == second.number.exact


def _runs(kept: dict[int, Row], seconds: int) -> Iterator[list[tuple[int, Number]]]:
    """Slots and values that follow each other without a gap."""
    run: list[tuple[int, Number]] = []
    for slot, row in kept.items():
        if run and slot - run[-1][0] != seconds:
            yield run
            run = []
        if row.number is not None:
            run.append((slot, row.number))
    if run:
        yield run


def _energy(run: list[tuple[int, Number]], rules: Rules) -> list[int]:
    decimals = max(0, *(-number.exponent for _slot, number in run))
    power = (number.digits * rules.unit_w * 10 ** (decimals + number.exponent) for _slot, number in run)
    return energy_of_scaled_power(power, 10**decimals, rules.slot_seconds)
