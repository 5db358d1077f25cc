"""What a settlement root commits to: per plant, slot and scheme, how much there was and a sum tree of who got it."""

from dataclasses import dataclass
from enum import IntEnum

from evidence import merkle
from evidence.abi import U8, U32, U64, U128, Bytes32, Struct
from evidence.hashing import tagged
from evidence.sumtree import Node, Sums


class Scheme(IntEnum):
    OWN_USE = 1
    PURCHASE = 5
    FEED_IN = 8
    SUPPLY = 9


@dataclass(frozen=True, slots=True)
class Allotment(Struct):
    """A plant's slot under one scheme: `available` Wh before it, and the root and sums of its `rows`.

    The utility's supply counts as a plant: `plant` is then the utility's own id.
    """

    plant: Bytes32
    slot: U64
    scheme: U8
    available: U64
    rows: U32
    weight: U128
    limit: U128
    allocated: U128
    root: Bytes32

    @property
    def node(self) -> Node:
        return Node(self.root, Sums(self.weight, self.limit, self.allocated))

    @property
    def leaf_hash(self) -> bytes:
        return merkle.leaf_hash(self.encode())


def row_salt(salt: bytes, plant: bytes, slot: int, scheme: int, claim: bytes) -> bytes:
    """The salt of a row, from the settlement's own secret salt; it orders the rows of a slot anew."""
    return tagged("em/row-salt/1", salt + plant + slot.to_bytes(8, "big") + bytes([scheme]) + claim)
