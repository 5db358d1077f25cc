"""Counters of every form, against running sums kept apart."""

import struct
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.readings import Register
from meter_agent.config import PointConfig
from meter_agent.energy import TICKS_PER_WH, PointState, advance, read_slot
from meter_agent.images import words
from meter_agent.maps import MAPS
from meter_agent.registers import (
    MICRO,
    OPPOSITE,
    Field,
    MeterError,
    MeterMap,
    Quantity,
    RawCounter,
    WordType,
    decode,
    fine_counter,
    number,
    value,
)
from meter_agent.terms import Role
from tests.meter_agent.support import HOUSE, NOON, SECRETS, STEP, meter

IMPORT = Quantity.IMPORT
WHOLE = [form for form in WordType if not form.is_float]


@given(st.sampled_from(WHOLE), st.booleans(), st.integers(0, (1 << 64) - 1))
def test_words_become_the_number_that_python_reads(form: WordType, low_word_first: bool, bits: int) -> None:
    size = form.bits // 8
    content = (bits % (1 << form.bits)).to_bytes(size, "big")
    found = [int.from_bytes(content[at : at + 2], "big") for at in range(0, size, 2)]
    shown = number(found[::-1] if low_word_first else found, low_word_first)
    assert value(shown, form) == int.from_bytes(content, "big", signed=form.is_signed)


@given(st.binary(min_size=4, max_size=4))
def test_a_float_is_exactly_what_its_bits_say(content: bytes) -> None:
    """By sign, exponent and mantissa, not by a float."""
    bits = int.from_bytes(content, "big")
    exponent, mantissa = bits >> 23 & 0xFF, bits & 0x7FFFFF
    shown = value(bits, WordType.FLOAT32)
    if exponent == 0xFF:
        assert shown is None
        return
    size = Fraction(mantissa | (1 << 23 if exponent else 0)) * Fraction(2) ** (max(exponent, 1) - 150)
    assert shown == (-size if bits >> 31 else size)


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=60), st.integers(0, 65_535), st.sampled_from([-2, 0, 1]))
def test_a_counter_that_wraps_early_counts_on_exactly(steps: list[int], first: int, scale: int) -> None:
    """A counter of 16 bits that starts again at 50000, read after each step."""
    modulus, at = 50_000, NOON
    counter = advance(None, RawCounter(first % modulus, scale, modulus), at, 1_000_000)
    begun, shown, counted = counter.total, first % modulus, 0
    for step in steps:
        shown, counted, at = (shown + step) % modulus, counted + step, at + STEP
        if shown == 0 and counter.raw != 0:
            return  # as good as "not accumulated"
        counter = advance(counter, RawCounter(shown, scale, modulus), at, 1_000_000)
    assert Fraction(counter.total - begun, TICKS_PER_WH) == counted * Fraction(10) ** scale
    assert counter.since == NOON


@given(st.lists(st.integers(0, 3_000_000), min_size=2, max_size=60), st.integers(0, 10**11))
def test_floats_add_up_to_what_the_meter_shows(steps: list[int], first: int) -> None:
    """A meter shows kWh as floats of 32 bits: the sum of its readings is the rounded difference of what it showed."""
    field = MAPS["sdm630"].fields[IMPORT]
    point = PointConfig(HOUSE, SECRETS[HOUSE], {Role.GRID: meter(1)}, (Register.GRID_IMPORT,))
    state, mwh, total = PointState(), first, 0
    ends = []
    for slot, step in enumerate([0, *steps]):
        mwh += step
        (kwh,) = struct.unpack(">f", struct.pack(">f", mwh / 1e6))
        ends.append(Fraction(kwh) * 1000)
        registers = dict(zip(field.span, words(field, mwh), strict=True))
        only = MeterMap("one", "", 4, {IMPORT: field}, {}, blocks=(field.span,))
        raw = {Role.GRID: decode(only, registers, [IMPORT])}
        state, readings, _ = read_slot(point, state, raw, NOON + slot * STEP, STEP)
        total += sum(reading.value for reading in readings if reading.register == Register.GRID_IMPORT)
    if any(after < before or after - before > 25_000 for before, after in pairwise(ends)):
        return  # a step of the float is more than 100 kW allow

    def rounded(wh: Fraction) -> int:
        micro = wh * 10**6 // 1
        return int((micro + 500_000) // 10**6)

    assert total == rounded(ends[-1]) - rounded(ends[0])


@given(st.fractions(min_value=0, max_value=9_000_000, max_denominator=10**9), st.integers(-3, 6))
def test_cutting_never_loses_more_than_a_millionth(shown: Fraction, scale: int) -> None:
    counter = fine_counter(shown, scale)
    exact = shown * Fraction(10) ** scale
    assert 0 <= exact - Fraction(counter.raw, 10**6) < Fraction(1, 10**6)
    assert (counter.scale, counter.modulus) == (MICRO, None)


def test_a_register_that_counts_downwards_counts_up() -> None:
    field = Field(0, WordType.I32, scale=1, factor=-5, modulus=1000)
    only = MeterMap("one", "", 3, {IMPORT: field}, {}, blocks=(range(2),))
    assert decode(only, {0: 0xFFFF, 1: 0xFFF9}, [IMPORT]) == {IMPORT: RawCounter(35, 1, 5000)}  # -7
    with pytest.raises(MeterError, match="shows -35e1"):
        decode(only, {0: 0, 1: 7}, [IMPORT])


@pytest.mark.parametrize("name", MAPS)
def test_a_meter_that_is_wired_the_other_way_round_is_the_same_when_turned_twice(name: str) -> None:
    turned = MAPS[name].reversed()
    assert turned.reversed() == MAPS[name]
    assert {OPPOSITE[quantity] for quantity in turned.fields} == MAPS[name].fields.keys()
