"""Sharing coefficients that are too many for a command: a sum tree whose total is one million parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from evidence import sumtree
from evidence.abi import U32, Bytes32, Struct
from evidence.hashing import tagged
from evidence.sumtree import Node, Sums

TOTAL_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Coefficient(Struct):
    """The share of a metering point, in parts per million."""

    point: Bytes32
    ppm: U32

    def node(self, salt: bytes) -> Node:
        """The leaf of the tree. Its parts stand in the sums' weight; limit and allocated are zero."""
        return Node(tagged("em/coefficient/1", salt + self.encode()), Sums(self.ppm, 0, 0))


def coefficients_root(nodes: Sequence[Node]) -> Node:
    """Root over leaves in ascending order of their hashes. Raises `ValueError` unless they add up to `TOTAL_PPM`."""
    hashes = [node.hash for node in nodes]
    if hashes != sorted(set(hashes)):
        raise ValueError("the leaves are not in ascending order")
    root = sumtree.root(nodes)
    if root.sums.weight != TOTAL_PPM:
        raise ValueError(f"the coefficients add up to {root.sums.weight} instead of {TOTAL_PPM} parts per million")
    return root
