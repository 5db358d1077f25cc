"""Settling a day slot by slot with dicts and integers."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Purchase:
    """`key` orders purchases of one plant; `energy` is what is still to be delivered, in Wh."""

    key: int
    plant: int
    point: int
    energy: int


@dataclass
class Settled:
    """Wh: of purchases by (key, slot), of plants and points by slot."""

    delivered: dict[tuple[int, int], int] = field(default_factory=dict)
    own_use: list[dict[int, int]] = field(default_factory=list)
    fed_in: list[dict[int, int]] = field(default_factory=list)
    supplied: list[dict[int, int]] = field(default_factory=list)


def settle_day(
    generation: Sequence[dict[int, int]],
    consumption: Sequence[dict[int, int]],
    site: dict[int, int],
    purchases: Sequence[Purchase],
) -> Settled:
    """`generation` and `consumption`: a dict of Wh by plant and by point for each slot; `site`: point by plant."""
    by_plant: dict[int, list[Purchase]] = {}
    for purchase in purchases:
        by_plant.setdefault(purchase.plant, []).append(purchase)
    settled = Settled()
    for slot, (generated, consumed) in enumerate(zip(generation, consumption, strict=True)):
        uncovered = dict(consumed)
        surplus = {}
        own_use = {}
        for plant, energy in generated.items():
            used = min(energy, uncovered[site[plant]])
            own_use[plant] = used
            uncovered[site[plant]] -= used
            surplus[plant] = energy - used
        for plant, wanting in by_plant.items():
            if surplus[plant]:
                _deliver(slot, plant, wanting, surplus, uncovered, settled.delivered)
                by_plant[plant] = [purchase for purchase in wanting if purchase.energy]
        settled.own_use.append(own_use)
        settled.fed_in.append(surplus)
        settled.supplied.append(uncovered)
    return settled


def _deliver(
    slot: int,
    plant: int,
    wanting: list[Purchase],
    surplus: dict[int, int],
    uncovered: dict[int, int],
    delivered: dict[tuple[int, int], int],
) -> None:
    room: dict[int, int] = {}
    rows = []
    for purchase in wanting:
        left = room.get(purchase.point, uncovered[purchase.point])
        limit = min(purchase.energy, left)
        room[purchase.point] = left - limit
        if limit:
            rows.append((purchase, purchase.energy, limit))
    shares = share(surplus[plant], [weight for _, weight, _ in rows], [limit for _, _, limit in rows])
    for (purchase, _, _), energy in zip(rows, shares, strict=True):
        delivered[purchase.key, slot] = energy
        purchase.energy -= energy
        uncovered[purchase.point] -= energy
        surplus[plant] -= energy


def share(available: int, weights: Sequence[int], limits: Sequence[int]) -> list[int]:
    """In proportion to the weights up to the limits; remainders to the largest fractions, ties to the earlier one."""
    if sum(limits) <= available:
        return list(limits)
    shares = list(limits)
    open_rows = list(range(len(weights)))
    while True:
        total = sum(weights[i] for i in open_rows)
        still_open = [i for i in open_rows if available * weights[i] < limits[i] * total]
        if len(still_open) == len(open_rows):
            break
        available -= sum(limits[i] for i in open_rows if available * weights[i] >= limits[i] * total)
        open_rows = still_open
    parts = {i: divmod(available * weights[i], total) for i in open_rows}
    left = available - sum(whole for whole, _ in parts.values())
    order = sorted(open_rows, key=lambda i: (-parts[i][1], i))
    for rank, i in enumerate(order):
        shares[i] = parts[i][0] + (rank < left)
    return shares
