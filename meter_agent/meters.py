"""What counts a point's energy, in the settings: a meter on a bus, or another system that knows what a meter counted.

    maps = "maps"                     # a folder with further register maps, see meter_agent/maps

    [[buses]]                         # see meter_agent/buses.py
    name = "roof"
    device = "/dev/ttyUSB0"

    [[gateways]]
    name = "ems"
    kind = "openems"
    url = "http://192.0.2.9:8084"
    user = "x"
    password_file = "ems.password"
    edge = "edge0"                    # asked by JSON-RPC for this edge (a backend); without it by REST (an edge)

    [[gateways]]
    name = "broker"
    kind = "mqtt"
    host = "192.0.2.10"
    port = 1883
    user = "box"                      # may be left out, and so may password_file
    password_file = "broker.password"
    ca_file = "broker.pem"            # TLS, by this authority

    [[points]]
    # one of these for each role:
    grid = { host = "192.0.2.7", port = 502, unit = 1, map = "sunspec203", max_kw = 100 }
    grid = { bus = "roof", unit = 1, map = "em340", reversed = true }
    grid = { bus = "roof", unit = 5, pulses = { import = 0 }, per_kwh = 1000 }     # S0, see meter_agent/inputs.py
    grid = { gateway = "ems", counters = { import = "_sum/GridBuyActiveEnergy", export = "_sum/GridSellActiveEnergy" } }
    grid = { gateway = "broker", energy = "kWh", counters = { import = "house/in", export = "house/out#total.kwh" } }

`max_kw` tells a counter that wrapped from one that was exchanged: more energy than that power allows was never counted.
A `reversed` meter is wired the other way round: what it calls import leaves the house. A topic whose message
is a JSON document has the path to its number behind a #.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from meter_agent.buses import DEFAULT_PORT, BusConfig
from meter_agent.keys import KeyFileError, read_private_file
from meter_agent.maps import MAPS, MEASURES, read_folder
from meter_agent.registers import Measure, MeterMap, Quantity
from meter_agent.tables import ConfigError, Table, base_url, flag, integer, path_from, text

MQTT_PORT = 1883
T = TypeVar("T")
# Powers of ten that make Wh of them.
ENERGIES = {"Wh": 0, "kWh": 3, "MWh": 6}


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """A meter on a bus."""

    bus: BusConfig
    unit: int
    map: MeterMap
    max_kw: int

    @property
    def place(self) -> tuple[str, ...]:
        return self.bus.name, str(self.unit), str(self.map.model)

    @property
    def measures(self) -> Mapping[Quantity, Measure]:
        """What it can tell, and how that is called."""
        return self.map.measures


@dataclass(frozen=True, slots=True)
class OpenemsConfig:
    """An energy management system: an edge, or one of the edges of a backend."""

    name: str
    url: str
    user: str
    password: str
    edge: str | None


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """An MQTT broker. Without `ca_file` the connection is not encrypted."""

    name: str
    host: str
    port: int
    user: str | None
    password: str | None
    ca_file: Path | None


GatewayConfig = OpenemsConfig | BrokerConfig


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """Counters that a gateway tells: by the address of a channel, or by topic and path. They show 10^`scale` Wh."""

    gateway: GatewayConfig
    counters: Mapping[Quantity, str]
    scale: int
    max_kw: int

    @property
    def place(self) -> tuple[str, ...]:
        return self.gateway.name, *sorted(self.counters.values())

    @property
    def measures(self) -> Mapping[Quantity, Measure]:
        return {quantity: MEASURES[quantity] for quantity in self.counters}


@dataclass(frozen=True, slots=True)
class PulseConfig:
    """Discrete inputs of a unit that close once for each part of a kWh, by what they count."""

    bus: BusConfig
    unit: int
    inputs: Mapping[Quantity, int]
    per_kwh: int
    max_kw: int

    @property
    def place(self) -> tuple[str, ...]:
        return self.bus.name, str(self.unit), *(f"input {address}" for address in sorted(self.inputs.values()))

    @property
    def measures(self) -> Mapping[Quantity, Measure]:
        return {quantity: MEASURES[quantity] for quantity in self.inputs}


AnyMeter = MeterConfig | PulseConfig | RemoteConfig


@dataclass(frozen=True, slots=True)
class Lines:
    """What meters can hang on, by name, and the register maps that are known."""

    buses: Mapping[str, BusConfig]
    gateways: Mapping[str, GatewayConfig]
    maps: Mapping[str, MeterMap]


def read_all_maps(table: Table, folder: Path) -> dict[str, MeterMap]:
    """The maps of this program and those of the settings' folder. Raises `ConfigError`."""
    if "maps" not in table:
        return MAPS
    more = read_folder(table.take("maps", path_from(folder)))
    for name in more.keys() & MAPS.keys():
        raise ConfigError(f"maps: {name} is the name of a map that is there already")
    return MAPS | more


