"""A Merkle log kept in tiles of 256 hashes, so that appending and proving touch few rows however long it is."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from evidence.merkle import node_hash, root_of_hashes, split

WIDTH = 256
BITS = 8
HASH = 32


class Tiles(Protocol):
    """Where tiles are kept: `level` 0 holds leaf hashes, each further level the roots of 256 full tiles below."""

    def tile(self, level: int, index: int) -> bytes: ...


def _hashes(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH] for at in range(0, len(tile), HASH)]


def extend(tiles: Tiles, size: int, leaves: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """The tiles that are new or longer when `leaves` (leaf hashes) follow a log of `size` leaves."""
    changed: dict[tuple[int, int], bytes] = {}
    level, hashes = 0, list(leaves)
    while hashes:
        first, filled = divmod(size, WIDTH)
        content = (tiles.tile(level, first) if filled else b"") + b"".join(hashes)
        hashes = []
        for at in range(0, len(content), WIDTH * HASH):
            tile = content[at : at + WIDTH * HASH]
            changed[level, first + at // (WIDTH * HASH)] = tile
            if len(tile) == WIDTH * HASH:
                hashes.append(root_of_hashes(_hashes(tile)))
        level, size = level + 1, first
    return changed


class Overlaid:
    """Tiles as they will be once `changed` is stored."""

    def __init__(self, tiles: Tiles, changed: Mapping[tuple[int, int], bytes]) -> None:
        self._tiles = tiles
        self._changed = changed

    def tile(self, level: int, index: int) -> bytes:
        return self._changed.get((level, index)) or self._tiles.tile(level, index)


def root(tiles: Tiles, size: int) -> bytes:
    """RFC 6962 root of the first `size` leaves."""
    if size == 0:
        return root_of_hashes([])
    rest: list[bytes] = []
    level = 0
    while size:
        size, filled = divmod(size, WIDTH)
        if filled:
            rest = [root_of_hashes(_hashes(tiles.tile(level, size)[: filled * HASH]) + rest)]
        level += 1
    return rest[0]


def subtree(tiles: Tiles, start: int, end: int) -> bytes:
    """Hash over the leaves in [start, end), a range as RFC 6962 splits the log."""
    count = end - start
    if count & (count - 1):
        middle = start + split(count)
        return node_hash(subtree(tiles, start, middle), subtree(tiles, middle, end))
    level, height = divmod(count.bit_length() - 1, BITS)
    index, offset = divmod(start >> (level * BITS), WIDTH)
    tile = tiles.tile(level, index)[offset * HASH : (offset + (1 << height)) * HASH]
    return root_of_hashes(_hashes(tile))
