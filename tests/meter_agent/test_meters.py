"""What counts a point's energy, as the settings say it."""

from pathlib import Path

import pytest

from evidence.readings import Register
from meter_agent.buses import BusConfig, Framer
from meter_agent.config import Config, read_config
from meter_agent.maps import MAPS, MEASURES
from meter_agent.meters import BrokerConfig, MeterConfig, OpenemsConfig, PulseConfig, RemoteConfig
from meter_agent.registers import Measure, Quantity
from meter_agent.tables import ConfigError
from meter_agent.terms import Role

HEX = "ab" * 32
BOX = f"""
device = "{HEX}"
key_file = "key/device.pem"
server = "https://market.example"
time_zone = "Europe/Berlin"
journal = "journal.sqlite"

[[buses]]
name = "roof"
device = "/dev/ttyUSB0"

[[gateways]]
name = "ems"
kind = "openems"
url = "http://192.0.2.9:8084"
password_file = "ems.password"

[[gateways]]
name = "broker"
kind = "mqtt"
host = "192.0.2.10"

[[points]]
id = "{HEX}"
secret = "{HEX}"
"""
ROOF = BusConfig(device="/dev/ttyUSB0", framer=Framer.RTU)
EMS = OpenemsConfig("ems", "http://192.0.2.9:8084", "x", "owner", None)
BROKER = BrokerConfig("broker", "192.0.2.10", 1883, None, None, None)


def read(folder: Path, point: str, box: str = BOX) -> Config:
    password = folder / "ems.password"
    password.write_text("owner\n")
    password.chmod(0o600)
    path = folder / "agent.toml"
    path.write_text(box + point)
    return read_config(path)


@pytest.mark.parametrize(
    ("setting", "meter"),
    [
        ('{ bus = "roof", unit = 3, map = "em340" }', MeterConfig(ROOF, 3, MAPS["em340"], 100)),
        (
            '{ bus = "roof", unit = 3, map = "em340", reversed = true, max_kw = 9 }',
            MeterConfig(ROOF, 3, MAPS["em340"].reversed(), 9),
        ),
        (
            '{ host = "192.0.2.7", unit = 1, map = "umg" }',
            MeterConfig(BusConfig("192.0.2.7", 502), 1, MAPS["umg"], 100),
        ),
        (
            '{ bus = "roof", unit = 5, pulses = { import = 1, export = 2 }, per_kwh = 800 }',
            PulseConfig(ROOF, 5, {Quantity.IMPORT: 1, Quantity.EXPORT: 2}, 800, 100),
        ),
        (
            '{ gateway = "ems", counters = { import = "_sum/GridBuyActiveEnergy" } }',
            RemoteConfig(EMS, {Quantity.IMPORT: "_sum/GridBuyActiveEnergy"}, 0, 100),
        ),
        (
            '{ gateway = "broker", energy = "kWh", counters = { import = "house#total.kwh" } }',
            RemoteConfig(BROKER, {Quantity.IMPORT: "house#total.kwh"}, 3, 100),
        ),
    ],
)
def test_a_meter_may_hang_on_anything(tmp_path: Path, setting: str, meter: object) -> None:
    (point,) = read(tmp_path, f"grid = {setting}\n").points
    assert point.meters[Role.GRID] == meter


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('{ bus = "hall", unit = 3, map = "em340" }', r"points\[0\]\.grid\.bus: must be one of roof"),
        ('{ gateway = "hall", counters = {} }', r"points\[0\]\.grid\.gateway: must be one of ems, broker"),
        ('{ gateway = "ems", counters = {} }', r"points\[0\]\.grid\.counters: must name one quantity at least"),
        ('{ gateway = "ems" }', r"points\[0\]\.grid\.counters: must name one quantity at least"),
        ('{ gateway = "ems", counters = { power = "x" } }', r"points\[0\]\.grid\.counters\.power: is not a setting"),
        ('{ gateway = "ems", energy = "J", counters = { import = "x" } }', r"energy: must be one of Wh, kWh, MWh"),
        ('{ bus = "roof", unit = 5, pulses = { import = 1 } }', r"points\[0\]\.grid\.per_kwh: is missing"),
        ('{ bus = "roof", unit = 5, pulses = {}, per_kwh = 1 }', r"points\[0\]\.grid\.pulses: must name one quantity"),
        ('{ bus = "roof", unit = 3, map = "em340", reversed = 1 }', r"reversed: must be true or false"),
        ('{ gateway = "ems", counters = { reactive_1 = "x" } }', r"points\[0\]\.grid: tells nothing that is needed"),
    ],
)
def test_a_wrong_meter_is_named(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, f"grid = {setting}\n")


def test_what_is_sent_can_be_chosen(tmp_path: Path) -> None:
    grid = 'grid = { bus = "roof", unit = 3, map = "cvm-c11" }\n'
    (point,) = read(tmp_path, grid + 'registers = ["reactive_4", "grid_import", "consumption"]\n').points
    assert point.registers == (Register.CONSUMPTION, Register.GRID_IMPORT, Register.REACTIVE_4)
    assert point.quantities(Role.GRID) == {Quantity.IMPORT, Quantity.EXPORT, Quantity.REACTIVE_4}


