"""Who gets how much of what is there: proportional shares with limits, exact to the Wh.

All quantities are int64. Rows that compete with each other form a group; groups are independent, so that one call
serves every plant of a slot, and the same slot of many days.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shares:
    """What each row gets, and the form in which settlement records it: rows served in full have no weight."""

    allocated: Ints
    weight: Ints
    limit: Ints


def share(available: Ints, group: NDArray[np.intp], weight: Ints, limit: Ints) -> Shares:
    """Share `available` (per group) among rows in proportion to `weight` (> 0), each up to its `limit` (>= 0).

    What a limited row leaves goes to the others of its group, until all is shared or all have their limit. Remainders
    of a Wh go to the largest fractions, ties to the earlier row. Raises `OverflowError` when products exceed 63 bits.
    """
    groups = len(available)
    if len(weight) and max(int(available.max()), int(limit.max())) * int(weight.sum(dtype=object)) >= 2**63:
        raise OverflowError("energy times the sum of weights does not fit 63 bits")
    wanted = np.zeros(groups, np.int64)
    np.add.at(wanted, group, limit)
    capped = wanted[group] <= available[group]
    rest, total = _rest(available, group, weight, limit, capped)
    while True:
        reached = ~capped & (rest[group] * weight >= limit * total[group])
        if not reached.any():
            break
        capped |= reached
        rest, total = _rest(available, group, weight, limit, capped)
    allocated = np.where(capped, limit, 0)
    free = np.flatnonzero(~capped)
    if len(free):
        allocated[free] = _by_largest_remainder(rest, total, group[free], weight[free])
    return Shares(allocated, np.where(capped, 0, weight), np.where(capped, limit, 0))


def _rest(
    available: Ints, group: NDArray[np.intp], weight: Ints, limit: Ints, capped: NDArray[np.bool_]
) -> tuple[Ints, Ints]:
    """Per group: what is left after the limited rows, and the weight of the others."""
    rest = available.copy()
    np.subtract.at(rest, group[capped], limit[capped])
    total = np.zeros_like(available)
    np.add.at(total, group[~capped], weight[~capped])
    return rest, total


def _by_largest_remainder(rest: Ints, total: Ints, group: NDArray[np.intp], weight: Ints) -> Ints:
    product = rest[group] * weight
    shares = product // total[group]
    remainder = product - shares * total[group]
    left = rest.copy()
    np.subtract.at(left, group, shares)
    order = np.lexsort((np.arange(len(group)), -remainder, group))
    ranked = group[order]
    first = np.searchsorted(ranked, ranked)
    rank = np.arange(len(order)) - first
    shares[order] += rank < left[ranked]
    return shares


def apportion(total: int, weights: list[int]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainder, ties to the earlier one."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    for index in order[: total - sum(shares)]:
        shares[index] += 1
    return shares
