"""From counters to readings: plain functions, no clock, no files, no network.

A reading is the difference of two rounded running sums, floor(E + ½), so that rounding never adds up. Which counters a
running sum is made of: see `meter_agent.terms`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evidence.readings import Quality, Reading, Register, Unit
from meter_agent.config import PointConfig
from meter_agent.registers import LARGEST_SCALE, Quantity, RawCounter
from meter_agent.slots import iso, split_evenly
from meter_agent.terms import Role, Terms

# Counters are kept exactly, in the smallest unit that a SunSpec scale factor can express.
TICKS_PER_WH: int = 10**LARGEST_SCALE
# A counter read up to this many seconds after the end of a slot stands for the end of the slot.
PUNCTUAL_SECONDS = 30
# Two meters never agree to the last Wh. Consumption that comes out below zero is owed to the next slots, up to here and
# as much more as the meters' last digits leave open.
LARGEST_DEBT_WH = 1000
# What was counted in a longer time is not spread over its slots: nobody could say when it was.
LONGEST_GAP = 40 * 86_400
UNITS = {Unit.WH: "Wh", Unit.VARH: "varh"}

CounterKey = tuple[Role, Quantity]
RawCounters = Mapping[Role, Mapping[Quantity, RawCounter]]


@dataclass(frozen=True, slots=True)
class Counter:
    """A meter's counter without its wraps: `total` in ticks, counted without a break from `since` until `at`."""

    raw: int
    scale: int
    total: int
    at: int
    since: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a register is reported: until which instant, as which running sum in Wh, counted by which formula."""

    until: int
    reported: int
    formula: str


@dataclass(frozen=True, slots=True)
class PointState:
    counters: Mapping[CounterKey, Counter] = field(default_factory=dict)
    registers: Mapping[Register, Progress] = field(default_factory=dict)

    @property
    def read_at(self) -> int | None:
        """The last slot boundary at which a meter of the point was read."""
        return max((counter.at for counter in self.counters.values()), default=None)


@dataclass(frozen=True, slots=True)
class Remark:
    level: int
    text: str


def formula(terms: Terms) -> str:
    return " ".join(f"{sign:+d}*{role}.{quantity}" for sign, role, quantity in terms)


def ticks(raw: int, scale: int) -> int:
    unit: int = 10 ** (LARGEST_SCALE + scale)
    return raw * unit


def rounded_wh(total: int) -> int:
    """floor(E + ½)"""
    return (total + TICKS_PER_WH // 2) // TICKS_PER_WH


class NotAccumulated(Exception):
    """SunSpec's 0 for "counts nothing", from a counter that has counted before."""


def advance(before: Counter | None, now: RawCounter, at: int, max_kw: int) -> Counter:
    """The counter at `at`. A step that neither counting nor wrapping explains starts it again (`since` = `at`).

    Raises `NotAccumulated`.
    """
    if before is None:
        return Counter(now.raw, now.scale, ticks(now.raw, now.scale), at, since=at)
    if now.raw == 0 and before.raw != 0:
        raise NotAccumulated
    if now.scale == before.scale and now.modulus is not None:
        counted = ticks((now.raw - before.raw) % now.modulus, now.scale)
    else:
        counted = ticks(now.raw, now.scale) - ticks(before.raw, before.scale)
    possible = max_kw * 1000 * (at - before.at + PUNCTUAL_SECONDS) * TICKS_PER_WH // 3600
    if 0 <= counted <= possible:
        return replace(before, raw=now.raw, scale=now.scale, total=before.total + counted, at=at)
    return Counter(now.raw, now.scale, before.total, at, since=at)


def read_slot(
    point: PointConfig, state: PointState, raw: RawCounters, boundary: int, step: int
) -> tuple[PointState, list[Reading], list[Remark]]:
    """What the counters read at `boundary` say about the slots that ended since each register was last reported.

    Meters missing from `raw` did not answer: registers that need them are left for the next boundary.
    """
    counters, remarks = _advance_all(point, state, raw, boundary)
    registers = dict(state.registers)
    readings: list[Reading] = []
    for register, terms in point.terms.items():
        needed = [counters.get((role, quantity)) for _, role, quantity in terms]
        known = [counter for counter in needed if counter is not None and counter.at == boundary]
        if len(known) < len(terms):
            continue
        total = sum(sign * counter.total for (sign, _, _), counter in zip(terms, known, strict=True))
        now = Progress(boundary, rounded_wh(total), formula(terms))
        before = registers.get(register)
        registers[register] = now
        if before is None:
            continue
        name, unit = f"{point.name} {register.name.lower()}", UNITS[register.unit]
        reason = _reason_to_start_again(before, now, known, step)
        if reason:
            remarks.append(Remark(logging.ERROR, f"{name}: {reason}; no reading since {iso(before.until)}"))
            continue
        wh = now.reported - before.reported
        if wh < 0:
            remarks.append(Remark(logging.INFO, f"{name}: {wh} {unit}, taken off the next slots"))
            registers[register] = replace(before, until=boundary)
        new = _spread(point.id, register, range(before.until, boundary, step), max(wh, 0))
        if len(new) > 1:
            text = (
                f"{name}: not read since {iso(before.until)}, {wh} {unit} spread over {len(new)} slots as substitutes"
            )
            remarks.append(Remark(logging.WARNING, text))
        readings += new
    return PointState(counters, registers), readings, remarks


def _advance_all(
    point: PointConfig, state: PointState, raw: RawCounters, boundary: int
) -> tuple[dict[CounterKey, Counter], list[Remark]]:
    counters = dict(state.counters)
    remarks = []
    for role, values in raw.items():
        for quantity, value in values.items():
            name = f"{point.name} {role} meter, {quantity} counter"
            before = counters.get((role, quantity))
            try:
                after = advance(before, value, boundary, point.meters[role].max_kw)
            except NotAccumulated:
                remarks.append(Remark(logging.ERROR, f"{name}: shows 0 (not accumulated), not used"))
                continue
            if before is not None and after.since != before.since:
                step = f"from {before.raw}e{before.scale} to {value.raw}e{value.scale} {UNITS[quantity.unit]}"
                remarks.append(Remark(logging.ERROR, f"{name}: went {step}, starts again"))
            counters[role, quantity] = after
    return counters, remarks


def _reason_to_start_again(before: Progress, now: Progress, counters: list[Counter], step: int) -> str | None:
    if before.formula != now.formula:
        return "other meters are configured than before"
    if (now.until - before.until) % step:
        return "the length of a slot has changed"
    if now.until - before.until > LONGEST_GAP:
        return f"not read for {(now.until - before.until) // 86_400} days"
    if any(counter.since > before.until for counter in counters):
        return "a counter started again"
    last_digits = sum(10 ** max(counter.scale, 0) for counter in counters)
    if now.reported - before.reported < -LARGEST_DEBT_WH - last_digits:
        return f"{now.reported - before.reported} Wh (are import and export of the grid meter swapped?)"
    return None


def _spread(point: bytes, register: Register, slots: range, wh: int) -> list[Reading]:
    quality = Quality.TRUE_VALUE if len(slots) == 1 else Quality.SUBSTITUTE
    shares = split_evenly(wh, len(slots))
    return [Reading(point, register, slot, share, quality) for slot, share in zip(slots, shares, strict=True)]
