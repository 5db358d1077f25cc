"""From samples of any length to the energy of slots, without losing a watt-hour to rounding.

Samples that follow each other without a gap share one running sum E; inside a sample it rises evenly. The energy of a
slot is floor(E(end) + ½) - floor(E(start) + ½).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from django.utils.translation import gettext as _

from apps.metering.formats.base import LONGEST_SAMPLE, TICKS, Reading, Refused, Sample
from evidence.readings import Quality


class SlotValue(NamedTuple):
    """Wh or varh of a slot, and the line of the file that it begins in."""

    value: int
    quality: Quality
    line: int


@dataclass(frozen=True, slots=True)
class Slots:
    """What samples say of slots, by start in UTC seconds; what is wrong with samples, by line."""

    values: dict[int, SlotValue] = field(default_factory=dict)
    problems: list[tuple[int, Refused]] = field(default_factory=list)


def slots_of(samples: Iterable[Sample], slot_seconds: int) -> Slots:
    """The energy of all slots that samples of one register cover whole."""
    found = Slots()
    for run in _runs(_once(samples, found), found):
        found.values.update(_spread(run, slot_seconds, found))
    return found


def differences(readings: Iterable[Reading]) -> tuple[list[Sample], list[tuple[int, Refused]]]:
    """What a counter advanced by between one reading and the next."""
    samples: list[Sample] = []
    problems: list[tuple[int, Refused]] = []
    ordered = sorted(readings, key=lambda reading: reading.instant)
    for before, after in pairwise(ordered):
        seconds, ticks = after.instant - before.instant, after.ticks - before.ticks
        if not seconds:
            message = _("Line %(line)s has this time already.") % {"line": before.line}
            problems.append((after.line, Refused("time", "duplicate", message)))
        elif ticks < 0:
            message = _("The counter falls: a device was exchanged or it began anew.")
            problems.append((after.line, Refused("value", "counter_falls", message)))
        elif seconds > LONGEST_SAMPLE:
            problems.append((after.line, too_long("time")))
        else:
            quality = max(before.quality, after.quality)
            samples.append(Sample(after.line, before.instant, seconds, ticks, quality))
    return samples, problems


def too_long(field: str) -> Refused:
    message = _("More than an hour: nobody knows how this energy lies in the slots.")
    return Refused(field, "too_long", message)


def _once(samples: Iterable[Sample], found: Slots) -> list[Sample]:
    """In order of time. Of periods that overlap, equal ones count once and others not at all."""
    kept: list[Sample] = []
    end = 0
    for sample in sorted(samples, key=lambda sample: (sample.start, sample.line)):
        if kept and sample.start < end:
            message = _("Line %(line)s covers this time already.") % {"line": kept[-1].line}
            if sample[1:] != kept[-1][1:]:
                message = _("Line %(line)s gives this time another value: neither is used.") % {"line": kept[-1].line}
                kept[-1] = kept[-1]._replace(ticks=-1)
            found.problems.append((sample.line, Refused("time", "duplicate", message)))
        else:
            kept.append(sample)
        end = max(end, sample.start + sample.seconds)
    return [sample for sample in kept if sample.ticks >= 0]


def _runs(samples: Sequence[Sample], found: Slots) -> Iterator[list[Sample]]:
    run: list[Sample] = []
    for sample in samples:
        if not 0 < sample.seconds <= LONGEST_SAMPLE:
            found.problems.append((sample.line, too_long("time")))
            continue
        if run and sample.start != run[-1].start + run[-1].seconds:
            yield run
            run = []
        run.append(sample)
    if run:
        yield run


def _spread(run: Sequence[Sample], slot_seconds: int, found: Slots) -> Iterator[tuple[int, SlotValue]]:
    first, last = run[0], run[-1]
    start = -(-first.start // slot_seconds) * slot_seconds
    end = (last.start + last.seconds) // slot_seconds * slot_seconds
    partial = [first] if first.start != start else []
    if last.start + last.seconds != end and not (partial and start > end):
        partial.append(last)
    for sample in partial:
        message = _("A slot is covered only in part.")
        found.problems.append((sample.line, Refused("time", "incomplete_slot", message)))
    index, total = 0, 0  # `total` is E where run[index] starts
    before = None
    slot, quality, line = start, Quality.TRUE_VALUE, first.line
    for bound in range(start, end + 1, slot_seconds):
        while index < len(run) and run[index].start + run[index].seconds <= bound:
            total += run[index].ticks
            quality = max(quality, run[index].quality) if run[index].start + run[index].seconds > slot else quality
            index += 1
        current = run[index] if index < len(run) else None
        inside = bound - current.start if current else 0
        if current and inside > 0:
            quality = max(quality, current.quality)
        rounded = _rounded(total, current, inside)
        if before is not None:
            yield slot, SlotValue(rounded - before, Quality(quality), line)
        before, slot = rounded, bound
        quality = Quality.TRUE_VALUE
        line = current.line if current else last.line


def _rounded(total: int, current: Sample | None, inside: int) -> int:
    """floor(E + ½) in Wh, `inside` seconds after the start of `current`."""
    if current is None or inside <= 0:
        return (2 * total + TICKS) // (2 * TICKS)
    seconds = current.seconds
    return (2 * (total * seconds + current.ticks * inside) + TICKS * seconds) // (2 * TICKS * seconds)
