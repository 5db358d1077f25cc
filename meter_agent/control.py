"""What may be done to this box from outside, and on this box: tables of its own file, which no instruction changes.

[channel]
wait_seconds = 25                 # how long a request is held open, 0 to 25
pause_seconds = 0                 # between requests, for lines where every byte counts; 900 with bytes_per_day
server = "https://market.example" # else that of the first market among the destinations

[[plants]]                        # told their power by schedules
name = "battery"
host = "192.0.2.9"
port = 502
unit = 1
set_power = { address = 100, number = "int32", watts = 1, low_first = false }
measured = { address = 110, number = "int32" }        # may be left out
minimum_w = -5000                 # negative: it gives
maximum_w = 5000
ramp_w_per_minute = 1000
failsafe_w = 0                    # without a schedule, and
silent_minutes = 60               # so long after the utility was last heard

[[outputs]]                       # switched for a while
name = "boiler"
host = "192.0.2.9"
port = 502
unit = 1
coil = 3
failsafe = false
longest_minutes = 120

[update]
folder = "/opt/meter-agent"       # with releases/ and current, see deploy/agent/launcher.py
release_key = { algorithm = 1, x = "<64 hex>", y = "<64 hex>" }
healthy_minutes = 45              # within which a new release must have read and sent
largest_mb = 100
ca_file = "ca.pem"                # else the certificates of the system

[local_api]
host = "127.0.0.1"                # or an address of the local network
port = 8432
token_file = "api.token"          # 0600
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evidence.keys import PublicKey
from meter_agent.buses import DEFAULT_PORT, BusConfig, read_buses
from meter_agent.channel.line import LONGEST_WAIT
from meter_agent.channel.modbus import Number, Place, PowerRegister
from meter_agent.channel.schedules import LARGEST, Limits
from meter_agent.config import public_keys
from meter_agent.meters import one_of
from meter_agent.tables import ConfigError, Table, base_url, flag, integer, number, path_from, read_toml, text

PAUSE_ON_A_SLOW_LINE = 900.0
Buses = Mapping[str, BusConfig]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    wait_seconds: int
    pause_seconds: float | None
    server: str | None


@dataclass(frozen=True, slots=True)
class PlantSettings:
    limits: Limits
    place: Place
    set_power: PowerRegister
    measured: PowerRegister | None


@dataclass(frozen=True, slots=True)
class OutputSettings:
    name: str
    place: Place
    coil: int
    failsafe: bool
    longest_seconds: int


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    folder: Path
    release_key: PublicKey
    healthy_seconds: int
    largest_bytes: int
    ca_file: Path | None


@dataclass(frozen=True, slots=True)
class ApiSettings:
    host: str
    port: int
    token_file: Path


@dataclass(frozen=True, slots=True)
class Control:
    """`path` is the file that this was read from."""

    path: Path
    channel: ChannelSettings | None = None
    plants: tuple[PlantSettings, ...] = ()
    outputs: tuple[OutputSettings, ...] = ()
    update: UpdateSettings | None = None
    local_api: ApiSettings | None = None


def read_control(path: Path) -> Control:
    """Raises `ConfigError`."""
    table = read_toml(path)
    folder, buses = path.parent, read_buses(table)
    control = Control(
        path=path,
        channel=_optional(table, "channel", _channel),
        plants=tuple(_plant(each, buses) for each in table.tables("plants")) if "plants" in table else (),
        outputs=tuple(_output(each, buses) for each in table.tables("outputs")) if "outputs" in table else (),
        update=_optional(table, "update", lambda each: _update(each, folder)),
        local_api=_optional(table, "local_api", lambda each: _local_api(each, folder)),
    )
    _check_names("plants", [each.limits.name for each in control.plants])
    _check_names("outputs", [each.name for each in control.outputs])
    if control.channel is None and (control.plants or control.outputs or control.update):
        raise ConfigError("channel: must be given where plants, outputs or update are")
    return control


def _optional(table: Table, key: str, read: Callable[[Table], T]) -> T | None:
    return read(table.table(key)) if key in table else None


def _check_names(key: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ConfigError(f"{key}: two have the same name")


def _channel(table: Table) -> ChannelSettings:
    settings = ChannelSettings(
        wait_seconds=table.take("wait_seconds", integer(0, LONGEST_WAIT), LONGEST_WAIT),
        pause_seconds=table.take("pause_seconds", number(0, 86_400)) if "pause_seconds" in table else None,
        server=table.take("server", base_url) if "server" in table else None,
    )
    table.finish()
    return settings


def _place(table: Table, buses: Buses) -> Place:
    if "bus" in table:
        bus = table.take("bus", one_of(buses))
    else:
        bus = BusConfig(table.take("host", text), table.take("port", integer(1, 65535), DEFAULT_PORT))
    return Place(bus, table.take("unit", integer(0, 255), 1))


def _plant(table: Table, buses: Buses) -> PlantSettings:
    power = integer(-LARGEST, LARGEST)
    limits = Limits(
        name=table.take("name", text),
        minimum_w=table.take("minimum_w", power),
        maximum_w=table.take("maximum_w", power),
        ramp_w_per_minute=table.take("ramp_w_per_minute", integer(1, LARGEST)),
        failsafe_w=table.take("failsafe_w", power),
        silent_seconds=60 * table.take("silent_minutes", number(1, 100_000), 60.0),
    )
    if not limits.minimum_w <= limits.failsafe_w <= limits.maximum_w:
        raise ConfigError(f"{table.key('failsafe_w')}: must lie between minimum_w and maximum_w")
    settings = PlantSettings(
        limits,
        _place(table, buses),
        set_power=table.take("set_power", _register),
        measured=table.take("measured", _register) if "measured" in table else None,
    )
    table.finish()
    return settings


def _register(value: Any) -> PowerRegister:
    if not isinstance(value, dict):
        raise ValueError("must be a table such as { address = 100, number = 'int32' }")
    try:
        table = Table(value, "")
        register = PowerRegister(
            address=table.take("address", integer(0, 0xFFFF)),
            number=table.take("number", Number),
            watts=table.take("watts", integer(1, 1_000_000), 1),
            low_first=table.take("low_first", flag, False),
        )
        table.finish()
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return register


def _output(table: Table, buses: Buses) -> OutputSettings:
    settings = OutputSettings(
        name=table.take("name", text),
        place=_place(table, buses),
        coil=table.take("coil", integer(0, 0xFFFF)),
        failsafe=table.take("failsafe", flag),
        longest_seconds=60 * table.take("longest_minutes", integer(1, 100_000)),
    )
    table.finish()
    return settings


def _update(table: Table, folder: Path) -> UpdateSettings:
    settings = UpdateSettings(
        folder=table.take("folder", path_from(folder)),
        release_key=table.take("release_key", lambda value: public_keys([value])[0]),
        healthy_seconds=round(60 * table.take("healthy_minutes", number(0.01, 1440), 45.0)),
        largest_bytes=table.take("largest_mb", integer(1, 10_000), 100) << 20,
        ca_file=table.take("ca_file", path_from(folder)) if "ca_file" in table else None,
    )
    table.finish()
    return settings


def _local_api(table: Table, folder: Path) -> ApiSettings:
    settings = ApiSettings(
        host=table.take("host", text, "127.0.0.1"),
        port=table.take("port", integer(0, 65535)),
        token_file=table.take("token_file", path_from(folder)),
    )
    table.finish()
    return settings
