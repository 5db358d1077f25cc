from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from evidence.abi import EncodingError
from evidence.settlement import Allotment
from evidence.sumtree import Node, Sums
from tests.evidence.by_hand import rfc_root, tagged
from tests.vectors.read import raw, vectors

VECTORS = vectors("settlement")
ALLOTMENT = {
    "plant": "bytes32",
    "slot": "uint64",
    "scheme": "uint8",
    "available": "uint64",
    "rows": "uint32",
    "weight": "uint128",
    "limit": "uint128",
    "allocated": "uint128",
    "root": "bytes32",
}


def values(vector: Any) -> list[Any]:
    return [raw(vector[name]) if kind == "bytes32" else int(vector[name]) for name, kind in ALLOTMENT.items()]


@pytest.mark.parametrize("vector", VECTORS["allotments"], ids=lambda vector: vector["scheme"])
def test_allotment_by_hand(vector: Any) -> None:
    encoding = abi_encode(list(ALLOTMENT.values()), values(vector))
    assert raw(vector["encoding"]) == encoding
    assert raw(vector["leafHash"]) == sha256(b"\x00" + encoding).digest()
    assert Allotment.decode(encoding) == Allotment(*values(vector))


def test_root_is_the_tree_over_allotments_by_plant_slot_and_scheme() -> None:
    rows = VECTORS["allotments"]
    assert rows == sorted(rows, key=lambda row: (raw(row["plant"]), int(row["slot"]), int(row["scheme"])))
    assert raw(VECTORS["root"]) == rfc_root([raw(row["encoding"]) for row in rows])


@pytest.mark.parametrize("vector", VECTORS["rowSalts"], ids=lambda vector: vector["slot"])
def test_row_salt_by_hand(vector: Any) -> None:
    place = int(vector["slot"]).to_bytes(8, "big") + int(vector["scheme"]).to_bytes(1, "big")
    content = raw(vector["salt"]) + raw(vector["plant"]) + place + raw(vector["claim"])
    assert len(content) == 32 + 32 + 8 + 1 + 32
    assert raw(vector["rowSalt"]) == tagged(b"em/row-salt/1", content)


def test_frozen_numbers_of_schemes() -> None:
    assert VECTORS["schemes"] == {"OWN_USE": "1", "PURCHASE": "5", "FEED_IN": "8", "SUPPLY": "9"}


def test_an_allotment_names_the_root_and_sums_of_its_rows() -> None:
    found = Allotment(bytes(32), 0, 5, 10, 2, 3, 4, 5, b"\x01" * 32)
    assert found.node == Node(b"\x01" * 32, Sums(3, 4, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 2**64} for name in ("slot", "available")),
        *({name: 2**128} for name in ("weight", "limit", "allocated")),
        *({name: -1} for name in ("slot", "available", "rows", "weight", "limit", "allocated")),
        {"scheme": 256},
        {"rows": 2**32},
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_are_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(EncodingError):
        replace(Allotment(bytes(32), 0, 5, 10, 2, 3, 4, 5, bytes(32)), **wrong)
