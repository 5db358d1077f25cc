import hmac
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from evidence import merkle, readings
from tests.evidence.by_hand import public, rfc_root, tagged, textbook_verifies
from tests.vectors.read import raw, vectors

VECTORS = vectors("readings")


@pytest.mark.parametrize("row", VECTORS["readings"], ids=lambda row: f"{row['register']} {row['slot']} {row['value']}")
def test_leaf_by_hand(row: Any) -> None:
    leaf_id = abi_encode(["bytes32", "uint32", "uint64"], [raw(row["point"]), int(row["register"]), int(row["slot"])])
    salt = hmac.new(raw(row["secret"]), leaf_id, "sha256").digest()
    value = abi_encode(["int64", "uint8"], [int(row["value"]), int(row["quality"])])
    assert raw(row["leafId"]) == leaf_id
    assert raw(row["salt"]) == salt
    assert raw(row["leaf"]) == tagged(b"em/leaf/1", salt + leaf_id + value)


def test_batch_root_is_the_tree_over_leaves_in_order_of_their_ids() -> None:
    rows = sorted(VECTORS["readings"], key=lambda row: raw(row["leafId"]))
    assert rows == VECTORS["readings"]
    assert raw(VECTORS["root"]) == rfc_root([raw(row["leaf"]) for row in rows])


def test_statement_and_anchor_by_hand() -> None:
    said, anchor = VECTORS["statement"], VECTORS["anchor"]
    names = ("device", "key", "sequence", "start", "end", "unit", "count", "root")
    types = ["bytes32", "bytes32", "uint64", "uint64", "uint64", "uint32", "uint32", "bytes32"]
    values = [raw(said[name]) if said[name].startswith("0x") else int(said[name]) for name in names]
    digest = tagged(b"em/batch-statement/1", abi_encode(types, values))
    assert raw(said["digest"]) == digest
    assert raw(said["root"]) == raw(VECTORS["root"])
    assert textbook_verifies(public(VECTORS["signer"]), digest, raw(VECTORS["signature"]))
    assert raw(anchor["leaf"]) == tagged(b"em/anchor/1", digest + raw(VECTORS["signature"]))
    assert raw(anchor["root"]) == rfc_root([raw(anchor["leaf"]), raw(anchor["otherLeaf"])])


def test_readings_out_of_order_or_given_twice_are_refused() -> None:
    point = bytes(32)
    first, second = (readings.Reading(point, readings.Register.GENERATION, slot, 1) for slot in (0, 900))
    for wrong in ([second, first], [first, first]):
        with pytest.raises(ValueError, match="once each, in ascending order"):
            readings.batch_root(wrong, {point: bytes(32)})


NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(
    st.lists(
        st.builds(
            readings.Reading,
            st.binary(min_size=32, max_size=32),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**64 - 1),
            NUMBERS,
            st.integers(0, 255),
        ),
        unique_by=lambda reading: reading.leaf_id,
        max_size=20,
    )
)
def test_leaves_made_at_once_are_those_made_one_by_one(given: list[readings.Reading]) -> None:
    ordered = sorted(given, key=lambda reading: reading.leaf_id)
    secrets = {reading.point: reading.point[::-1] for reading in given}
    alone = [reading.leaf(readings.salt(secrets[reading.point], reading.leaf_id)) for reading in ordered]
    assert readings.leaf_hashes(ordered, secrets) == [merkle.leaf_hash(leaf) for leaf in alone]


@pytest.mark.parametrize(
    "wrong",
    [
        readings.Reading(bytes(32), 1, -1, 0),
        readings.Reading(bytes(32), 1, 2**64, 0),
        readings.Reading(bytes(32), 2**32, 0, 0),
        readings.Reading(bytes(32), 1, 0, 2**63),
        readings.Reading(bytes(32), 1, 0, -(2**63) - 1),
        readings.Reading(bytes(32), 1, 0, 0, 256),
        readings.Reading(bytes(31), 1, 0, 0),
    ],
)
def test_numbers_out_of_range_have_no_leaf(wrong: readings.Reading) -> None:
    with pytest.raises(ValueError, match=r"out of range|32 bytes"):
        readings.leaf_hashes([wrong], {wrong.point: bytes(32)})
