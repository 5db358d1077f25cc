"""Rounding of money, and an invoice's figures, against the decimal module and plain sums."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.invoice import compute
from evidence.settlement import Scheme
from market_math.money import amount, nano_per_minor, round_half_away, to_minor
from tests.data import reference

nanos = st.one_of(st.integers(-(10**18), 10**18), st.integers(-1000, 1000).map(lambda n: n * 5_000_000))
items = st.dictionaries(
    st.tuples(st.sampled_from([Scheme.PURCHASE, Scheme.SUPPLY, Scheme.FEED_IN]), st.integers(0, 2_000_000)),
    st.integers(0, 10**9),
    max_size=8,
)


@given(nanos)
def test_halves_go_away_from_zero(nano: int) -> None:
    with localcontext() as context:
        context.prec = 40
        for currency, digits in (("EUR", "0.01"), ("COP", "0.01"), ("CLP", "1")):
            expected = (Decimal(nano) / 10**9).quantize(Decimal(digits), ROUND_HALF_UP)
            assert to_minor(nano, currency) * nano_per_minor(currency) == expected * 10**9


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_rounding_takes_the_nearest(numerator: int, denominator: int) -> None:
    rounded = round_half_away(numerator, denominator)
    assert abs(2 * (rounded * denominator - numerator)) <= denominator
    assert round_half_away(-numerator, denominator) == -rounded


def test_money_by_example() -> None:
    assert amount(1500, 320_000) == 480_000_000
    assert [to_minor(nano, "EUR") for nano in (4_999_999, 5_000_000, -4_999_999, -5_000_000)] == [0, 1, 0, -1]
    with pytest.raises(KeyError):
        to_minor(1, "XXX")


@given(items, st.sampled_from([0, 7, 19]))
def test_a_document_is_what_plain_sums_say(energy: dict[tuple[Scheme, int], int], percent: int) -> None:
    energy = {key: wh for key, wh in energy.items() if wh}
    figures = compute(energy, dict.fromkeys(Scheme, percent * 10_000), "EUR")
    expected = reference.bill({(int(scheme), price): wh for (scheme, price), wh in energy.items()}, percent)
    lines = [(int(line.scheme or 0), line.energy_wh, line.price_micro, line.amount_minor) for line in figures.lines]
    assert sorted(lines) == sorted(expected.lines.elements())
    assert (figures.net_minor, figures.vat_minor) == (expected.net, expected.vat)


@given(items, st.integers(0, 300_000), st.integers(0, 300_000))
def test_each_rate_of_vat_stands_alone(energy: dict[tuple[Scheme, int], int], first: int, second: int) -> None:
    rates = {Scheme.PURCHASE: first, Scheme.SUPPLY: second, Scheme.FEED_IN: first}
    figures = compute(energy, rates, "EUR")
    assert {group.ppm for group in figures.vat} == {rates[scheme] for scheme, _ in energy}
    for group in figures.vat:
        own = {key: wh for key, wh in energy.items() if rates[key[0]] == group.ppm}
        assert group == compute(own, rates, "EUR").vat[0]
        lines = [line for line in figures.lines if line.vat_ppm == group.ppm]
        assert sum(line.amount_minor for line in lines) == group.net_minor
        assert sum(line.scheme is None for line in lines) <= 1
    assert figures.total_minor == sum(group.net_minor + group.vat_minor for group in figures.vat)
