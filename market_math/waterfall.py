"""The waterfall of a market area: own use, then purchases from neighbours, then the utility."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_math.allocation import Ints, share

Indexes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Purchases:
    """Purchases in ascending order of (plant, row id). `plant` and `point` are indexes into the energies' rows."""

    plant: Indexes
    point: Indexes
    energy: Ints

    def __len__(self) -> int:
        return len(self.energy)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Rows of purchases, one per purchase and slot in which it took part, in the order of slots."""

    purchase: Indexes
    slot: Indexes
    weight: Ints
    limit: Ints
    allocated: Ints


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Wh per slot. `own_use`, `fed_in` have a row per plant, `supplied` one per point; `available` before purchases."""

    own_use: Ints
    available: Ints
    deliveries: Deliveries
    fed_in: Ints
    supplied: Ints


def run_waterfall(generation: Ints, consumption: Ints, site: Indexes, purchases: Purchases) -> Waterfall:
    """Settle slots in their order.

    `generation` is (plants, slots) and `consumption` (points, slots) in Wh; `site[i]` is the point behind whose meter
    plant i stands, -1 for none; no two plants share one. A purchase is delivered as its plant's surplus comes: in proportion to what is still
    undelivered, capped by the buyer's consumption that nothing else covers yet, plants in their order.
    """
    behind = site >= 0
    own_use = np.zeros_like(generation)
    own_use[behind] = np.minimum(generation[behind], consumption[site[behind]])
    available = generation - own_use
    uncovered = consumption.copy()
    uncovered[site[behind]] -= own_use[behind]
    fed_in = available.copy()
    deliveries = _deliver(fed_in, uncovered, purchases)
    return Waterfall(own_use, available, deliveries, fed_in, uncovered)


def _deliver(surplus: Ints, uncovered: Ints, purchases: Purchases) -> Deliveries:
    """Take deliveries out of `surplus` and `uncovered`, in place."""
    undelivered = purchases.energy.copy()
    waves = _waves(purchases)
    rows: list[tuple[Indexes, Indexes, Ints, Ints, Ints]] = []
    for slot in range(surplus.shape[1]):
        if not surplus[:, slot].any():
            continue
        for wave in waves:
            active = wave[(undelivered[wave] > 0) & (surplus[purchases.plant[wave], slot] > 0)]
            limit = _limits(active, purchases.point, undelivered, uncovered[:, slot])
            active, limit = active[limit > 0], limit[limit > 0]
            if not len(active):
                continue
            plants, group = np.unique(purchases.plant[active], return_inverse=True)
            shares = share(surplus[plants, slot], group, undelivered[active], limit)
            np.subtract.at(surplus[:, slot], purchases.plant[active], shares.allocated)
            np.subtract.at(uncovered[:, slot], purchases.point[active], shares.allocated)
            undelivered[active] -= shares.allocated
            rows.append((active, np.full(len(active), slot), shares.weight, shares.limit, shares.allocated))
    if not rows:
        none = np.zeros(0, np.int64)
        return Deliveries(none.astype(np.intp), none.astype(np.intp), none, none, none)
    return Deliveries(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _waves(purchases: Purchases) -> list[Indexes]:
    """Purchases that can be served at once: a plant waits for those before it that serve a buyer of its own."""
    wave_of_point: dict[int, int] = {}
    waves: list[list[int]] = []
    plant_of, point_of = purchases.plant.tolist(), purchases.point.tolist()
    start = 0
    for end in range(1, len(plant_of) + 1):
        if end < len(plant_of) and plant_of[end] == plant_of[start]:
            continue
        wave = max(wave_of_point.get(point, 0) for point in point_of[start:end])
        for point in point_of[start:end]:
            wave_of_point[point] = wave + 1
        while len(waves) <= wave:
            waves.append([])
        waves[wave] += range(start, end)
        start = end
    return [np.array(wave, np.intp) for wave in waves]


def _limits(active: Indexes, point: Indexes, undelivered: Ints, uncovered: Ints) -> Ints:
    """At most what is undelivered; a buyer's purchases from one plant share the consumption, the earlier first."""
    points, wanted = point[active], undelivered[active]
    order = np.argsort(points, kind="stable")
    ranked = wanted[order]
    before = np.cumsum(ranked) - ranked
    first = np.searchsorted(points[order], points[order])
    limit = np.empty_like(wanted)
    limit[order] = np.clip(uncovered[points[order]] - (before - before[first]), 0, ranked)
    return limit
