"""The agent's settings, a TOML file. Paths are taken from the folder of the file.

    device = "<64 hex>"               # given at enrolment
    key_file = "key/device.pem"       # made by `meter-agent key`
    server = "https://market.example"
    time_zone = "Europe/Berlin"
    slot_minutes = 15                 # 5, 6, 10, 12, 15, 20, 30 or 60
    journal = "journal.sqlite"
    poll_seconds = 5                  # pause before a meter that failed is asked again

    [[points]]
    id = "<64 hex>"
    secret_file = "point.secret"      # K as 64 hex; or: secret = "<64 hex>"
    generation = { host = "192.0.2.7", port = 502, unit = 2, map = "sunspec203" }
    grid = { host = "192.0.2.7", port = 502, unit = 1, map = "sunspec203", max_kw = 100 }

`max_kw` tells a counter that wrapped from one that was exchanged: more energy than that power allows was never counted.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meter_agent.configuration import ConfigurationError, configuration_path, read_stored
from meter_agent.keys import KeyFileError, read_private_file
from meter_agent.registers import MAPS, MeterMap

LOCAL = frozenset({"key_file", "journal"})
SLOT_MINUTES = (5, 6, 10, 12, 15, 20, 30, 60)
T = TypeVar("T")
_HEX_32_BYTES = re.compile(r"[0-9a-fA-F]{64}")


class ConfigError(Exception):
    """A setting is missing or wrong; the message starts with its name."""


class Role(StrEnum):
    GENERATION = "generation"
    GRID = "grid"


@dataclass(frozen=True, slots=True)
class MeterConfig:
    host: str
    port: int
    unit: int
    map: MeterMap
    max_kw: int

    @property
    def place(self) -> tuple[str, int, int]:
        return self.host, self.port, self.unit


@dataclass(frozen=True, slots=True)
class PointConfig:
    """A metering point. `secret` is K, from which the salts of its readings are made."""

    id: bytes
    secret: bytes
    meters: Mapping[Role, MeterConfig]

    @property
    def name(self) -> str:
        return self.id.hex()[:12]


@dataclass(frozen=True, slots=True)
class Config:
    device: bytes
    key_file: Path
    server: str
    time_zone: ZoneInfo
    slot_seconds: int
    journal: Path
    poll_seconds: float
    points: tuple[PointConfig, ...]

    @property
    def secrets(self) -> dict[bytes, bytes]:
        return {point.id: point.secret for point in self.points}


class Table:
    """A TOML table that knows its name, so that errors can say which key is wrong."""

    def __init__(self, values: object, name: str) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{name}: must be a table")
        self._values: dict[str, Any] = dict(values)
        self.name = name

    def key(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def take(self, key: str, read: Callable[[Any], T], default: T | None = None) -> T:
        """The value under `key`, brought into form by `read`, which raises ValueError with what it should be."""
        if key not in self._values:
            if default is None:
                raise ConfigError(f"{self.key(key)}: is missing")
            return default
        try:
            return read(self._values.pop(key))
        except ValueError as error:
            raise ConfigError(f"{self.key(key)}: {error}") from None

    def tables(self, key: str) -> list["Table"]:
        """The tables of an array, at least one."""
        values = self._values.pop(key, None)
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{self.key(key)}: must be given, as one or more [[{key}]]")
        return [Table(value, f"{self.key(key)}[{index}]") for index, value in enumerate(values)]

    def table(self, key: str) -> "Table":
        return Table(self._values.pop(key), self.key(key))

    def lay_over(self, settings: Mapping[str, Any]) -> None:
        """The utility's signed settings count before those of the file; what only the box can know they cannot say."""
        for key in LOCAL & settings.keys():
            raise ConfigError(f"{key}: is for the box to say, not for a signed configuration")
        self._values |= {key: value for key, value in settings.items() if key != "trusted"}

    def finish(self) -> None:
        for key in self._values:
            raise ConfigError(f"{self.key(key)}: is not a setting")


def text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text that is not empty")
    return value


