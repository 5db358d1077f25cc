"""Power to energy without losing a watt-hour to rounding."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

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


def energy_of_scaled_power(power: NDArray[np.int64], scale: int, seconds: int) -> NDArray[np.int64]:
    """The same for powers given as integers of 1/`scale` W. Raises `OverflowError` beyond 63 bits."""
    denominator = 2 * scale * SECONDS_PER_HOUR
    if np.abs(power).sum(dtype=object) * 2 * seconds + denominator >= 2**63:
        raise OverflowError("the running sum of energy does not fit 63 bits")
    rounded = (np.cumsum(power) * (2 * seconds) + denominator // 2) // denominator
    return np.diff(rounded, prepend=np.int64(0))
