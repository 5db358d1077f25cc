import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evidence.box_forms import Signed
from evidence.boxes import Instruction, InstructionKind, body_hash
from evidence.keys import SoftwareKey
from meter_agent.config import read_config
from meter_agent.configuration import (
    NAME,
    Configuration,
    ConfigurationError,
    read_stored,
    settings_of,
    store_configuration,
)
from meter_agent.destinations import Market
from meter_agent.tables import ConfigError
from tests.meter_agent.support import DEVICE

UTILITY, NEXT, STRANGER = SoftwareKey.generate(), SoftwareKey.generate(), SoftwareKey.generate()
HEX = "ab" * 32
METER = {"host": "192.0.2.7", "port": 502, "unit": 2, "map": "sunspec203"}
SETTINGS: dict[str, Any] = {
    "device": DEVICE.hex(),
    "server": "https://market.example",
    "time_zone": "Europe/Berlin",
    "slot_minutes": 15,
    "points": [{"id": HEX, "secret": HEX, "generation": METER}],
}


def trusting(*keys: SoftwareKey) -> list[dict[str, Any]]:
    publics = [key.public_key for key in keys]
    return [{"algorithm": int(key.algorithm), "x": key.x.hex(), "y": key.y.hex()} for key in publics]


def signed(
    sequence: int = 1,
    key: SoftwareKey = UTILITY,
    kind: int = InstructionKind.CONFIGURE,
    device: bytes = DEVICE,
    **settings: Any,
) -> Configuration:
    body = json.dumps({**SETTINGS, "device": device.hex(), "trusted": trusting(UTILITY), **settings}).encode()
    instruction = Instruction(device, key.public_key.id, sequence, kind, 0, 2**63, body_hash(body))
    return Signed(instruction, key.sign(instruction.digest), body)


def store(folder: Path, configuration: Configuration) -> None:
    store_configuration(folder / NAME, configuration, lambda settings: None, first_trusted=[UTILITY.public_key])


def test_what_was_stored_is_read_again_and_is_for_its_owner_only(tmp_path: Path) -> None:
    configuration = signed()
    assert read_stored(tmp_path / NAME) is None
    store(tmp_path, configuration)
    assert read_stored(tmp_path / NAME) == configuration
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_the_same_configuration_comes_twice_and_a_later_one_takes_its_place(tmp_path: Path) -> None:
    store(tmp_path, signed(1))
    store(tmp_path, signed(1))
    store(tmp_path, signed(3, server="https://other.example"))
    found = read_stored(tmp_path / NAME)
    assert found is not None and settings_of(found)["server"] == "https://other.example"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (signed(2), "sequence 2 is not above 2"),
        (signed(1), "sequence 1 is not above 2"),
        (signed(3, key=STRANGER), "no key that this box trusts"),
        (replace(signed(3), signature=signed(4).signature), "no key that this box trusts"),
        (replace(signed(3), body=b"{}"), "not the one that was signed"),
        (signed(3, kind=InstructionKind.RESTART), "kind 5, not a configuration"),
        (signed(3, device=b"\x0e" * 32), "for another device"),
        (signed(3, trusted=[]), "trusted: a list of keys"),
        (signed(3, trusted=[{"algorithm": 1, "x": HEX, "y": HEX}]), "wrong with a key"),
    ],
)
def test_what_must_not_be_taken_leaves_the_stored_one(tmp_path: Path, wrong: Configuration, reason: str) -> None:
    before = signed(2, slot_minutes=30)
    store(tmp_path, before)
    with pytest.raises(ConfigurationError, match=reason):
        store(tmp_path, wrong)
    assert read_stored(tmp_path / NAME) == before


def test_settings_of_another_device_are_refused_though_the_instruction_is_right(tmp_path: Path) -> None:
    body = json.dumps({**SETTINGS, "device": HEX, "trusted": trusting(UTILITY)}).encode()
    instruction = Instruction(DEVICE, UTILITY.public_key.id, 1, InstructionKind.CONFIGURE, 0, 2**63, body_hash(body))
    with pytest.raises(ConfigurationError, match="another device's"):
        store(tmp_path, Signed(instruction, UTILITY.sign(instruction.digest), body))


def test_trust_moves_only_with_a_configuration_that_the_old_key_signed(tmp_path: Path) -> None:
    store(tmp_path, signed(1))
    with pytest.raises(ConfigurationError, match="no key that this box trusts"):
        store(tmp_path, signed(2, key=NEXT))
    store(tmp_path, signed(2, trusted=trusting(NEXT)))
    with pytest.raises(ConfigurationError, match="no key that this box trusts"):
        store(tmp_path, signed(3))
    store(tmp_path, signed(3, key=NEXT))


def test_a_configuration_that_the_agent_could_not_start_with_is_not_stored(tmp_path: Path) -> None:
    local = tmp_path / "agent.toml"
    local.write_text('key_file = "key/device.pem"\njournal = "state/journal.sqlite"\n')
    path = tmp_path / "state" / NAME

    def take(configuration: Configuration) -> None:
        store_configuration(
            path, configuration, lambda settings: read_config(local, settings), first_trusted=[UTILITY.public_key]
        )

    with pytest.raises(ConfigError, match=r"time_zone: .* is not a known time zone"):
        take(signed(time_zone="Europe/Bielefeld"))
    with pytest.raises(ConfigError, match="key_file: is for the box to say"):
        take(signed(key_file="/tmp/key"))
    assert not path.exists()
    take(signed())
    config = read_config(local)
    assert config.device == DEVICE
    assert config.destinations == (Market("market", "https://market.example"),)
    assert config.journal == tmp_path / "state" / "journal.sqlite"
    local.write_text('key_file = "key/device.pem"\njournal = "state/journal.sqlite"\nserver = "https://own.example"\n')
    assert read_config(local).destinations == (Market("market", "https://market.example"),)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(ConfigurationError, match=r"configuration\.json is damaged"):
        read_stored(tmp_path / NAME)
    (tmp_path / NAME).write_text('{"instruction": []}')
    with pytest.raises(ConfigurationError, match="is damaged: an object with instruction"):
        read_stored(tmp_path / NAME)