def integer(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return read


def bytes32(value: object) -> bytes:
    if not isinstance(value, str) or not _HEX_32_BYTES.fullmatch(value):
        raise ValueError("must be 64 hexadecimal digits")
    return bytes.fromhex(value)


def zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(text(value))
    except (OSError, ValueError, ZoneInfoNotFoundError):
        raise ValueError(f"{value!r} is not a known time zone such as Europe/Berlin") from None


def base_url(value: object) -> str:
    parts = urlsplit(text(value))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://market.example")
    return text(value).rstrip("/")


def slot_minutes(value: object) -> int:
    if value not in SLOT_MINUTES or isinstance(value, bool | float):
        raise ValueError(f"must be one of {', '.join(map(str, SLOT_MINUTES))}")
    return int(str(value))


def meter_map(value: object) -> MeterMap:
    if value not in MAPS:
        raise ValueError(f"must be one of {', '.join(MAPS)}")
    return MAPS[str(value)]


def read_toml(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            return Table(tomllib.load(file), "")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def read_key_file(path: Path) -> Path:
    """Only the key's place: a device has a key before it is enrolled and knows the rest."""
    return read_toml(path).take("key_file", _path_from(path.parent))


def read_journal_path(path: Path) -> Path:
    """Only the journal's place, beside which a signed configuration will lie."""
    return read_toml(path).take("journal", _path_from(path.parent))


def read_config(path: Path, signed: Mapping[str, Any] | None = None) -> Config:
    """The file's settings under the utility's: `signed`, or else those stored beside the journal.

    Raises `ConfigError`.
    """
    table = read_toml(path)
    journal = table.take("journal", _path_from(path.parent))
    table.lay_over(_stored(journal) if signed is None else signed)
    config = Config(
        device=table.take("device", bytes32),
        key_file=table.take("key_file", _path_from(path.parent)),
        server=table.take("server", base_url),
        time_zone=table.take("time_zone", zone),
        slot_seconds=60 * table.take("slot_minutes", slot_minutes, 15),
        journal=journal,
        poll_seconds=table.take("poll_seconds", number(1, 60), 5.0),
        points=tuple(_point(point, path.parent) for point in table.tables("points")),
    )
    table.finish()
    _check_unique(config.points)
    return config


def _stored(journal: Path) -> dict[str, Any]:
    try:
        stored = read_stored(configuration_path(journal))
        return stored.settings if stored else {}
    except ConfigurationError as error:
        raise ConfigError(str(error)) from None


def _path_from(folder: Path) -> Callable[[object], Path]:
    return lambda value: folder / text(value)


def _point(table: Table, folder: Path) -> PointConfig:
    point_id = table.take("id", bytes32)
    if ("secret" in table) == ("secret_file" in table):
        raise ConfigError(f"{table.key('secret_file')}: either it or secret must be given")
    if "secret" in table:
        secret = table.take("secret", bytes32)
    else:
        secret = table.take("secret_file", lambda value: _secret(folder / text(value)))
    meters = {role: _meter(table.table(role)) for role in Role if role in table}
    if not meters:
        raise ConfigError(f"{table.name}: needs a generation or a grid meter")
    table.finish()
    return PointConfig(point_id, secret, meters)


def _secret(path: Path) -> bytes:
    try:
        return bytes32(read_private_file(path).decode("ascii").strip())
    except KeyFileError as error:
        raise ValueError(str(error)) from None
    except ValueError:
        raise ValueError(f"{path} must hold 64 hexadecimal digits") from None


def _meter(table: Table) -> MeterConfig:
    meter = MeterConfig(
        host=table.take("host", text),
        port=table.take("port", integer(1, 65535)),
        unit=table.take("unit", integer(0, 255)),
        map=table.take("map", meter_map),
        max_kw=table.take("max_kw", integer(1, 1_000_000), 100),
    )
    table.finish()
    return meter


def _check_unique(points: tuple[PointConfig, ...]) -> None:
    ids: dict[bytes, str] = {}
    places: dict[tuple[str, int, int], str] = {}
    for index, point in enumerate(points):
        name = f"points[{index}]"
        if point.id in ids:
            raise ConfigError(f"{name}.id: is also that of {ids[point.id]}")
        ids[point.id] = name
        for role, meter in point.meters.items():
            if meter.place in places:
                raise ConfigError(f"{name}.{role}: is the same meter as {places[meter.place]}")
            places[meter.place] = f"{name}.{role}"
