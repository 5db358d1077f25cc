"""The waterfall of a market area: own use, then purchases from neighbours, then the utility."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market_math.allocation import Indexes, Ints, share_in_runs

COMPACT_EVERY = 8  # steps after which purchases that are full are left out


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
    plant i stands, -1 for none; no two plants share one. A purchase is delivered as its plant's surplus comes: in
    proportion to what is still undelivered, capped by the buyer's consumption that nothing else covers yet, plants in
    their order.
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
    """Take deliveries out of `surplus` and `uncovered`, in place.

    What a purchase gets depends on its plant in the slots before and on the plants before it in the same slot. So wave
    w is served in slot t at the same time as wave w - 1 in slot t + 1 and so on: each step is a diagonal.
    """
    lit = np.flatnonzero(surplus.any(axis=0))
    if not len(purchases) or not len(lit):
        return _in_order_of_slots([])
    first, last = int(lit[0]), int(lit[-1])
    queue = _Queue.of(purchases, surplus.shape[1])
    done: list[Deliveries] = []
    for step in range(first, last + queue.waves):
        if step % COMPACT_EVERY == 0:
            queue = queue.without_full()
        begin, end = np.searchsorted(queue.wave, [step - last, step - first + 1])
        if begin < end:
            done.append(_serve(queue, slice(begin, end), step, surplus.reshape(-1), uncovered.reshape(-1)))
    return _in_order_of_slots(done)


@dataclass(frozen=True, slots=True)
class _Queue:
    """Purchases that are not full, by wave and plant. In step s, one of wave w takes part in slot s - w: its cells in
    the flattened energies are `at_plant + s` and `at_point + s`."""

    waves: int
    purchase: Indexes
    wave: Indexes
    at_plant: Indexes
    at_point: Indexes
    shares_cell: NDArray[np.bool_]
    undelivered: Ints

    @classmethod
    def of(cls, purchases: Purchases, slots: int) -> "_Queue":
        wave = _waves(purchases)
        order = np.argsort(wave, kind="stable")
        wave = wave[order]
        at_plant = purchases.plant[order] * slots - wave
        at_point = purchases.point[order] * slots - wave
        shares_cell = _is_repeated(purchases.plant[order], purchases.point[order])
        return cls(int(wave[-1]) + 1, order, wave, at_plant, at_point, shares_cell, purchases.energy[order])

    def without_full(self) -> "_Queue":
        left = self.undelivered > 0
        return _Queue(
            self.waves,
            self.purchase[left],
            self.wave[left],
            self.at_plant[left],
            self.at_point[left],
            self.shares_cell[left],
            self.undelivered[left],
        )


def _serve(queue: _Queue, part: slice, step: int, surplus: Ints, uncovered: Ints) -> Deliveries:
    """One step: `surplus` and `uncovered` are flat, and no two plants in it share a cell."""
    plant_cell, point_cell = queue.at_plant[part] + step, queue.at_point[part] + step
    limit = np.minimum(queue.undelivered[part], uncovered[point_cell])
    together = np.flatnonzero(queue.shares_cell[part])
    if len(together):
        limit[together] = _limits(point_cell[together], queue.undelivered[part][together], uncovered)
    active = np.flatnonzero((limit > 0) & (surplus[plant_cell] > 0))
    plant_cell, point_cell, limit = plant_cell[active], point_cell[active], limit[active]
    rows = active + part.start
    starts = np.flatnonzero(np.diff(plant_cell, prepend=-1))
    cells = plant_cell[starts]
    available = surplus[cells]
    shares = share_in_runs(available, starts, queue.undelivered[rows], limit)
    if len(rows):
        surplus[cells] = available - np.add.reduceat(shares.allocated, starts)
        np.subtract.at(uncovered, point_cell, shares.allocated)
        queue.undelivered[rows] -= shares.allocated
    return Deliveries(queue.purchase[rows], step - queue.wave[rows], shares.weight, shares.limit, shares.allocated)


def _is_repeated(plant: Indexes, point: Indexes) -> NDArray[np.bool_]:
    """Which purchases are not their buyer's only one from their plant."""
    order = np.lexsort((point, plant))
    same = (np.diff(plant[order]) == 0) & (np.diff(point[order]) == 0)
    repeated = np.zeros(len(order), np.bool_)
    repeated[order[1:][same]] = True
    repeated[order[:-1][same]] = True
    return repeated


def _limits(cell: Indexes, undelivered: Ints, uncovered: Ints) -> Ints:
    """A buyer's purchases from one plant share what the buyer still consumes, the earlier first."""
    order = np.argsort(cell, kind="stable")
    wanted, ranked = undelivered[order], cell[order]
    before = np.cumsum(wanted) - wanted
    first = np.searchsorted(ranked, ranked)
    limit = np.empty_like(wanted)
    limit[order] = np.clip(uncovered[ranked] - (before - before[first]), 0, wanted)
    return limit


def _in_order_of_slots(parts: list[Deliveries]) -> Deliveries:
    """The steps' deliveries put together by slot; within a slot in the order of steps, which is that of waves."""
    pieces: list[tuple[int, int, int, int]] = []
    for number, part in enumerate(parts):
        bounds = [*np.flatnonzero(np.diff(part.slot, prepend=-1)).tolist(), len(part.slot)]
        slots = part.slot[bounds[:-1]].tolist()
        pieces += [(slot, number, *ends) for slot, ends in zip(slots, pairwise(bounds), strict=True)]
    pieces.sort()

    def column(name: str, kind: type[np.signedinteger[Any]]) -> NDArray[Any]:
        columns = [getattr(part, name) for part in parts]
        found = [columns[number][begin:end] for _, number, begin, end in pieces]
        return np.concatenate(found) if found else np.zeros(0, kind)

    return Deliveries(
        column("purchase", np.intp),
        column("slot", np.intp),
        column("weight", np.int64),
        column("limit", np.int64),
        column("allocated", np.int64),
    )


def _waves(purchases: Purchases) -> Indexes:
    """The wave of each purchase. A plant's purchases are served at once, after those of every plant before it that
    serves a buyer of its own; what is in one wave does not touch."""
    plant = np.cumsum(np.diff(purchases.plant, prepend=purchases.plant[:1]) != 0)
    order = np.argsort(purchases.point, kind="stable")
    earlier, later = order[:-1], order[1:]
    follows = (purchases.point[earlier] == purchases.point[later]) & (plant[earlier] != plant[later])
    before, after = plant[earlier[follows]], plant[later[follows]]
    wave: Indexes = np.zeros(int(plant[-1]) + 1, np.intp)
    while True:
        moved = wave.copy()
        np.maximum.at(moved, after, wave[before] + 1)
        if np.array_equal(moved, wave):
            of_purchases: Indexes = wave[plant]
            return of_purchases
        wave = moved