def read_gateways(table: Table, folder: Path) -> dict[str, GatewayConfig]:
    """Raises `ConfigError`."""
    gateways: dict[str, GatewayConfig] = {}
    for part in table.tables("gateways") if "gateways" in table else []:
        gateway = part.take("kind", _kind)(part, folder)
        part.finish()
        if gateway.name in gateways:
            raise ConfigError(f"{part.key('name')}: {gateway.name} is given twice")
        gateways[gateway.name] = gateway
    return gateways


def _kind(value: object) -> Callable[[Table, Path], GatewayConfig]:
    kinds: dict[object, Callable[[Table, Path], GatewayConfig]] = {"openems": _openems, "mqtt": _broker}
    if value not in kinds:
        raise ValueError(f"must be one of {', '.join(map(str, kinds))}")
    return kinds[value]


def _openems(table: Table, folder: Path) -> OpenemsConfig:
    return OpenemsConfig(
        name=table.take("name", text),
        url=table.take("url", base_url),
        user=table.take("user", text, "x"),
        password=table.take("password_file", _private(folder)),
        edge=table.take("edge", text) if "edge" in table else None,
    )


def _broker(table: Table, folder: Path) -> BrokerConfig:
    return BrokerConfig(
        name=table.take("name", text),
        host=table.take("host", text),
        port=table.take("port", integer(1, 65535), MQTT_PORT),
        user=table.take("user", text) if "user" in table else None,
        password=table.take("password_file", _private(folder)) if "password_file" in table else None,
        ca_file=table.take("ca_file", path_from(folder)) if "ca_file" in table else None,
    )


def _private(folder: Path) -> Callable[[object], str]:
    def read(value: object) -> str:
        try:
            return read_private_file(folder / text(value)).decode("utf-8").strip()
        except KeyFileError as error:
            raise ValueError(str(error)) from None

    return read


def read_meter(table: Table, lines: Lines) -> AnyMeter:
    """Raises `ConfigError`."""
    max_kw = table.take("max_kw", integer(1, 1_000_000), 100)
    meter = _remote(table, lines, max_kw) if "gateway" in table else _on_a_bus(table, lines, max_kw)
    table.finish()
    return meter


def _on_a_bus(table: Table, lines: Lines, max_kw: int) -> MeterConfig | PulseConfig:
    if "bus" in table:
        bus = table.take("bus", one_of(lines.buses))
    else:
        bus = BusConfig(table.take("host", text), table.take("port", integer(1, 65535), DEFAULT_PORT))
    unit = table.take("unit", integer(0, 255))
    if "pulses" in table:
        inputs = _by_quantity(table.table("pulses"), integer(0, 0xFFFF))
        return PulseConfig(bus, unit, inputs, table.take("per_kwh", integer(1, 1_000_000)), max_kw)
    meter_map = table.take("map", one_of(lines.maps))
    is_reversed = table.take("reversed", flag, False)
    return MeterConfig(bus, unit, meter_map.reversed() if is_reversed else meter_map, max_kw)


def _remote(table: Table, lines: Lines, max_kw: int) -> RemoteConfig:
    gateway = table.take("gateway", one_of(lines.gateways))
    scale = table.take("energy", one_of(ENERGIES), 0)
    part = table.table("counters") if "counters" in table else Table({}, table.key("counters"))
    return RemoteConfig(gateway, _by_quantity(part, text), scale, max_kw)


def _by_quantity(table: Table, read: Callable[[object], T]) -> dict[Quantity, T]:
    found = {quantity: table.take(quantity, read) for quantity in Quantity if quantity in table}
    table.finish()
    if not found:
        raise ConfigError(f"{table.name}: must name one quantity at least")
    return found


def one_of(known: Mapping[str, T]) -> Callable[[object], T]:
    def read(value: object) -> T:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"must be one of {', '.join(known) or 'those that are given, and none is'}")
        return known[value]

    return read
