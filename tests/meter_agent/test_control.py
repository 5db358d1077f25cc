from pathlib import Path

import pytest

from evidence.keys import SoftwareKey
from meter_agent.buses import BusConfig, Framer
from meter_agent.channel.modbus import Number, Place, PowerRegister
from meter_agent.channel.schedules import Limits
from meter_agent.config import OF_THE_BOX
from meter_agent.control import (
    ApiSettings,
    ChannelSettings,
    Control,
    OutputSettings,
    PlantSettings,
    UpdateSettings,
    read_control,
)
from meter_agent.tables import ConfigError

KEY = SoftwareKey.generate().public_key
BUS = """
[[buses]]
name = "roof"
device = "/dev/ttyUSB0"
"""
CHANNEL = "[channel]\n"
PLANT = """
[[plants]]
name = "battery"
host = "192.0.2.9"
unit = 4
set_power = { address = 100, number = "int32", watts = 10, low_first = true }
minimum_w = -5000
maximum_w = 4000
ramp_w_per_minute = 1000
failsafe_w = -100
"""
OUTPUT = """
[[outputs]]
name = "boiler"
bus = "roof"
coil = 3
failsafe = false
longest_minutes = 120
"""
UPDATE = f"""
[update]
folder = "box"
release_key = {{ algorithm = 1, x = "{KEY.x.hex()}", y = "{KEY.y.hex()}" }}
healthy_minutes = 2
"""
API = """
[local_api]
port = 8432
token_file = "api.token"
"""


def read(tmp_path: Path, text: str) -> Control:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return read_control(path)


def test_everything_is_read(tmp_path: Path) -> None:
    control = read(tmp_path, BUS + CHANNEL + PLANT + OUTPUT + UPDATE + API)
    limits = Limits("battery", -5000, 4000, 1000, -100, 3600)
    register = PowerRegister(100, Number.INT32, 10, low_first=True)
    assert control == Control(
        tmp_path / "agent.toml",
        ChannelSettings(25, None, None),
        (PlantSettings(limits, Place(BusConfig("192.0.2.9", 502), 4), register, None),),
        (OutputSettings("boiler", Place(BusConfig(device="/dev/ttyUSB0", framer=Framer.RTU), 1), 3, False, 7200),),
        UpdateSettings(tmp_path / "box", KEY, 120, 100 << 20, None),
        ApiSettings("127.0.0.1", 8432, tmp_path / "api.token"),
    )


def test_nothing_has_to_be_given(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Control(tmp_path / "agent.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLANT, "channel: must be given where plants, outputs or update are"),
        (CHANNEL + PLANT + PLANT, "plants: two have the same name"),
        (BUS + CHANNEL + OUTPUT + OUTPUT, "outputs: two have the same name"),
        (CHANNEL + "wait_seconds = 26", "channel.wait_seconds: must be a whole number from 0 to 25"),
        (CHANNEL + "x = 1", "channel.x: is not a setting"),
        (CHANNEL + PLANT.replace("-100", "4001"), r"plants\[0\].failsafe_w: must lie between"),
        (CHANNEL + PLANT.replace("ramp_w_per_minute = 1000", ""), r"plants\[0\].ramp_w_per_minute: is missing"),
        (
            CHANNEL + PLANT.replace("int32", "float32"),
            r"plants\[0\].set_power: number: 'float32' is not a valid Number",
        ),
        (CHANNEL + PLANT.replace("watts", "volts"), r"plants\[0\].set_power: volts: is not a setting"),
        (BUS + CHANNEL + OUTPUT.replace("false", "0"), r"outputs\[0\].failsafe: must be true or false"),
        (CHANNEL + OUTPUT, r"outputs\[0\].bus: must be one of"),
        (CHANNEL + UPDATE.replace("algorithm = 1", "algorithm = 9"), "update.release_key: trusted: "),
        (API.replace("8432", "70000"), "local_api.port: must be a whole number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_what_belongs_to_the_box_is_read_here_and_nowhere_else(tmp_path: Path) -> None:
    assert set(OF_THE_BOX) == {"channel", "plants", "outputs", "update", "local_api"}
