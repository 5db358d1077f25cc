"""RFC 6962 trees over byte strings: root, inclusion path, and a path that serves many leaves at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from evidence.hashing import sha256


class ProofError(ValueError):
    """A proof has the wrong shape, or does not lead to the root it claims."""


def leaf_hash(content: bytes) -> bytes:
    return sha256(b"\x00" + content)


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def split(size: int) -> int:
    """The largest power of two below `size` (at least 2): how many leaves the left subtree holds."""
    return 1 << (size - 1).bit_length() - 1


def root(contents: Sequence[bytes]) -> bytes:
    return root_of_hashes([leaf_hash(content) for content in contents])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes. Pairing level by level gives the RFC's tree: an odd last node is carried up."""
    if not hashes:
        return sha256(b"")
    level = list(hashes)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


@dataclass(frozen=True, slots=True)
class Path:
    """What is needed besides some leaves to recompute a root: the tree's size and the missing hashes, left to right."""

    size: int
    hashes: tuple[bytes, ...]


def path(hashes: Sequence[bytes], indexes: Sequence[int]) -> Path:
    """The common path of the leaves at `indexes` (ascending) in the tree over the leaf `hashes`."""
    return path_through(lambda start, end: root_of_hashes(hashes[start:end]), len(hashes), indexes)


def path_through(subtree: Callable[[int, int], bytes], size: int, indexes: Sequence[int]) -> Path:
    """The same where `subtree(start, end)` gives the hash over those leaves, for trees too large to be held."""
    needed: list[bytes] = []

    def walk(start: int, end: int, wanted: Sequence[int]) -> None:
        if not wanted:
            needed.append(subtree(start, end))
        elif end - start > 1:
            middle = start + split(end - start)
            walk(start, middle, [i for i in wanted if i < middle])
            walk(middle, end, [i for i in wanted if i >= middle])

    walk(0, size, list(indexes))
    return Path(size, tuple(needed))


def root_from_path(leaves: Sequence[tuple[int, bytes]], proof: Path) -> bytes:
    """Recompute the root from ascending (index, leaf hash) pairs; raises `ProofError` on any surplus or lack."""
    if not leaves or any(a[0] >= b[0] for a, b in pairwise(leaves)):
        raise ProofError("leaves of a proof must be given once each, in ascending order")
    if leaves[0][0] < 0 or leaves[-1][0] >= proof.size:
        raise ProofError("a leaf lies outside the tree")
    hashes = iter(proof.hashes)

    def walk(start: int, end: int, known: Sequence[tuple[int, bytes]]) -> bytes:
        if not known:
            following = next(hashes, None)
            if following is None:
                raise ProofError("a hash is missing from the proof")
            return following
        if end - start == 1:
            return known[0][1]
        middle = start + split(end - start)
        left = walk(start, middle, [leaf for leaf in known if leaf[0] < middle])
        return node_hash(left, walk(middle, end, [leaf for leaf in known if leaf[0] >= middle]))

    found = walk(0, proof.size, leaves)
    if next(hashes, None) is not None:
        raise ProofError("the proof carries more hashes than it needs")
    return found
