import hashlib
import hmac
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from evidence import boxes
from tests.evidence.by_hand import public, tagged, textbook_verifies
from tests.vectors.read import raw, vectors

VECTORS = vectors("boxes")
FORMS = {
    "enrolment": (
        "em/enrolment/1",
        {"code": "bytes32", "algorithm": "uint8", "x": "bytes32", "y": "bytes32", "body": "bytes32"},
    ),
    "enrolmentAnswer": ("em/enrolment-answer/1", {"code": "bytes32", "request": "bytes32", "body": "bytes32"}),
    "instruction": (
        "em/instruction/1",
        {
            "device": "bytes32",
            "issuer": "bytes32",
            "sequence": "uint64",
            "kind": "uint32",
            "since": "uint64",
            "until": "uint64",
            "body": "bytes32",
        },
    ),
    "instructionAnswer": (
        "em/instruction-answer/1",
        {
            "device": "bytes32",
            "key": "bytes32",
            "sequence": "uint64",
            "instruction": "bytes32",
            "state": "uint8",
            "at": "uint64",
            "body": "bytes32",
        },
    ),
    "channelPoll": (
        "em/channel-poll/1",
        {"device": "bytes32", "key": "bytes32", "sequence": "uint64", "at": "uint64"},
    ),
    "document": ("em/device-document/1", {"device": "bytes32", "key": "bytes32", "body": "bytes32"}),
    "boxStatus": (
        "em/box-status/1",
        {"device": "bytes32", "key": "bytes32", "sequence": "uint64", "body": "bytes32"},
    ),
    "release": (
        "em/agent-release/1",
        {"major": "uint32", "minor": "uint32", "patch": "uint32", "size": "uint64", "archive": "bytes32"},
    ),
}


def word(value: str) -> Any:
    return raw(value) if value.startswith("0x") else int(value)


@pytest.mark.parametrize("name", FORMS)
def test_what_boxes_and_utility_say_by_hand(name: str) -> None:
    said, (tag, types) = VECTORS[name], FORMS[name]
    encoding = abi_encode(list(types.values()), [word(said[field]) for field in types])
    assert raw(said["encoding"]) == encoding
    assert raw(said["digest"]) == tagged(tag.encode(), encoding)
    if "signer" in said:
        assert textbook_verifies(public(said["signer"]), raw(said["digest"]), raw(said["signature"]))
    if "mac" in said:
        key = tagged(b"em/enrolment-key/1", VECTORS["code"]["code"].encode())
        assert raw(said["mac"]) == hmac.new(key, raw(said["digest"]), "sha256").digest()


def test_a_body_counts_by_its_sha_256() -> None:
    assert raw(VECTORS["instruction"]["body"]) == hashlib.sha256(b'{"destinations":[]}').digest()


def test_a_text_signed_on_the_spot_has_a_tag_of_its_own() -> None:
    text = VECTORS["text"]
    assert raw(text["digest"]) == tagged(b"em/device-text/1", text["text"].encode())


def test_a_code_is_named_by_a_hash_and_has_a_key_of_its_own() -> None:
    code = VECTORS["code"]
    assert raw(code["id"]) == tagged(b"em/enrolment-code/1", code["code"].encode())
    assert raw(code["key"]) == tagged(b"em/enrolment-key/1", code["code"].encode())


def test_a_code_is_read_as_people_type_it() -> None:
    assert boxes.read_code(" oil1-2345 6789-abcd ") == "01112345" + "6789ABCD"
    assert boxes.read_code(boxes.shown_code(code := boxes.new_code())) == code
    for wrong in ("", "0123-4567-89AB-CDE", "0123-4567-89AB-CDEU", "0123-4567-89AB-CDEF0"):
        with pytest.raises(ValueError, match="16 letters and digits"):
            boxes.read_code(wrong)
