"""The table of allocations, and how its rows look to the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from apps.assets.models import MeteringPoint, Plant
from apps.assets.partitions import bucket_of, buckets_between, ensure_partitions
from apps.offers.models import Purchase
from apps.settlement.choices import Scheme
from apps.settlement.models import Settlement
from apps.supply.models import FeedInContract, SupplyContract
from evidence import merkle, sumtree
from evidence.settlement import Allotment, row_salt
from evidence.sumtree import Node

TABLE = "settlement_allocation"
UTILITY = 0  # stands for the utility's supply in the column `plant`

_COPY = (
    "COPY settlement_allocation (slot, plant, claim, weight, wh_limit, allocated, price, area, point, settlement,"
    " bucket, scheme) FROM STDIN (FORMAT BINARY)"
)
_TYPES = ["int8", "int8", "int8", "int8", "int8", "int8", "int8", "int4", "int4", "int4", "int2", "int2"]
_SELECT = """
SELECT plant, slot, scheme, point, claim, weight, wh_limit, allocated, price FROM settlement_allocation
WHERE area = %s AND bucket BETWEEN %s AND %s AND settlement = ANY(%s)
ORDER BY slot, plant, scheme, claim
"""
_SELECT_FOR = """
SELECT plant, slot, scheme, point, claim, weight, wh_limit, allocated, price FROM settlement_allocation
WHERE area = %s AND bucket BETWEEN %s AND %s AND settlement = ANY(%s)
    AND (point = ANY(%s) OR scheme IN (5, 8) AND plant = ANY(%s))
ORDER BY slot, plant, scheme, claim
"""


class Allocation(NamedTuple):
    """Who gets what of a plant's slot. `plant`, `point` and `claim` are the database's ids; energy in Wh."""

    plant: int
    slot: int
    scheme: int
    point: int
    claim: int
    weight: int
    limit: int
    allocated: int
    price: int


def prepare_partitions(start: int, end: int) -> None:
    ensure_partitions(TABLE, buckets_between(start, end))


def write(settlement: Settlement, rows: Iterable[Allocation]) -> None:
    area, pk = settlement.area_id, settlement.pk
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for r in rows:
            keys = (area, r.point, pk, bucket_of(r.slot), r.scheme)
            copy.write_row((r.slot, r.plant, r.claim, r.weight, r.limit, r.allocated, r.price, *keys))


def read(area: int, settlements: Sequence[int], start: int, end: int) -> list[Allocation]:
    """All allocations of some settlements, whose slots lie in [start, end)."""
    return _read(_SELECT, [area, bucket_of(start), bucket_of(end - 1), list(settlements)])


def read_for(
    area: int, settlements: Sequence[int], start: int, end: int, points: list[int], plants: list[int]
) -> list[Allocation]:
    """The same, of some points as takers and some plants as givers only."""
    return _read(_SELECT_FOR, [area, bucket_of(start), bucket_of(end - 1), list(settlements), points, plants])


def _read(query: str, parameters: Sequence[Any]) -> list[Allocation]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return [Allocation(*row) for row in cursor.fetchall()]


class Names:
    """Ledger ids by the database's ids, for all that allocations of an area can name."""

    def __init__(self, area_id: int, utility: bytes, purchases: Iterable[int]) -> None:
        self.point = _ids(MeteringPoint.objects.filter(area=area_id).values_list("pk", "ledger_id"))
        self.plant = {UTILITY: utility, **_ids(Plant.objects.filter(area=area_id).values_list("pk", "ledger_id"))}
        feed_in = FeedInContract.objects.filter(plant__area=area_id).values_list("pk", "ledger_id")
        supply = SupplyContract.objects.filter(point__area=area_id).values_list("pk", "ledger_id")
        bought = Purchase.objects.filter(pk__in=list(purchases)).values_list("pk", "ledger_id")
        self._claims = {
            Scheme.OWN_USE: self.point,
            Scheme.PURCHASE: _ids(bought),
            Scheme.FEED_IN: _ids(feed_in),
            Scheme.SUPPLY: _ids(supply),
        }

    def claim(self, scheme: int, claim: int) -> bytes:
        return self._claims[Scheme(scheme)][claim]


def _ids(rows: Iterable[tuple[int, Any]]) -> dict[int, bytes]:
    return {pk: bytes(ledger_id) for pk, ledger_id in rows}


@dataclass(frozen=True, slots=True)
class Committed:
    """A row as the ledger knows it, with its salt and the node that stands for it in its tree."""

    allocation: Allocation
    row: sumtree.Row
    salt: bytes
    node: Node


@dataclass(frozen=True, slots=True)
class Tree:
    """A plant's slot under one scheme: the leaf of the settlement's root and the rows below it, in the tree's order."""

    allotment: Allotment
    rows: tuple[Committed, ...]


def build_trees(
    salt: bytes, names: Names, allocations: Iterable[Allocation], surplus: dict[tuple[int, int], int]
) -> list[Tree]:
    """Trees in the order in which the settlement's root commits to them: by plant id, slot and scheme.

    `surplus` is what each plant had to give per (plant, slot) after own use, in Wh.
    """
    groups: dict[tuple[int, int, int], list[Allocation]] = defaultdict(list)
    for allocation in allocations:
        groups[allocation.plant, allocation.slot, allocation.scheme].append(allocation)
    sold = {
        (plant, slot): sum(row.allocated for row in rows)
        for (plant, slot, scheme), rows in groups.items()
        if scheme == Scheme.PURCHASE
    }
    trees = []
    for (plant, slot, scheme), rows in groups.items():
        available = sum(row.allocated for row in rows)
        if scheme == Scheme.PURCHASE:
            available = surplus[plant, slot]
        elif scheme == Scheme.FEED_IN:
            available = surplus[plant, slot] - sold.get((plant, slot), 0)
        trees.append(_tree(salt, names, plant, slot, scheme, available, rows))
    return sorted(trees, key=lambda t: (t.allotment.plant, t.allotment.slot, t.allotment.scheme))


def _tree(
    salt: bytes, names: Names, plant: int, slot: int, scheme: int, available: int, rows: list[Allocation]
) -> Tree:
    plant_id = names.plant[plant]
    committed = []
    for allocation in rows:
        claim = names.claim(scheme, allocation.claim)
        row = sumtree.Row(
            names.point[allocation.point],
            scheme,
            claim,
            allocation.weight,
            allocation.limit,
            allocation.allocated,
            allocation.price,
        )
        own_salt = row_salt(salt, plant_id, slot, scheme, claim)
        committed.append(Committed(allocation, row, own_salt, Node(row.hash(own_salt), row.sums)))
    committed.sort(key=lambda item: item.node.hash)
    root = sumtree.root([item.node for item in committed])
    sums = root.sums
    allotment = Allotment(
        plant_id, slot, scheme, available, len(rows), sums.weight, sums.limit, sums.allocated, root.hash
    )
    return Tree(allotment, tuple(committed))


def settlement_root(trees: Sequence[Tree]) -> bytes:
    return merkle.root_of_hashes([tree.allotment.leaf_hash for tree in trees])


def surplus_of(allocations: Iterable[Allocation]) -> dict[tuple[int, int], int]:
    """What each plant had to give per (plant, slot), from stored allocations: all it sold and fed in."""
    surplus: dict[tuple[int, int], int] = defaultdict(int)
    for allocation in allocations:
        if allocation.scheme in (Scheme.PURCHASE, Scheme.FEED_IN):
            surplus[allocation.plant, allocation.slot] += allocation.allocated
    return surplus
