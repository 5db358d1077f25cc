from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from evidence.imports import ImportBatch, ImportedEntry
from evidence.keys import PublicKey
from tests.evidence.by_hand import tagged
from tests.vectors.read import raw, vectors

VECTORS = vectors("imports")
OPERATOR = vectors("commands")["operator"]


@pytest.mark.parametrize("vector", VECTORS["entries"], ids=lambda vector: vector["code"])
def test_digest_by_hand(vector: Any) -> None:
    members = raw(vector["ledger"]), int(vector["code"]), int(vector["time"]), raw(vector["envelope"])
    encoded = abi_encode(["bytes32", "uint32", "uint64", "bytes"], members)
    assert raw(vector["digest"]) == tagged(b"em/import/1", encoded) == ImportedEntry(*members).digest


def test_rejected_entries_form_a_chain() -> None:
    rejected = [raw(entry["digest"]) for entry in VECTORS["entries"] if entry["code"] != "0"]
    head = bytes(32)
    for digest in rejected:
        head = tagged(b"em/chain/1", head + digest)
    assert raw(VECTORS["rejected"]) == head


@pytest.mark.parametrize("vector", VECTORS["batches"], ids=lambda vector: vector["start"])
def test_batch_by_hand(vector: Any) -> None:
    entries, start = [raw(entry) for entry in vector["entries"]], int(vector["start"])
    digests = b"".join(tagged(b"em/import/1", entry) for entry in entries)
    digest = tagged(b"em/import-batch/1", raw(vector["ledger"]) + abi_encode(["uint64"], [start]) + digests)
    assert raw(vector["digest"]) == digest
    signature = raw(vector["signature"])
    key = PublicKey(int(OPERATOR["algorithm"]), raw(OPERATOR["x"]), raw(OPERATOR["y"]))
    assert key.verifies(digest, signature)
    encoded = abi_encode(["uint64", "bytes[]", "bytes"], [start, entries, signature])
    assert raw(vector["encoding"]) == encoded == ImportBatch(start, tuple(entries), signature).encode()
