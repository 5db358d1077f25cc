"""Power to energy: the sum never drifts, and both ways of computing it agree."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from market_math.energy import energy_of_power, energy_of_scaled_power

powers = st.lists(st.integers(-(10**9), 10**9), max_size=50)
scales = st.sampled_from([1, 3, 7, 10, 10**6, 10**16])
seconds = st.sampled_from([300, 600, 900, 1800, 3600])


@given(powers, scales, seconds)
def test_the_sum_never_drifts(power: list[int], scale: int, seconds: int) -> None:
    energy = energy_of_power([Fraction(value, scale) for value in power], seconds)
    assert len(energy) == len(power)
    for n in range(len(power) + 1):
        exact = Fraction(sum(power[:n]) * seconds, scale * 3600)
        assert -Fraction(1, 2) <= exact - sum(energy[:n]) < Fraction(1, 2)


@given(powers, scales, seconds)
def test_scaled_integers_give_the_same(power: list[int], scale: int, seconds: int) -> None:
    exact = energy_of_power([Fraction(value, scale) for value in power], seconds)
    assert energy_of_scaled_power(power, scale, seconds) == exact


@given(powers, scales, seconds)
def test_a_slot_is_within_a_watt_hour_of_its_own_energy(power: list[int], scale: int, seconds: int) -> None:
    for value, wh in zip(power, energy_of_scaled_power(power, scale, seconds), strict=True):
        assert abs(wh - Fraction(value * seconds, scale * 3600)) < 1


@given(st.lists(st.integers(0, 10**9), max_size=50), scales, seconds)
def test_no_energy_is_negative_when_no_power_is(power: list[int], scale: int, seconds: int) -> None:
    assert min(energy_of_scaled_power(power, scale, seconds), default=0) >= 0


def test_half_a_watt_hour_goes_up() -> None:
    assert energy_of_scaled_power([2, 2, 2, 2], 1, 900) == [1, 0, 1, 0]
    assert energy_of_scaled_power([-2, -2, -2, -2], 1, 900) == [0, -1, 0, -1]