@pytest.mark.parametrize(
    ("registers", "message"),
    [
        ('["power"]', r"points\[0\]\.registers: must be some of consumption, generation, grid_import"),
        ("[]", r"points\[0\]\.registers: must be a list of registers"),
        ('["reactive_1"]', r"points\[0\]\.registers: the point's meters do not tell reactive_1"),
        ('["generation"]', r"points\[0\]\.registers: the point's meters do not tell generation"),
    ],
)
def test_what_no_meter_tells_cannot_be_sent(tmp_path: Path, registers: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, f'grid = {{ bus = "roof", unit = 3, map = "em340" }}\nregisters = {registers}\n')


def test_a_point_without_a_grid_uses_what_it_generates(tmp_path: Path) -> None:
    plant = 'generation = { bus = "roof", unit = 3, map = "sunspec103" }\n'
    assert Register.CONSUMPTION not in read(tmp_path, plant).points[0].terms
    (point,) = read(tmp_path, plant + "isolated = true\n").points
    assert point.terms[Register.CONSUMPTION] == point.terms[Register.GENERATION]
    grid = 'grid = { bus = "roof", unit = 3, map = "em340" }\n'
    with pytest.raises(ConfigError, match=r"points\[0\]\.isolated: a point with a grid meter"):
        read(tmp_path, grid + "isolated = true\n")


def test_a_plant_with_an_inverter_at_the_same_unit_as_its_meter_has_two_meters(tmp_path: Path) -> None:
    both = (
        'generation = { bus = "roof", unit = 1, map = "sunspec103" }\ngrid = { bus = "roof", unit = 1, map = "%s" }\n'
    )
    assert len(read(tmp_path, both % "sunspec203").points[0].meters) == 2
    with pytest.raises(ConfigError, match=r"points\[0\]\.generation: is the same meter|points\[0\]\.grid: is the same"):
        read(tmp_path, both % "sunspec103")


MAP = """
[[maps]]
name = "wago-879"
description = "Another meter"
function = 3
blocks = [[0x6000, 4], [0x7000, 2]]

[maps.quantities]
import = { address = 0x6000, type = "u32", scale = 1, factor = 40, modulus = 99999999 }
export = { address = 0x7000, type = "i32", factor = -1, measure = MEASURE }
"""
MEASURE = (
    '{ name = "EAct exp", description = "Energia Activa Exportada", unity = "kWh", pos = 14, visibility = "disabled" }'
)


def test_more_maps_come_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "wago.toml").write_text(MAP.replace("MEASURE", MEASURE))
    box = 'maps = "maps"\n' + BOX
    (point,) = read(tmp_path, 'grid = { bus = "roof", unit = 1, map = "wago-879" }\n', box).points
    meter = point.meters[Role.GRID]
    assert isinstance(meter, MeterConfig)
    assert (meter.map.fields[Quantity.IMPORT].factor, meter.map.fields[Quantity.EXPORT].factor) == (40, -1)
    assert meter.measures == {
        Quantity.IMPORT: MEASURES[Quantity.IMPORT],
        Quantity.EXPORT: Measure("EAct exp", "Energia Activa Exportada", "kWh", 14, "disabled"),
    }
    with pytest.raises(ConfigError, match=r"maps: sdm630 is the name of a map that is there already"):
        (tmp_path / "maps" / "wago.toml").write_text(MAP.replace("MEASURE", MEASURE).replace("wago-879", "sdm630"))
        read(tmp_path, "", box)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("blocks = [[0x6000, 4], [0x7000, 2]]", "", r"maps\[0\]\.blocks: either they or models must be given"),
        ("[0x7000, 2]", "[0x7000, 1]", r"maps\[0\]\.blocks: 0 of them hold the registers of export, not one"),
        ("[0x7000, 2]", "[0x7000, 126]", r"maps\[0\]\.blocks: must be a whole number from 1 to 125"),
        ("function = 3", "function = 5", r"maps\[0\]\.function: must be a whole number from 3 to 4"),
        ('"u32"', '"u24"', r"maps\[0\]\.quantities\.import\.type: must be one of u16"),
        ("factor = -1", "factor = 0", r"maps\[0\]\.quantities\.export\.factor: must not be 0"),
        ('"disabled"', '"hidden"', r"measure\.visibility: must be one of visible, disabled"),
        ("import =", "power =", r"maps\[0\]\.quantities\.power: is not a setting"),
        ("blocks = [[0x6000, 4], [0x7000, 2]]", "models = [203]", r"most_registers: .* do not fit into one request"),
    ],
)
def test_a_wrong_map_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = MAP.replace("MEASURE", MEASURE)
    assert old in text
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "wago.toml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, "", 'maps = "maps"\n' + BOX)


def test_measures_are_those_of_the_example() -> None:
    """The first group of measures of EnergySequence's example, by position."""
    shown = {(each.pos, each.name, each.unity, each.visibility) for each in MEASURES.values()}
    assert shown == {
        (1, "EAct imp", "kWh", "visible"),
        (2, "EAct exp", "kWh", "visible"),
        (3, "ERInd imp", "kvarh", "visible"),
        (4, "ERInd exp", "kvarh", "disabled"),
        (5, "ERCap exp", "kvarh", "disabled"),
        (6, "ERCap imp", "kvarh", "visible"),
    }
    assert MEASURES[Quantity.REACTIVE_2].name == "ERCap exp"
