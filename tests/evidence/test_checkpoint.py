import base64
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from evidence.checkpoint import Checkpoint, CheckpointError, open_note
from tests.evidence.by_hand import tagged
from tests.vectors.read import raw, vectors

VECTORS = vectors("checkpoints")
ORIGIN, KEY = VECTORS["origin"], raw(VECTORS["key"])


@pytest.mark.parametrize("vector", VECTORS["notes"], ids=lambda vector: vector["size"])
def test_note_by_hand(vector: Any) -> None:
    """As C2SP's tlog-checkpoint and signed-note describe it."""
    root = base64.b64encode(raw(vector["root"])).decode()
    text = f"energymarket/{raw(VECTORS['ledger']).hex()}\n{vector['size']}\n{root}\n"
    written, _, last = vector["note"].rpartition("\n\n")
    assert written + "\n" == text
    dash, name, mark = last.split(" ")
    assert (dash, name) == ("\u2014", ORIGIN)
    content = base64.b64decode(mark)
    assert content[:4] == sha256(name.encode() + b"\n\x01" + KEY).digest()[:4] == raw(VECTORS["keyHash"])
    Ed25519PublicKey.from_public_bytes(KEY).verify(content[4:], text.encode())


@pytest.mark.parametrize("vector", VECTORS["notes"], ids=lambda vector: vector["size"])
def test_signed_notes_are_read(vector: Any) -> None:
    assert open_note(vector["note"], ORIGIN, KEY) == Checkpoint(ORIGIN, int(vector["size"]), raw(vector["root"]))


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
def test_other_notes_are_refused(vector: Any) -> None:
    assert vector["note"] not in [good["note"] for good in VECTORS["notes"]]
    with pytest.raises(CheckpointError):
        open_note(vector["note"], ORIGIN, KEY)


@pytest.mark.parametrize("vector", VECTORS["entries"], ids=lambda vector: vector["code"])
def test_journal_entry_by_hand(vector: Any) -> None:
    numbers = [int(vector[name]) for name in ("index", "time", "code")]
    digest = tagged(b"em/envelope/1", raw(vector["envelope"]))
    encoding = abi_encode(["uint64", "uint64", "uint32", "bytes32", "bytes32"], [*numbers, raw(vector["id"]), digest])
    assert raw(vector["encoding"]) == encoding
    assert raw(vector["leafHash"]) == sha256(b"\x00" + encoding).digest()


@pytest.mark.xfail(
    strict=True, reason="open_note() refuses signatures of keys that it does not know; C2SP ignores them"
)
def test_signatures_of_witnesses_are_ignored() -> None:
    good = VECTORS["notes"][1]["note"]
    witness = base64.b64encode(bytes(4 + 8 + 64)).decode()
    assert open_note(good + f"\u2014 witness.example/w1 {witness}\n", ORIGIN, KEY).size == 8


@given(st.data())
def test_a_changed_character_is_refused(data: st.DataObject) -> None:
    note = VECTORS["notes"][1]["note"]
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]).filter(lambda c: c != note[at]))
    with pytest.raises(CheckpointError):
        open_note(note[:at] + other + note[at + 1 :], ORIGIN, KEY)
