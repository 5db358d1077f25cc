"""Shares of what is there: against exact fractions, and the laws that any fair division keeps."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_math.allocation import Shares, apportion, share
from tests.data.reference import Served, pour

Claim = tuple[int, int, int]  # group, weight, limit

often = settings(max_examples=5 * settings().max_examples)
energies = st.one_of(st.integers(0, 12), st.integers(0, 10**6))
weights = st.one_of(st.integers(1, 12), st.integers(1, 10**6))


@st.composite
def divisions(draw: st.DrawFn) -> tuple[list[int], list[Claim]]:
    available = draw(st.lists(energies, min_size=1, max_size=4))
    groups = st.integers(0, len(available) - 1)
    return available, draw(st.lists(st.tuples(groups, weights, energies), max_size=12))


def shares_of(available: Sequence[int], claims: Sequence[Claim]) -> Shares:
    group, weight, limit = ([claim[i] for claim in claims] for i in range(3))
    return share(
        np.array(available, np.int64), np.array(group, np.intp), np.array(weight, np.int64), np.array(limit, np.int64)
    )


def rows_of(available: Sequence[int], claims: Sequence[Claim]) -> list[Served]:
    shares = shares_of(available, claims)
    columns = (shares.weight.tolist(), shares.limit.tolist(), shares.allocated.tolist())
    return [Served(*row) for row in zip(*columns, strict=True)]


@often
@given(divisions())
def test_shares_are_those_of_exact_fractions(division: tuple[list[int], list[Claim]]) -> None:
    available, claims = division
    rows = rows_of(available, claims)
    for group, wh in enumerate(available):
        members = [n for n, claim in enumerate(claims) if claim[0] == group]
        expected = pour(wh, [(n.to_bytes(2, "big"), claims[n][1], claims[n][2]) for n in members])
        assert [rows[n] for n in members] == [expected[n.to_bytes(2, "big")] for n in members]


@often
@given(divisions())
def test_what_there_is_goes_out_up_to_what_can_be_taken(division: tuple[list[int], list[Claim]]) -> None:
    available, claims = division
    rows = rows_of(available, claims)
    for (_, weight, limit), row in zip(claims, rows, strict=True):
        assert 0 <= row.wh <= limit
        assert (row.weight, row.limit) in ((weight, 0), (0, row.wh))
    for group, wh in enumerate(available):
        members = [(claim, row) for claim, row in zip(claims, rows, strict=True) if claim[0] == group]
        given_out = sum(row.wh for _, row in members)
        assert given_out == min(wh, sum(claim[2] for claim, _ in members))
        rest = wh - sum(row.limit for _, row in members)
        total = sum(row.weight for _, row in members)
        for claim, row in members:
            if row.weight:
                exact = Fraction(rest * row.weight, total)
                assert exact < claim[2]
                assert row.wh - int(exact) in (0, 1)
            else:
                assert row.wh == claim[2]


@given(divisions(), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_each_other(division: tuple[list[int], list[Claim]], chance) -> None:  # type: ignore[no-untyped-def]
    available, claims = division
    number = list(range(len(available)))
    chance.shuffle(number)
    renamed = [0] * len(available)
    for old, new in enumerate(number):
        renamed[new] = available[old]
    order = sorted(range(len(claims)), key=lambda n: number[claims[n][0]])
    rows = rows_of(available, claims)
    moved = rows_of(renamed, [(number[claims[n][0]], *claims[n][1:]) for n in order])
    assert moved == [rows[n] for n in order]


@given(divisions(), st.integers(2, 1000))
def test_only_the_proportion_of_weights_counts(division: tuple[list[int], list[Claim]], factor: int) -> None:
    available, claims = division
    scaled = [(group, weight * factor, limit) for group, weight, limit in claims]
    assert [row.wh for row in rows_of(available, scaled)] == [row.wh for row in rows_of(available, claims)]


def test_ties_go_to_the_earlier_row() -> None:
    assert [row.wh for row in rows_of([5], [(0, 1, 9)] * 3)] == [2, 2, 1]


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OverflowError):
        shares_of([2**40], [(0, 2**22, 2**40), (0, 2**22, 2**40)])
    assert sum(row.wh for row in rows_of([2**40], [(0, 2**21, 2**40), (0, 2**21, 2**40)])) == 2**40


@given(st.integers(0, 10**12), st.lists(energies, min_size=1, max_size=12).filter(any))
def test_apportioned_parts_are_a_whole(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    whole = sum(weights)
    assert sum(parts) == total
    floors = [total * weight // whole for weight in weights]
    gained = [part - floor for part, floor in zip(parts, floors, strict=True)]
    assert set(gained) <= {0, 1}
    # Nobody with a larger fraction, or the same and an earlier place, goes without what another got.
    rank = [(-(total * weight % whole), n) for n, weight in enumerate(weights)]
    with_one = [rank[n] for n, one in enumerate(gained) if one]
    without = [rank[n] for n, one in enumerate(gained) if not one]
    assert not with_one or not without or max(with_one) < min(without)
