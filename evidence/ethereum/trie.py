"""The Merkle-Patricia trie over a block's receipts: keys are the RLP of their indexes.

Receipts are longer than a hash, and no key begins with another. So nodes are never embedded in others, and branches
hold no values.
"""

from collections.abc import Sequence
from itertools import groupby, takewhile

from evidence.eip712 import keccak256
from evidence.ethereum import rlps
from evidence.ethereum.rlps import EthereumError

HASH = 32
ODD, LEAF = 1, 2  # flags in a path's first nibble
EMPTY = keccak256(rlps.encode(b""))

Nibbles = tuple[int, ...]


def _nibbles(content: bytes) -> Nibbles:
    return tuple(nibble for byte in content for nibble in divmod(byte, 16))


def _key(index: int) -> Nibbles:
    return _nibbles(rlps.encode(index))


def _packed(path: Nibbles, flag: int) -> bytes:
    nibbles = (flag | ODD, *path) if len(path) % 2 else (flag, 0, *path)
    return bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))


def _unpacked(content: bytes) -> tuple[Nibbles, bool]:
    """A path, and whether it is a leaf's."""
    flag, *rest = _nibbles(content)
    path = tuple(rest if flag & ODD else rest[1:])
    if _packed(path, flag & LEAF) != content:
        raise EthereumError("a node's path is not in its one form")
    return path, bool(flag & LEAF)


class Trie:
    """All nodes over a list's items, by hash."""

    def __init__(self, items: Sequence[bytes]) -> None:
        self._nodes: dict[bytes, bytes] = {}
        keyed = sorted((_key(index), item) for index, item in enumerate(items))
        self.root = self._build(keyed, 0) if keyed else EMPTY

    def _build(self, items: Sequence[tuple[Nibbles, bytes]], depth: int) -> bytes:
        """The hash of the node over items whose keys are alike up to `depth`."""
        if len(items) == 1:
            key, item = items[0]
            return self._add([_packed(key[depth:], LEAF), item])
        pairs = zip(items[0][0][depth:], items[-1][0][depth:], strict=False)
        common = tuple(nibble for nibble, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if common:
            return self._add([_packed(common, 0), self._build(items, depth + len(common))])
        branch = [b""] * 17
        for nibble, group in groupby(items, key=lambda item: item[0][depth]):
            branch[nibble] = self._build(list(group), depth + 1)
        return self._add(branch)

    def _add(self, node: list[bytes]) -> bytes:
        content = rlps.encode(node)
        name = keccak256(content)
        self._nodes[name] = content
        return name

    def path(self, indexes: Sequence[int]) -> tuple[bytes, ...]:
        """The nodes that lead to these items, each once, from the root on."""
        used: dict[bytes, bytes] = {}
        for index in indexes:
            _walk(self.root, self._nodes, index, used)
        return tuple(used.values())


def read_items(root: bytes, nodes: Sequence[bytes], indexes: Sequence[int]) -> list[bytes]:
    """The items at `indexes` under a trie's root. Raises `EthereumError`, for nodes that are not needed too."""
    known = {keccak256(node): node for node in nodes}
    used: dict[bytes, bytes] = {}
    items = [_walk(root, known, index, used) for index in indexes]
    if len(used) != len(nodes):
        raise EthereumError("the path carries more nodes than it needs")
    return items


def _walk(root: bytes, nodes: dict[bytes, bytes], index: int, used: dict[bytes, bytes]) -> bytes:
    name, path = root, _key(index)
    while True:
        if name not in nodes:
            raise EthereumError(f"a node on the path to item {index} is missing")
        used[name] = nodes[name]
        node = rlps.byte_strings(rlps.decode(nodes[name], "node"), "node")
        if len(node) == 2 and node[0]:
            part, is_leaf = _unpacked(node[0])
            if is_leaf and part == path:
                return node[1]
            if is_leaf or not part or path[: len(part)] != part:
                raise EthereumError(f"there is no item {index}")
            name, path = node[1], path[len(part) :]
        elif len(node) == 17 and path:
            name, path = node[path[0]], path[1:]
        else:
            raise EthereumError("a node is neither a branch nor a part of a path")
        if len(name) != HASH:
            raise EthereumError(f"there is no item {index}")
