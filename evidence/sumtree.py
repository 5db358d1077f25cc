"""Sum trees: each node commits to the sums below it, so that a path shows totals without showing the others' rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from evidence.abi import U8, U64, U128, Bytes32, Struct
from evidence.hashing import tagged
from evidence.merkle import ProofError, split


@dataclass(frozen=True, slots=True)
class Sums(Struct):
    """Totals of some rows: weight (a number without unit), limit and allocated energy in Wh."""

    weight: U128
    limit: U128
    allocated: U128

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.weight + other.weight, self.limit + other.limit, self.allocated + other.allocated)


@dataclass(frozen=True, slots=True)
class Row(Struct):
    """Who gets what from a plant in a slot.

    `claim` names the agreement (a purchase, a contract) under which `point` gets `allocated` Wh at `price`
    (micro-currency per kWh). A row that is served in full has its Wh as `limit` and no weight; a row that shares in
    what is left after those has its `weight` and no limit.
    """

    point: Bytes32
    scheme: U8
    claim: Bytes32
    weight: U64
    limit: U64
    allocated: U64
    price: U64

    @property
    def sums(self) -> Sums:
        return Sums(self.weight, self.limit, self.allocated)

    def hash(self, salt: bytes) -> bytes:
        return tagged("em/row/1", salt + self.encode())


@dataclass(frozen=True, slots=True)
class Node:
    hash: bytes
    sums: Sums


EMPTY = Node(tagged("em/row/1", b""), Sums(0, 0, 0))


def join(left: Node, right: Node) -> Node:
    content = left.hash + left.sums.encode() + right.hash + right.sums.encode()
    return Node(tagged("em/node/1", content), left.sums + right.sums)


def root(leaves: Sequence[Node]) -> Node:
    """Root over rows in ascending order of their hashes."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return join(root(leaves[:middle]), root(leaves[middle:]))


def path(leaves: Sequence[Node], index: int) -> tuple[Node, ...]:
    """Sibling nodes from the leaf up to the root."""
    siblings: list[Node] = []

    def walk(start: int, end: int) -> None:
        if end - start == 1:
            return
        middle = start + split(end - start)
        if index < middle:
            walk(start, middle)
            siblings.append(root(leaves[middle:end]))
        else:
            walk(middle, end)
            siblings.append(root(leaves[start:middle]))

    walk(0, len(leaves))
    return tuple(siblings)


def root_from_path(leaf: Node, index: int, size: int, siblings: Sequence[Node]) -> Node:
    """Raises `ProofError` when the path does not fit a tree of `size` rows."""
    if not 0 <= index < size:
        raise ProofError("a row lies outside its tree")
    sides = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        sides.append(index >= middle)
        start, end = (middle, end) if index >= middle else (start, middle)
    if len(sides) != len(siblings):
        raise ProofError("a row's path has the wrong length")
    node = leaf
    for is_right, sibling in zip(reversed(sides), siblings, strict=True):
        node = join(sibling, node) if is_right else join(node, sibling)
    return node
