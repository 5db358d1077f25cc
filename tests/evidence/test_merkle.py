from hashlib import sha256
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evidence import merkle
from evidence.merkle import Path, ProofError
from tests.evidence.by_hand import rfc_root
from tests.vectors.read import raw, vectors

VECTORS = vectors("trees")

# The roots of the certificate-transparency project's reference tests, over its first 0 to 8 inputs.
CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

leaf_sets = st.lists(st.binary(max_size=4), min_size=1, max_size=40, unique=True)


def rfc_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962, section 2.1.1, as it stands there."""
    n = len(leaves)
    if n == 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    if m < k:
        return [*rfc_path(m, leaves[:k]), rfc_root(leaves[k:])]
    return [*rfc_path(m - k, leaves[k:]), rfc_root(leaves[:k])]


def test_roots_of_the_reference_tests() -> None:
    leaves = [raw(leaf) for leaf in VECTORS["leaves"]]
    assert [raw(root).hex() for root in VECTORS["roots"]] == list(CT_ROOTS)
    assert [rfc_root(leaves[:size]).hex() for size in range(9)] == list(CT_ROOTS)
    assert [raw(leaf) for leaf in VECTORS["leafHashes"]] == [sha256(b"\x00" + leaf).digest() for leaf in leaves]


@pytest.mark.parametrize("vector", VECTORS["paths"], ids=lambda vector: f"{vector['size']} {vector['indexes']}")
def test_paths_lead_to_the_reference_roots(vector: Any) -> None:
    size, indexes = int(vector["size"]), [int(index) for index in vector["indexes"]]
    hashes = [raw(leaf) for leaf in VECTORS["leafHashes"]]
    path = Path(size, tuple(raw(text) for text in vector["hashes"]))
    assert merkle.root_from_path([(i, hashes[i]) for i in indexes], path).hex() == CT_ROOTS[size]


@given(leaf_sets, st.data())
def test_root_and_single_path_are_those_of_the_rfc(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    assert merkle.root(leaves) == rfc_root(leaves)
    found = merkle.path(hashes, [index]).hashes
    # The RFC lists siblings from the leaf up, our paths name them from left to right.
    assert sorted(found) == sorted(rfc_path(index, leaves))
    assert merkle.root_from_path([(index, hashes[index])], Path(len(leaves), found)) == rfc_root(leaves)


def some_path(data: st.DataObject) -> tuple[bytes, list[tuple[int, bytes]], Path]:
    """The root of a random tree, some of its leaves, and their path."""
    leaves = data.draw(leaf_sets)
    chosen = sorted(data.draw(st.sets(st.integers(0, len(leaves) - 1), min_size=1)))
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    return merkle.root(leaves), [(i, hashes[i]) for i in chosen], merkle.path(hashes, chosen)


def leads_to(root: bytes, leaves: list[tuple[int, bytes]], path: Path) -> bool:
    try:
        return merkle.root_from_path(leaves, path) == root
    except ProofError:
        return False


@given(st.data())
def test_paths_of_many_leaves_lead_to_the_root(data: st.DataObject) -> None:
    assert leads_to(*some_path(data))


@given(st.data())
def test_a_changed_byte_leads_elsewhere(data: st.DataObject) -> None:
    root, leaves, path = some_path(data)
    hashes = [hash_ for _, hash_ in leaves] + list(path.hashes)
    which, at = data.draw(st.integers(0, len(hashes) - 1)), data.draw(st.integers(0, 31))
    changed = bytearray(hashes[which])
    changed[at] ^= data.draw(st.integers(1, 255))
    hashes[which] = bytes(changed)
    forged = [(i, hash_) for (i, _), hash_ in zip(leaves, hashes, strict=False)]
    assert not leads_to(root, forged, Path(path.size, tuple(hashes[len(leaves) :])))


@given(st.data())
def test_a_hash_dropped_added_or_swapped_leads_elsewhere(data: st.DataObject) -> None:
    root, leaves, path = some_path(data)
    at = data.draw(st.integers(0, len(path.hashes)))
    added = (*path.hashes[:at], bytes(32), *path.hashes[at:])
    assert not leads_to(root, leaves, Path(path.size, added))
    if at < len(path.hashes):
        assert not leads_to(root, leaves, Path(path.size, path.hashes[:at] + path.hashes[at + 1 :]))
    if at + 1 < len(path.hashes):
        swapped = (*path.hashes[:at], path.hashes[at + 1], path.hashes[at], *path.hashes[at + 2 :])
        assert not leads_to(root, leaves, Path(path.size, swapped))


@given(st.data())
def test_a_leaf_at_another_index_leads_elsewhere(data: st.DataObject) -> None:
    root, leaves, path = some_path(data)
    which = data.draw(st.integers(0, len(leaves) - 1))
    index = data.draw(st.integers(-1, path.size))
    assume(index != leaves[which][0])
    moved = [*leaves[:which], (index, leaves[which][1]), *leaves[which + 1 :]]
    assert not leads_to(root, moved, path)


@given(st.data())
def test_a_leaf_dropped_or_given_twice_is_refused(data: st.DataObject) -> None:
    root, leaves, path = some_path(data)
    assert not leads_to(root, leaves[1:], path)
    assert not leads_to(root, [leaves[0], *leaves], path)


def test_no_leaves_prove_nothing() -> None:
    with pytest.raises(ProofError):
        merkle.root_from_path([], Path(1, (bytes(32),)))
