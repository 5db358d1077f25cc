"""The agent's settings, a TOML file. Paths are taken from the folder of the file.

device = "<64 hex>"               # given at enrolment
key_file = "key/device.pem"       # made by `meter-agent key`; or [key], see meter_agent/keys/settings.py
server = "https://market.example" # or [[destinations]], see meter_agent/destinations.py
time_zone = "Europe/Berlin"
slot_minutes = 15                 # 5, 6, 10, 12, 15, 20, 30 or 60
journal = "journal.sqlite"
journal_mb = 64                   # the oldest days are thinned to their totals before the journal grows beyond
poll_seconds = 5                  # pause before a meter that failed is asked again
send_minutes = 15                 # how often readings are sent; a multiple of slot_minutes
bytes_per_day = 100000            # what may be sent and received, without it all that is needed

trusted = [{ algorithm = 1, x = "<64 hex>", y = "<64 hex>" }]  # the utility's keys, until a configuration is stored

[[points]]
id = "<64 hex>"
secret_file = "point.secret"      # K as 64 hex; or: secret = "<64 hex>"
generation = { host = "192.0.2.7", port = 502, unit = 2, map = "sunspec203" }
grid = { host = "192.0.2.7", port = 502, unit = 1, map = "sunspec203" }   # or others: see meter_agent/meters.py
registers = ["consumption", "generation", "grid_import"]    # what is sent; without it the first two
isolated = false                  # true, without a grid meter: what is generated there is used there
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from evidence.keys import PublicKey
from evidence.readings import Register, Unit
from meter_agent.buses import read_buses
from meter_agent.configuration import ConfigurationError, configuration_path, read_stored, settings_of, trusted_keys
from meter_agent.destinations import Destination, read_destinations
from meter_agent.inputs import InputConfig, read_inputs
from meter_agent.keys import KeyFileError, KeySettings, read_private_file, take_key
from meter_agent.meters import AnyMeter, Lines, read_all_maps, read_gateways, read_meter
from meter_agent.registers import Quantity
from meter_agent.tables import ConfigError, Table, bytes32, flag, integer, number, path_from, read_toml, text, zone
from meter_agent.terms import Role, Terms, terms_of

# Tables that meter_agent/control.py reads: what may be done to the box, no instruction changes.
OF_THE_BOX = ("channel", "plants", "outputs", "update", "local_api")
# What a signed configuration cannot say.
LOCAL = frozenset({"key", "key_file", "journal", "buses", "gateways", "maps", "meters", *OF_THE_BOX})
DEFAULT_REGISTERS: tuple[Register, ...] = (Register.CONSUMPTION, Register.GENERATION)
SLOT_MINUTES = (5, 6, 10, 12, 15, 20, 30, 60)


@dataclass(frozen=True, slots=True)
class PointConfig:
    """A metering point. `secret` is K, from which the salts of its readings are made; `registers` are what is sent.

    Whatever an isolated one generates is used there: it has no connection to the grid.
    """

    id: bytes
    secret: bytes
    meters: Mapping[Role, AnyMeter]
    registers: tuple[Register, ...] = DEFAULT_REGISTERS
    isolated: bool = False

    @property
    def name(self) -> str:
        return self.id.hex()[:12]

    @property
    def terms(self) -> dict[Register, Terms]:
        """Which counters make up each register that is counted: active energy always, reactive where it is sent."""
        told = {role: meter.measures for role, meter in self.meters.items()}
        counted = terms_of(told, isolated=self.isolated)
        return {each: parts for each, parts in counted.items() if each.unit is Unit.WH or each in self.registers}

    def quantities(self, role: Role) -> frozenset[Quantity]:
        """What has to be read from the meter of that role."""
        terms = [term for parts in self.terms.values() for term in parts]
        return frozenset(quantity for _, of, quantity in terms if of is role)


@dataclass(frozen=True, slots=True)
class Config:
    device: bytes
    key: KeySettings
    destinations: tuple[Destination, ...]
    time_zone: ZoneInfo
    slot_seconds: int
    journal: Path
    poll_seconds: float
    points: tuple[PointConfig, ...]
    inputs: tuple[InputConfig, ...] = ()
    send_seconds: int = 60
    journal_bytes: int | None = None
    bytes_per_day: int | None = None
    trusted: tuple[PublicKey, ...] = ()

    @property
    def secrets(self) -> dict[bytes, bytes]:
        return {point.id: point.secret for point in self.points}


def slot_minutes(value: object) -> int:
    if value not in SLOT_MINUTES or isinstance(value, bool | float):
        raise ValueError(f"must be one of {', '.join(map(str, SLOT_MINUTES))}")
    return int(str(value))


def register(value: object) -> Register:
    names = {each.name.lower(): each for each in Register}
    if value not in names:
        raise ValueError(f"must be some of {', '.join(names)}")
    return names[str(value)]


def registers(value: object) -> tuple[Register, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of registers such as consumption")
    return tuple(sorted({register(each) for each in value}))


def public_keys(value: object) -> tuple[PublicKey, ...]:
    """A list of { algorithm, x, y }. Raises `ValueError`."""
    try:
        return trusted_keys({"trusted": value})
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


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
    settings = _stored(journal) if signed is None else signed
    table.lay_over(settings, LOCAL)
    if "trusted" in settings:
        table.drop("trusted")
    slot_seconds = 60 * table.take("slot_minutes", slot_minutes, 15)
    lines = Lines(read_buses(table), read_gateways(table, path.parent), read_all_maps(table, path.parent))
    config = Config(
        device=table.take("device", bytes32),
        key=take_key(table, path.parent),
        destinations=read_destinations(table, path.parent),
        time_zone=table.take("time_zone", zone),
        slot_seconds=slot_seconds,
        journal=journal,
        poll_seconds=table.take("poll_seconds", number(1, 60), 5.0),
        points=tuple(_point(point, path.parent, lines) for point in table.tables("points")),
        inputs=read_inputs(table, lines.buses),
        send_seconds=table.take("send_minutes", _send_minutes(slot_seconds), slot_seconds // 60) * 60,
        journal_bytes=table.take("journal_mb", integer(2, 100_000), 64) << 20,
        bytes_per_day=table.take("bytes_per_day", integer(10_000, 10**12), 0) or None,
        trusted=Table(settings, "").take("trusted", public_keys, ()) or table.take("trusted", public_keys, ()),
    )
    table.drop(*OF_THE_BOX)
    table.finish()
    _check_unique(config.points)
    return config


def _stored(journal: Path) -> dict[str, Any]:
    try:
        stored = read_stored(configuration_path(journal))
        return settings_of(stored) if stored else {}
    except ConfigurationError as error:
        raise ConfigError(str(error)) from None


def _point(table: Table, folder: Path, lines: Lines) -> PointConfig:
    point_id = table.take("id", bytes32)
    if ("secret" in table) == ("secret_file" in table):
        raise ConfigError(f"{table.key('secret_file')}: either it or secret must be given")
    if "secret" in table:
        secret = table.take("secret", bytes32)
    else:
        secret = table.take("secret_file", lambda value: _secret(folder / text(value)))
    meters = {role: read_meter(table.table(role), lines) for role in Role if role in table}
    if not meters:
        raise ConfigError(f"{table.name}: needs a generation or a grid meter")
    isolated = table.take("isolated", flag, False)
    if isolated and Role.GRID in meters:
        raise ConfigError(f"{table.key('isolated')}: a point with a grid meter has a connection to the grid")
    has_registers = "registers" in table
    sent = table.take("registers", registers, DEFAULT_REGISTERS)
    table.finish()
    point = PointConfig(point_id, secret, meters, sent, isolated)
    _check_meters(point, table, sent if has_registers else ())
    return point


def _check_meters(point: PointConfig, table: Table, registers: tuple[Register, ...]) -> None:
    for role in point.meters:
        if not point.quantities(role):
            raise ConfigError(f"{table.key(role)}: tells nothing that is needed; is it the wrong way round?")
    for register in registers:
        if register not in point.terms:
            raise ConfigError(f"{table.key('registers')}: the point's meters do not tell {register.name.lower()}")


def _secret(path: Path) -> bytes:
    try:
        return bytes32(read_private_file(path).decode("ascii").strip())
    except KeyFileError as error:
        raise ValueError(str(error)) from None
    except ValueError:
        raise ValueError(f"{path} must hold 64 hexadecimal digits") from None


def _check_unique(points: tuple[PointConfig, ...]) -> None:
    ids: dict[bytes, str] = {}
    places: dict[tuple[str, ...], str] = {}
    for index, point in enumerate(points):
        name = f"points[{index}]"
        if point.id in ids:
            raise ConfigError(f"{name}.id: is also that of {ids[point.id]}")
        ids[point.id] = name
        for role, meter in point.meters.items():
            if meter.place in places:
                raise ConfigError(f"{name}.{role}: is the same meter as {places[meter.place]}")
            places[meter.place] = f"{name}.{role}"
