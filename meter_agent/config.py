"""The agent's settings, a TOML file. Paths are taken from the folder of the file.

    device = "<64 hex>"               # given at enrolment
    key_file = "key/device.pem"       # made by `meter-agent key`
    server = "https://market.example" # or [[destinations]], see meter_agent/destinations.py
    time_zone = "Europe/Berlin"
    slot_minutes = 15                 # 5, 6, 10, 12, 15, 20, 30 or 60
    journal = "journal.sqlite"
    journal_mb = 64                   # the oldest days are thinned to their totals before the journal grows beyond
    poll_seconds = 5                  # pause before a meter that failed is asked again
    send_minutes = 15                 # how often readings are sent; a multiple of slot_minutes
    bytes_per_day = 100000            # what may be sent and received, without it all that is needed

    [[points]]
    id = "<64 hex>"
    secret_file = "point.secret"      # K as 64 hex; or: secret = "<64 hex>"
    generation = { host = "192.0.2.7", port = 502, unit = 2, map = "sunspec203" }
    grid = { host = "192.0.2.7", port = 502, unit = 1, map = "sunspec203", max_kw = 100 }

`max_kw` tells a counter that wrapped from one that was exchanged: more energy than that power allows was never counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from evidence.readings import Register
from meter_agent.configuration import ConfigurationError, configuration_path, read_stored, settings_of
from meter_agent.destinations import Destination, read_destinations
from meter_agent.keys import KeyFileError, read_private_file
from meter_agent.registers import MAPS, MeterMap
from meter_agent.tables import ConfigError, Table, bytes32, integer, number, path_from, read_toml, text, zone

# What a signed configuration cannot say.
LOCAL = frozenset({"key_file", "journal", "meters"})
SLOT_MINUTES = (5, 6, 10, 12, 15, 20, 30, 60)


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
    """A metering point. `secret` is K, from which the salts of its readings are made; `registers` are what is sent."""

    id: bytes
    secret: bytes
    meters: Mapping[Role, MeterConfig]
    registers: tuple[Register, ...] = (Register.CONSUMPTION, Register.GENERATION)

    @property
    def name(self) -> str:
        return self.id.hex()[:12]


@dataclass(frozen=True, slots=True)
class Config:
    device: bytes
    key_file: Path
    destinations: tuple[Destination, ...]
    time_zone: ZoneInfo
    slot_seconds: int
    journal: Path
    poll_seconds: float
    points: tuple[PointConfig, ...]
    send_seconds: int = 60
    journal_bytes: int | None = None
    bytes_per_day: int | None = None

    @property
    def secrets(self) -> dict[bytes, bytes]:
        return {point.id: point.secret for point in self.points}


def slot_minutes(value: object) -> int:
    if value not in SLOT_MINUTES or isinstance(value, bool | float):
        raise ValueError(f"must be one of {', '.join(map(str, SLOT_MINUTES))}")
    return int(str(value))


def meter_map(value: object) -> MeterMap:
    if value not in MAPS:
        raise ValueError(f"must be one of {', '.join(MAPS)}")
    return MAPS[str(value)]


def read_key_file(path: Path) -> Path:
    """Only the key's place: a device has a key before it is enrolled and knows the rest."""
    return read_toml(path).take("key_file", path_from(path.parent))


def _send_minutes(slot_seconds: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        minutes = integer(1, 1440)(value)
        if minutes * 60 % slot_seconds or 1440 % minutes:
            raise ValueError(f"must be a multiple of {slot_seconds // 60} by which a day can be divided")
        return minutes

    return read


def read_journal_path(path: Path) -> Path:
    """Only the journal's place, beside which a signed configuration will lie."""
    return read_toml(path).take("journal", path_from(path.parent))


def read_config(path: Path, signed: Mapping[str, Any] | None = None) -> Config:
    """The file's settings under the utility's: `signed`, or else those stored beside the journal.

    Raises `ConfigError`.
    """
    table = read_toml(path)
    journal = table.take("journal", path_from(path.parent))
    table.take("meters", list, [])  # for those who enrol the box
    table.lay_over(_stored(journal) if signed is None else signed, LOCAL)
    slot_seconds = 60 * table.take("slot_minutes", slot_minutes, 15)
    config = Config(
        device=table.take("device", bytes32),
        key_file=table.take("key_file", path_from(path.parent)),
        destinations=read_destinations(table, path.parent),
        time_zone=table.take("time_zone", zone),
        slot_seconds=slot_seconds,
        journal=journal,
        poll_seconds=table.take("poll_seconds", number(1, 60), 5.0),
        points=tuple(_point(point, path.parent) for point in table.tables("points")),
        send_seconds=table.take("send_minutes", _send_minutes(slot_seconds), slot_seconds // 60) * 60,
        journal_bytes=table.take("journal_mb", integer(2, 100_000), 64) << 20,
        bytes_per_day=table.take("bytes_per_day", integer(10_000, 10**12), 0) or None,
    )
    table.finish()
    _check_unique(config.points)
    return config


def _stored(journal: Path) -> dict[str, Any]:
    try:
        stored = read_stored(configuration_path(journal))
        return settings_of(stored) if stored else {}
    except ConfigurationError as error:
        raise ConfigError(str(error)) from None


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
