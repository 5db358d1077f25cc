from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from evidence import sumtree
from evidence.coefficients import Coefficient, coefficients_root
from tests.evidence.by_hand import tagged
from tests.vectors.read import raw, vectors

TREES = vectors("coefficients")["trees"]


@pytest.mark.parametrize("vector", TREES, ids=lambda vector: vector["root"][:10])
def test_tree_by_hand(vector: Any) -> None:
    nodes = []
    for written in vector["coefficients"]:
        point, ppm, salt = raw(written["point"]), int(written["ppm"]), raw(written["salt"])
        node = Coefficient(point, ppm).node(salt)
        encoded = abi_encode(["bytes32", "uint32"], [point, ppm])
        assert raw(written["hash"]) == node.hash == tagged(b"em/coefficient/1", salt + encoded)
        assert node.sums == sumtree.Sums(ppm, 0, 0)
        nodes.append(node)
    assert sumtree.root(nodes).hash == raw(vector["root"])
    assert vector["accepted"] == (int(vector["sums"]["weight"]) == 1_000_000)
    if vector["accepted"]:
        assert coefficients_root(nodes).hash == raw(vector["root"])
    else:
        with pytest.raises(ValueError, match="add up to"):
            coefficients_root(nodes)


def test_leaves_stand_in_the_order_of_their_hashes() -> None:
    nodes = [Coefficient(bytes([i]) * 32, 500_000).node(bytes(32)) for i in (1, 2)]
    nodes.sort(key=lambda node: node.hash, reverse=True)
    with pytest.raises(ValueError, match="ascending"):
        coefficients_root(nodes)
