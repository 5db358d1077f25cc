"""From samples to slots: nothing lost, nothing made up."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from apps.metering.formats.base import TICKS, Reading, Sample
from apps.metering.formats.slots import differences, slots_of
from evidence.readings import Quality

TRUE, SUBSTITUTE = Quality.TRUE_VALUE, Quality.SUBSTITUTE
START = 1_622_505_600


def samples(*wh: Fraction | int, seconds: int = 900, start: int = START) -> list[Sample]:
    return [
        Sample(n + 2, start + n * seconds, seconds, int(Fraction(value) * TICKS), TRUE) for n, value in enumerate(wh)
    ]


def energies(given: list[Sample], slot_seconds: int = 900) -> list[int]:
    return [value.value for _slot, value in sorted(slots_of(given, slot_seconds).values.items())]


def rules(given: list[Sample], slot_seconds: int = 900) -> list[tuple[int, str]]:
    return [(line, refused.rule) for line, refused in slots_of(given, slot_seconds).problems]


def test_an_hour_is_spread_evenly_to_the_last_wh() -> None:
    assert energies(samples(10, 7, seconds=3600)) == [3, 2, 3, 2, 2, 2, 1, 2]


def test_five_minutes_make_a_quarter() -> None:
    assert energies(samples(*[Fraction(1, 3)] * 6, seconds=300)) == [1, 1]


def test_a_quarter_that_is_not_covered_whole() -> None:
    given = samples(*[10] * 5, seconds=300, start=START + 600)
    assert energies(given) == [30]
    assert rules(given) == [(2, "incomplete_slot"), (6, "incomplete_slot")]
    assert rules(samples(10, seconds=300, start=START + 300)) == [(2, "incomplete_slot")]


def test_fractions_of_a_wh_add_up_and_a_gap_begins_anew() -> None:
    half = Fraction(1, 2)
    assert energies(samples(half, half, half, half)) == [1, 0, 1, 0]
    gap = samples(half, half) + samples(half, half, start=START + 2700)
    assert energies(gap) == [1, 0, 1, 0]


def test_a_slot_has_the_worst_quality_of_its_samples() -> None:
    given = [
        sample._replace(quality=SUBSTITUTE if n == 4 else TRUE)
        for n, sample in enumerate(samples(*[3] * 9, seconds=300))
    ]
    assert [value.quality for value in slots_of(given, 900).values.values()] == [TRUE, SUBSTITUTE, TRUE]
    hour = [
        sample._replace(quality=quality)
        for sample, quality in zip(samples(4, 4, seconds=3600), (TRUE, SUBSTITUTE), strict=True)
    ]
    assert [value.quality for value in slots_of(hour, 900).values.values()] == [TRUE] * 4 + [SUBSTITUTE] * 4


def test_the_same_time_twice() -> None:
    same = samples(5, 6)
    assert rules([*same, same[0]._replace(line=9)]) == [(9, "duplicate")]
    assert energies([*same, same[0]._replace(line=9)]) == [5, 6]
    other = same[0]._replace(line=9, ticks=TICKS)
    assert rules([*same, other]) == [(9, "duplicate")]
    assert energies([*same, other]) == [6]


def test_more_than_an_hour_is_not_spread() -> None:
    assert rules(samples(96, seconds=86_400)) == [(2, "too_long")]


def test_counters() -> None:
    stands = [(0, 1000), (900, 1010), (1800, 1010), (2700, 5), (3600, 9), (9000, 20)]
    given = [Reading(n, START + t, wh * TICKS, TRUE) for n, (t, wh) in enumerate(stands, 2)]
    found, problems = differences(given)
    assert [(s.start - START, s.ticks // TICKS) for s in found] == [(0, 10), (900, 0), (2700, 4)]
    assert [(line, refused.rule) for line, refused in problems] == [(5, "counter_falls"), (7, "too_long")]


@given(
    st.lists(st.tuples(st.sampled_from([60, 300, 900, 1800, 3600]), st.integers(0, 10**6)), min_size=1, max_size=30),
    st.sampled_from([300, 900, 1800, 3600]),
)
def test_slots_are_what_the_exact_sum_rounds_to(parts: list[tuple[int, int]], slot_seconds: int) -> None:
    """Recomputed with fractions, instant by instant."""
    given, instant = [], START
    for line, (seconds, milli) in enumerate(parts, 2):
        given.append(Sample(line, instant, seconds, milli * TICKS // 1000, TRUE))
        instant += seconds

    def exact(at: int) -> Fraction:
        total = Fraction(0)
        for sample in given:
            share = Fraction(min(max(at - sample.start, 0), sample.seconds), sample.seconds)
            total += share * Fraction(sample.ticks, TICKS)
        return total

    def rounded(at: int) -> int:
        return (exact(at) + Fraction(1, 2)).__floor__()

    first = -(-START // slot_seconds) * slot_seconds
    slots = range(first, instant - slot_seconds + 1, slot_seconds)
    assert {slot: value.value for slot, value in slots_of(given, slot_seconds).values.items()} == {
        slot: rounded(slot + slot_seconds) - rounded(slot) for slot in slots
    }
