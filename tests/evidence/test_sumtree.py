from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from evidence.abi import EncodingError
from evidence.merkle import ProofError
from evidence.sumtree import EMPTY, Node, Row, Sums, path, root, root_from_path
from tests.evidence.by_hand import tagged
from tests.vectors.read import raw, vectors

VECTORS = vectors("trees")["sumTrees"]
NAMES = ("weight", "limit", "allocated")
ROW = {
    "point": "bytes32",
    "scheme": "uint8",
    "claim": "bytes32",
    "weight": "uint64",
    "limit": "uint64",
    "allocated": "uint64",
    "price": "uint64",
}

numbers = st.integers(0, 2**64 - 1)
nodes = st.builds(Node, st.binary(min_size=32, max_size=32), st.builds(Sums, numbers, numbers, numbers))
forests = st.lists(nodes, min_size=1, max_size=20, unique_by=lambda node: node.hash)


def by_hand(leaves: list[tuple[bytes, tuple[int, ...]]]) -> tuple[bytes, tuple[int, ...]]:
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    (left, left_sums), (right, right_sums) = by_hand(leaves[:k]), by_hand(leaves[k:])
    words = [b"".join(number.to_bytes(32, "big") for number in sums) for sums in (left_sums, right_sums)]
    digest = tagged(b"em/node/1", left + words[0] + right + words[1])
    return digest, tuple(a + b for a, b in zip(left_sums, right_sums, strict=True))


def sums_of(written: Any) -> tuple[int, ...]:
    return tuple(int(written[name]) for name in NAMES)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(len(vector["rows"])))
def test_tree_by_hand(vector: Any) -> None:
    leaves = []
    for row in vector["rows"]:
        values = [raw(row[name]) if kind == "bytes32" else int(row[name]) for name, kind in ROW.items()]
        assert raw(row["encoding"]) == abi_encode(list(ROW.values()), values)
        digest = tagged(b"em/row/1", raw(row["salt"]) + raw(row["encoding"]))
        assert raw(row["hash"]) == digest
        leaves.append((digest, sums_of(row)))
    assert leaves == sorted(leaves)
    expected = by_hand(leaves) if leaves else (tagged(b"em/row/1", b""), (0, 0, 0))
    assert (raw(vector["root"]), sums_of(vector["sums"])) == expected


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(len(vector["rows"])))
def test_paths_of_the_vectors_lead_to_their_root(vector: Any) -> None:
    size = len(vector["rows"])
    for index, row in enumerate(vector["rows"]):
        siblings = [Node(raw(node["hash"]), Sums(*sums_of(node["sums"]))) for node in row["path"]]
        found = root_from_path(Node(raw(row["hash"]), Sums(*sums_of(row))), index, size, siblings)
        assert found == Node(raw(vector["root"]), Sums(*sums_of(vector["sums"])))


@given(forests, st.data())
def test_paths_lead_to_the_root_and_its_sums(leaves: list[Node], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert root_from_path(leaves[index], index, len(leaves), path(leaves, index)) == root(leaves)
    assert root(leaves).sums.allocated == sum(leaf.sums.allocated for leaf in leaves)


@given(forests.filter(lambda leaves: len(leaves) > 1), st.data())
def test_a_changed_sum_or_byte_or_index_leads_elsewhere(leaves: list[Node], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    given_path = [leaves[index], *path(leaves, index)]
    which = data.draw(st.integers(0, len(given_path) - 1))
    node = given_path[which]
    name = data.draw(st.sampled_from(NAMES))
    more = replace(node, sums=replace(node.sums, **{name: getattr(node.sums, name) + 1}))
    other = replace(node, hash=bytes([node.hash[0] ^ 1]) + node.hash[1:])
    for forged in (more, other):
        nodes = [*given_path[:which], forged, *given_path[which + 1 :]]
        assert root_from_path(nodes[0], index, len(leaves), nodes[1:]).hash != root(leaves).hash
    moved = data.draw(st.integers(0, len(leaves) - 1).filter(lambda i: i != index))
    try:
        found = root_from_path(leaves[index], moved, len(leaves), given_path[1:])
    except ProofError:
        return
    assert found.hash != root(leaves).hash


@given(forests, st.data())
def test_a_path_of_another_length_is_refused(leaves: list[Node], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    siblings = path(leaves, index)
    for wrong in ((*siblings, EMPTY), siblings[1:] if siblings else (EMPTY,)):
        with pytest.raises(ProofError):
            root_from_path(leaves[index], index, len(leaves), wrong)
    for outside in (-1, len(leaves)):
        with pytest.raises(ProofError):
            root_from_path(leaves[index], outside, len(leaves), siblings)


def test_sums_beyond_their_type_are_an_error() -> None:
    with pytest.raises(EncodingError):
        Sums(2**128 - 1, 0, 0) + Sums(1, 0, 0)


def test_a_row_counts_with_its_weight_limit_and_energy() -> None:
    row = Row(bytes(32), 1, bytes(32), 3, 4, 5, 6)
    assert row.sums == Sums(3, 4, 5)
