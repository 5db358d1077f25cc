"""Who gets how much of what is there: proportional shares with limits, exact to the Wh.

All quantities are int64. Rows that compete with each other form a group; groups are independent, so that one call
serves every plant of a slot, and the same slot of many days.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Indexes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Shares:
    """What each row gets, and the form in which settlement records it: rows served in full have no weight."""

    allocated: Ints
    weight: Ints
    limit: Ints


def share(available: Ints, group: Indexes, weight: Ints, limit: Ints) -> Shares:
    """Share `available` (per group) among rows in proportion to `weight` (> 0), each up to its `limit` (>= 0).

    What a limited row leaves goes to the others of its group, until all is shared or all have their limit. Remainders
    of a Wh go to the largest fractions, ties to the earlier row. Raises `OverflowError` when products exceed 63 bits.
    """
    order = np.argsort(group, kind="stable")
    ranked = group[order]
    starts = np.flatnonzero(np.diff(ranked, prepend=-1))
    shares = share_in_runs(available[ranked[starts]], starts, weight[order], limit[order])
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return Shares(shares.allocated[back], shares.weight[back], shares.limit[back])


def share_in_runs(available: Ints, starts: Indexes, weight: Ints, limit: Ints) -> Shares:
    """The same for rows that lie group by group: those of group g run from `starts[g]` to the next start."""
    allocated, full = limit.copy(), limit.copy()
    free_weight = np.zeros_like(weight)
    if len(starts):
        _check_products(available, weight, limit)
        is_short = np.add.reduceat(limit, starts) > available
        sizes = np.diff(starts, append=len(weight))
        rows = np.flatnonzero(np.repeat(is_short, sizes))
        free, total, rest, sizes = _free_rows(rows, available[is_short], sizes[is_short], weight, limit)
        allocated[free] = _by_largest_remainder(rest, total, sizes, weight[free])
        free_weight[free], full[free] = weight[free], 0
    return Shares(allocated, free_weight, full)


def _check_products(available: Ints, weight: Ints, limit: Ints) -> None:
    most = max(int(available.max()), int(limit.max()))
    # The first bound is quick and nearly always enough; the sum itself might not fit 63 bits.
    if most * int(weight.max()) * len(weight) >= 2**63 and most * int(weight.sum(dtype=object)) >= 2**63:
        raise OverflowError("energy times the sum of weights does not fit 63 bits")


def _free_rows(
    rows: Indexes, rest: Ints, sizes: Indexes, weight: Ints, limit: Ints
) -> tuple[Indexes, Ints, Ints, Indexes]:
    """Of groups that cannot serve all their rows: the rows that end below their limit, and by group the sum of
    their weights, what is left for them, and how many they are."""
    done: list[tuple[Indexes, Ints, Ints, Indexes]] = []
    while len(rows):
        w, most = weight[rows], limit[rows]
        starts = np.cumsum(sizes) - sizes
        total = np.add.reduceat(w, starts)
        is_reached = np.repeat(rest, sizes) * w >= most * np.repeat(total, sizes)
        reached = np.add.reduceat(is_reached, starts, dtype=np.intp)
        # A group in which no row reached its limit is done; the others go round again without those that did.
        is_done = reached == 0
        of_done = np.repeat(is_done, sizes)
        done.append((rows[of_done], total[is_done], rest[is_done], sizes[is_done]))
        rest = (rest - np.add.reduceat(np.where(is_reached, most, 0), starts))[~is_done]
        sizes = (sizes - reached)[~is_done]
        rows = rows[~(of_done | is_reached)]
    if not done:
        none = np.zeros(0, np.int64)
        return none.astype(np.intp), none, none, none.astype(np.intp)
    free, total, rest, sizes = (np.concatenate(parts) for parts in zip(*done, strict=True))
    return free, total, rest, sizes


def _by_largest_remainder(rest: Ints, total: Ints, sizes: Indexes, weight: Ints) -> Ints:
    """Split `rest` of each group among its rows, which lie together, in proportion to their weights."""
    totals = np.repeat(total, sizes)
    shares, remainder = np.divmod(np.repeat(rest, sizes) * weight, totals)
    starts = np.cumsum(sizes) - sizes
    left = rest - np.add.reduceat(shares, starts) if len(starts) else rest
    group = np.repeat(np.arange(len(sizes)), sizes)
    order = _order(group, totals - 1 - remainder)
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    shares[order] += rank < np.repeat(left, sizes)
    return shares


def _order(group: Indexes, key: Ints) -> Indexes:
    """Rows by group, then by key (>= 0), then as they stand."""
    count = len(key)
    row_bits = max(count - 1, 0).bit_length()
    key_bits = int(key.max(initial=0)).bit_length()
    if 2 * row_bits + key_bits > 63:
        return np.lexsort((key, group))
    # All three packed into one number: sorting plain numbers is several times faster.
    packed = (((group << key_bits) | key) << row_bits) | np.arange(count)
    packed.sort()
    return packed & ((1 << row_bits) - 1)


def apportion(total: int, weights: list[int]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainder, ties to the earlier one."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    for index in order[: total - sum(shares)]:
        shares[index] += 1
    return shares
