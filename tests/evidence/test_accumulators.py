from typing import Any

import pytest

from evidence.accumulators import chain_of, order_commitment
from tests.evidence.by_hand import tagged
from tests.vectors.read import raw, vectors

VECTORS = vectors("accumulators")


@pytest.mark.parametrize("vector", VECTORS["chains"], ids=lambda vector: vector["count"])
def test_chain_by_hand(vector: Any) -> None:
    head = bytes(32)
    for item in vector["items"]:
        head = tagged(b"em/chain/1", head + raw(item))
    assert raw(vector["head"]) == head == chain_of(raw(item) for item in vector["items"])
    assert int(vector["count"]) == len(vector["items"])


@pytest.mark.parametrize("vector", VECTORS["orders"], ids=lambda vector: vector["commitment"][:10])
def test_order_by_hand(vector: Any) -> None:
    salt, order = raw(vector["salt"]), raw(vector["order"])
    assert raw(vector["commitment"]) == tagged(b"em/order/1", salt + order) == order_commitment(salt, order)


def test_the_order_of_items_counts() -> None:
    first, second = bytes([1]) * 32, bytes([2]) * 32
    assert chain_of([first, second]) != chain_of([second, first])
