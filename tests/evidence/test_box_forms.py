from typing import Any

import pytest

from evidence import boxes
from evidence.box_forms import Signed, members, read_members, read_signed
from evidence.canonical import encode_bytes

BODY = b'{"on":true}'
SAID = boxes.Instruction(b"\x01" * 32, b"\x02" * 32, 7, 3, 100, 200, boxes.body_hash(BODY))
JSON = {
    "device": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
    "issuer": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
    "sequence": "7",
    "kind": "3",
    "since": "100",
    "until": "200",
    "body": encode_bytes(boxes.body_hash(BODY)),
}


def test_a_form_as_json_and_back() -> None:
    assert members(SAID) == JSON
    assert read_members(boxes.Instruction, JSON) == SAID
    signed = Signed(SAID, b"\x03" * 64, BODY)
    assert signed.as_json("instruction") == {
        "instruction": JSON,
        "signature": encode_bytes(b"\x03" * 64),
        "body": "eyJvbiI6dHJ1ZX0",
    }
    assert read_signed(boxes.Instruction, "instruction", signed.as_json("instruction")) == signed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruction": {**JSON, "kind": 3}}, "not a decimal integer"),
        ({"instruction": {**JSON, "kind": "4294967296"}}, "not a uint32"),
        ({"instruction": {**JSON, "device": "AQ"}}, "not 32 bytes"),
        ({"instruction": {**JSON, "more": "1"}}, "exactly these members"),
        ({"instruction": None}, "exactly these members"),
        ({"body": "e30"}, "not the one that the instruction names"),
        ({"signature": 5}, "not base64url"),
        ({"more": 1}, "instruction, signature and body"),
    ],
)
def test_what_is_no_signed_form(change: dict[str, Any], message: str) -> None:
    value = Signed(SAID, b"\x03" * 64, BODY).as_json("instruction") | change
    with pytest.raises(ValueError, match=message):
        read_signed(boxes.Instruction, "instruction", value)
