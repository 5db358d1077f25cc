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


def test_witness_by_hand() -> None:
    """As C2SP's tlog-cosignature describes it, under version 1."""
    witness = VECTORS["witness"]
    name, key, time = witness["name"], raw(witness["key"]), int(witness["time"])
    text = VECTORS["witnessed"][0]["note"].rpartition("\n\n")[0] + "\n"
    dash, written, mark = witness["line"].removesuffix("\n").split(" ")
    assert (dash, written) == ("\u2014", name)
    content = base64.b64decode(mark)
    assert content[:4] == sha256(name.encode() + b"\n\x04" + key).digest()[:4]
    assert content[4:12] == time.to_bytes(8, "big")
    Ed25519PublicKey.from_public_bytes(key).verify(content[12:], f"cosignature/v1\ntime {time}\n{text}".encode())


@pytest.mark.parametrize("vector", VECTORS["witnessed"], ids=lambda vector: vector["why"])
def test_further_signatures_are_passed_over(vector: Any) -> None:
    good = VECTORS["notes"][1]
    assert vector["note"].count("\u2014 ") > 1
    assert open_note(vector["note"], ORIGIN, KEY) == Checkpoint(ORIGIN, int(good["size"]), raw(good["root"]))


@given(st.data())
def test_a_changed_character_beside_a_witness_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    note = VECTORS["witnessed"][0]["note"]
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]).filter(lambda c: c != note[at]))
    try:
        found = open_note(note[:at] + other + note[at + 1 :], ORIGIN, KEY)
    except CheckpointError:
        return
    assert at >= note.index(VECTORS["witness"]["line"])
    assert found == open_note(note, ORIGIN, KEY)


@given(st.data())
def test_a_changed_character_is_refused(data: st.DataObject) -> None:
    note = VECTORS["notes"][1]["note"]
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]).filter(lambda c: c != note[at]))
    with pytest.raises(CheckpointError):
        open_note(note[:at] + other + note[at + 1 :], ORIGIN, KEY)
