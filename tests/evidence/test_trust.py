"""Who is trusted to seal a chain's blocks, block by block, as the file of trust anchors says it."""

import json
from typing import Any

import pytest

from evidence.canonical import encode_bytes
from evidence.trust import QuorumTrust, Trust, TrustError
from tests.vectors.read import raw, vectors

VECTORS = vectors("anchors")


def read(vector: Any) -> QuorumTrust:
    trust = Trust.from_bytes(vector["file"].encode())
    assert isinstance(trust, QuorumTrust)
    return trust


@pytest.mark.parametrize("vector", VECTORS["anchors"], ids=lambda vector: f"{len(vector['sets'])} sets")
def test_anchors_by_hand(vector: Any) -> None:
    """Validators who hold from the first block on stand alone, as before there were sets."""
    sets = [
        {"from": each["from"], "validators": [encode_bytes(raw(address)) for address in each["validators"]]}
        for each in vector["sets"]
    ]
    plain = len(sets) == 1 and sets[0]["from"] == "0"
    members = {
        "chain": VECTORS["chain"],
        "contract": encode_bytes(raw(VECTORS["contract"])),
        "kind": "quorum",
        "ledger": encode_bytes(raw(VECTORS["ledger"])),
        "market": encode_bytes(raw(VECTORS["market"])),
        "type": "energymarket/trust/1",
        **({"validators": sets[0]["validators"]} if plain else {"validator_sets": sets}),
    }
    assert vector["file"] == json.dumps(members, sort_keys=True, separators=(",", ":"))
    assert read(vector).encode().decode() == vector["file"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
def test_other_anchors_are_refused(vector: Any) -> None:
    with pytest.raises(TrustError):
        Trust.from_bytes(vector["file"].encode())


def test_each_block_has_the_set_that_begins_last_before_it() -> None:
    always, in_and_out, later = map(read, VECTORS["anchors"])
    assert [len(always.validators_of(block)) for block in (0, 1, 10**30)] == [2, 2, 2]
    found = [len(in_and_out.validators_of(block)) for block in (0, 999, 1_000, 2_499, 2_500, 10**30)]
    assert found == [3, 3, 4, 4, 3, 3]
    assert in_and_out.validators_of(0) != in_and_out.validators_of(2_500)
    assert [len(later.validators_of(block)) for block in (0, 16, 17)] == [0, 0, 1]
