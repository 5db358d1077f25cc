import hashlib
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from evidence.state import state_root
from tests.evidence.by_hand import rfc_root, tagged
from tests.vectors.read import raw, value, vectors

VECTORS = vectors("state")


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["table"])
def test_state_key_by_hand(vector: Any) -> None:
    ids = value(vector["ids"])
    types = ["uint8", *("bytes32" if isinstance(part, bytes) else "uint64" for part in ids)]
    content = abi_encode(types, [int(vector["table"]), *ids])
    assert raw(vector["key"]) == tagged(b"em/state/1", content)


@pytest.mark.parametrize("vector", VECTORS["roots"], ids=lambda vector: str(len(vector["entries"])))
def test_state_root_by_hand(vector: Any) -> None:
    entries = sorted((raw(entry["key"]), raw(entry["value"])) for entry in vector["entries"])
    assert raw(vector["root"]) == rfc_root([key + hashlib.sha256(content).digest() for key, content in entries])


def test_state_root_does_not_depend_on_the_order_in_which_entries_come() -> None:
    entries = [(raw(entry["key"]), raw(entry["value"])) for entry in VECTORS["roots"][-1]["entries"]]
    assert state_root(dict(entries)) == state_root(dict(reversed(entries))) == raw(VECTORS["roots"][-1]["root"])


def test_empty_state_has_the_root_of_nothing() -> None:
    assert state_root({}) == hashlib.sha256(b"").digest()
