"""Reads the counters of a point's meters, wherever they hang."""

from collections.abc import Collection, Iterable
from typing import Protocol

from meter_agent import sunspec
from meter_agent.buses import Bus, BusConfig
from meter_agent.config import PointConfig
from meter_agent.gateways import Gateway, open_gateway
from meter_agent.inputs import Pulses
from meter_agent.meters import GatewayConfig, MeterConfig, PulseConfig, RemoteConfig
from meter_agent.registers import ACTIVE, MeterError, Quantity, RawCounter, decode, registers_of
from meter_agent.terms import Role


class Source(Protocol):
    async def counters(self) -> dict[Quantity, RawCounter]:
        """What the counters show now. Raises `MeterError`."""


class Meter:
    """A meter on a bus. Where a SunSpec model stands is looked up once, and again after any error."""

    def __init__(self, bus: Bus, config: MeterConfig, quantities: Collection[Quantity] = ACTIVE) -> None:
        self.bus = bus
        self.config = config
        self.quantities = [quantity for quantity in config.map.fields if quantity in quantities]
        self._address: int | None = None

    async def counters(self) -> dict[Quantity, RawCounter]:
        """Raises `MeterError`."""
        meter_map, unit = self.config.map, self.config.unit
        async with self.bus.lock:
            try:
                if self._address is None:
                    self._address = await self._find()
                frames = [
                    (frame, await self.bus.read(unit, self._address + frame.start, len(frame), meter_map.function))
                    for frame in meter_map.frames(self.quantities)
                ]
                return decode(meter_map, registers_of(frames), self.quantities)
            except MeterError:
                self._address = None
                raise

    async def _find(self) -> int:
        """The address from which those of the map are counted."""
        if self.config.map.model is None:
            return 0
        return await sunspec.find_model(self.bus, self.config.unit, self.config.map.model)


class Remote:
    """Counters that a gateway tells."""

    def __init__(self, gateway: Gateway, config: RemoteConfig, quantities: Collection[Quantity]) -> None:
        self.gateway = gateway
        self.config = config
        self.quantities = quantities

    async def counters(self) -> dict[Quantity, RawCounter]:
        """Raises `MeterError`."""
        addresses = {quantity: self.config.counters[quantity] for quantity in self.quantities}
        shown = await self.gateway.counters(set(addresses.values()), self.config.scale)
        return {quantity: shown[address] for quantity, address in addresses.items()}


class Reader:
    """All meters of all points; those on the same line share it. Made inside a running event loop."""

    def __init__(self, points: Iterable[PointConfig]) -> None:
        points = tuple(points)
        self._buses: dict[BusConfig, Bus] = {}
        self._gateways = {config: open_gateway(config, addresses) for config, addresses in _gateways(points).items()}
        self._sources = {(point.id, role): self._source(point, role) for point in points for role in point.meters}

    def _source(self, point: PointConfig, role: Role) -> Source:
        config, quantities = point.meters[role], point.quantities(role)
        if isinstance(config, MeterConfig):
            return Meter(self.bus(config.bus), config, quantities)
        if isinstance(config, PulseConfig):
            return Pulses(self.bus(config.bus), config, quantities)
        return Remote(self._gateways[config.gateway], config, quantities)

    def bus(self, config: BusConfig) -> Bus:
        if config not in self._buses:
            self._buses[config] = Bus(config)
        return self._buses[config]

    async def counters(self, point: bytes, role: Role) -> dict[Quantity, RawCounter]:
        """Raises `MeterError`."""
        return await self._sources[point, role].counters()

    async def close(self) -> None:
        for source in self._sources.values():
            if isinstance(source, Pulses):
                await source.close()
        for bus in self._buses.values():
            bus.close()
        for gateway in self._gateways.values():
            await gateway.close()


def _gateways(points: Iterable[PointConfig]) -> dict[GatewayConfig, set[str]]:
    """The gateways that are needed, and what they will be asked for."""
    found: dict[GatewayConfig, set[str]] = {}
    for point in points:
        for role, meter in point.meters.items():
            if isinstance(meter, RemoteConfig):
                asked = {meter.counters[quantity] for quantity in point.quantities(role)}
                found.setdefault(meter.gateway, set()).update(asked)
    return found
