"""Measure documents as a box builds them, and how it says that they are its own."""

import hashlib
import json

from evidence.abi import WORD
from evidence.boxes import Document
from evidence.canonical import decode_bytes
from evidence.keys import SoftwareKey
from evidence.readings import Quality, Reading, Register
from meter_agent.measures import credentials, measure_document

POINT = b"\x01" * 32
START = 1_780_272_000  # 2026-06-01 00:00 UTC


def built(*readings: Reading, disabled: tuple[Register, ...] = ()) -> list[dict[str, object]]:
    document = json.loads(measure_document("D-1", "box", readings, 900, disabled))
    assert (document["id"], document["device_name"]) == ("D-1", "box")
    measures: list[dict[str, object]] = document["measures"]
    return measures


def test_a_reading_becomes_a_measure() -> None:
    assert built(Reading(POINT, Register.CONSUMPTION, START + 900, 1234)) == [
        {
            "name": "EAct imp",
            "description": "Energia Activa",
            "unity": "kWh",
            "pos": 1,
            "visibility": "visible",
            "value": "1.234",
            "date": "2026-06-01T00:15:00Z",
            "period": 900,
        }
    ]


def test_every_register_has_a_name_position_and_unit_of_its_own() -> None:
    measures = built(*(Reading(POINT, register, START, 7) for register in Register))
    assert [(m["pos"], m["name"], m["unity"], m["value"]) for m in measures] == [
        (1, "EAct imp", "kWh", "0.007"),
        (2, "EAct exp", "kWh", "0.007"),
        (13, "EAct imp", "kWh", "0.007"),
        (14, "EAct exp", "kWh", "0.007"),
        (3, "ERInd imp", "kvarh", "0.007"),
        (5, "ERCap exp", "kvarh", "0.007"),
        (4, "ERInd exp", "kvarh", "0.007"),
        (6, "ERCap imp", "kvarh", "0.007"),
    ]


def test_substitutes_are_left_out_and_disabled_registers_marked() -> None:
    substitute = Reading(POINT, Register.CONSUMPTION, START, 1, Quality.SUBSTITUTE)
    export = Reading(POINT, Register.GRID_EXPORT, START, 1)
    measures = built(substitute, export, disabled=(Register.GRID_EXPORT,))
    assert [(m["pos"], m["visibility"]) for m in measures] == [(14, "disabled")]


def test_the_key_signs_who_sends_which_bytes() -> None:
    key, body = SoftwareKey.generate(), b'{"id":"D-1"}'
    scheme, _space, value = credentials(b"\x02" * 32, key, body)["Authorization"].partition(" ")
    content = decode_bytes(value)
    said = Document.decode(content[: 3 * WORD])
    assert scheme == "Box"
    assert (said.device, said.key, said.body) == (b"\x02" * 32, key.public_key.id, hashlib.sha256(body).digest())
    assert key.public_key.verifies(said.digest, content[3 * WORD :])
