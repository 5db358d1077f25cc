from pathlib import Path

import pytest

from meter_agent.config import read_config
from meter_agent.destinations import Market
from meter_agent.keys.settings import FileKey
from meter_agent.simulator import read_profile
from meter_agent.tables import ConfigError
from meter_agent.terms import Role

HEX = "ab" * 32
GOOD = f"""
device = "{HEX}"
key_file = "key/device.pem"
server = "https://market.example/"
time_zone = "Europe/Berlin"
journal = "journal.sqlite"

[[points]]
id = "{HEX}"
secret = "{HEX}"
generation = {{ host = "192.0.2.7", port = 502, unit = 2, map = "sunspec203" }}
grid = {{ host = "192.0.2.7", port = 502, unit = 1, map = "sunspec203", max_kw = 50 }}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, GOOD))
    assert config.slot_seconds == 900
    assert config.destinations == (Market("market", "https://market.example"),)
    assert config.key == FileKey(tmp_path / "key" / "device.pem")
    (point,) = config.points
    assert point.meters[Role.GENERATION].place == ("192.0.2.7:502", "2", "203")
    assert point.meters[Role.GENERATION].max_kw == 100
    assert point.meters[Role.GRID].max_kw == 50


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f'device = "{HEX}"', "", "device: is missing"),
        (f'device = "{HEX}"', 'device = "abc"', "device: must be 64 hexadecimal digits"),
        ("https://market.example/", "market.example", "server: must be an address"),
        ("Europe/Berlin", "Europe/Bielefeld", "time_zone: 'Europe/Bielefeld' is not a known time zone"),
        ("Europe/Berlin", "../../etc/passwd", "time_zone: .* is not a known time zone"),
        ("journal =", "slot_minutes = 7\njournal =", "slot_minutes: must be one of 5, 6"),
        ("journal =", "slot_minutes = 15.0\njournal =", "slot_minutes: must be one of 5, 6"),
        ("journal =", "poll_seconds = 0\njournal =", "poll_seconds: must be a number from 1 to 60"),
        ("journal =", "jurnal =", "journal: is missing"),
        ("journal =", "colour = 1\njournal =", "colour: is not a setting"),
        ("port = 502, unit = 2", "port = true, unit = 2", r"points\[0\]\.generation\.port: must be a whole number"),
        ("unit = 1", "unit = 256", r"points\[0\]\.grid\.unit: must be a whole number from 0 to 255"),
        ("unit = 1", "unit = 2", r"points\[0\]\.grid: is the same meter as points\[0\]\.generation"),
        ('map = "sunspec203" ', 'map = "sdm999" ', r"points\[0\]\.generation\.map: must be one of em340, cvm-c11"),
        (f'secret = "{HEX}"', "", r"points\[0\]\.secret_file: either it or secret"),
        (f'secret = "{HEX}"', 'secret_file = "none"', r"points\[0\]\.secret_file: .*none cannot be read"),
        ("grid =", "net =", r"points\[0\]\.net: is not a setting"),
        ("[[points]]", "[points]", r"points: must be given, as one or more \[\[points\]\]"),
        ("device =", "device", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, GOOD.replace(old, new, 1)))


def test_a_point_is_configured_once(tmp_path: Path) -> None:
    again = f'[[points]]\nid = "{HEX}"\nsecret = "{HEX}"\n'
    grid = 'grid = { host = "192.0.2.8", port = 502, unit = 1, map = "sunspec203" }\n'
    with pytest.raises(ConfigError, match=r"points\[1\]\.id: is also that of points\[0\]"):
        read_config(write(tmp_path, GOOD + again + grid))
    other = again.replace(HEX, "cd" * 32, 1)
    with pytest.raises(ConfigError, match=r"points\[1\]: needs a generation or a grid meter"):
        read_config(write(tmp_path, GOOD + other))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        read_config(tmp_path / "none.toml")


def test_a_secret_may_stand_in_a_private_file(tmp_path: Path) -> None:
    secret = tmp_path / "point.secret"
    secret.write_text("cd" * 32 + "\n")
    path = write(tmp_path, GOOD.replace(f'secret = "{HEX}"', 'secret_file = "point.secret"'))
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match=r"secret_file: .* has mode 0644"):
        read_config(path)
    secret.chmod(0o600)
    assert read_config(path).points[0].secret == b"\xcd" * 32
    secret.write_text("short")
    with pytest.raises(ConfigError, match=r"secret_file: .* must hold 64 hexadecimal digits"):
        read_config(path)


def test_a_profile_names_its_units_once(tmp_path: Path) -> None:
    household = f'[[households]]\npoint = "{HEX}"\nseed = 1\nannual_kwh = 3000\n'
    profile = read_profile(write(tmp_path, household + "grid_unit = 1"))
    assert (profile.host, profile.port, profile.households[0].units) == ("127.0.0.1", 5020, {Role.GRID: 1})
    with pytest.raises(ConfigError, match="each unit must be given once"):
        read_profile(write(tmp_path, household + "kwp = 5\ngrid_unit = 1\ngeneration_unit = 1"))
    with pytest.raises(ConfigError, match=r"households\[0\]\.grid_unit: is missing"):
        read_profile(write(tmp_path, household))
