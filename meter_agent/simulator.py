"""Meters of make-believe households, served over Modbus TCP in the form of any register map.

The profile is a TOML file:

    host = "127.0.0.1"
    port = 5020
    time_zone = "Europe/Berlin"   # where the sun and the people are

    [[households]]
    point = "<64 hex>"
    seed = 1
    annual_kwh = 3500
    kwp = 8.5
    generation_unit = 2           # left out with kwp = 0
    grid_unit = 1
    grid_map = "em340"            # which meter it is; without it a SunSpec one ("sunspec203")
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from evidence.keys import Signer
from meter_agent.buses import BusConfig
from meter_agent.config import Config
from meter_agent.daemon import Agent
from meter_agent.household import Household
from meter_agent.images import Image
from meter_agent.journal import Journal
from meter_agent.maps import MAPS
from meter_agent.meters import AnyMeter, MeterConfig, one_of
from meter_agent.registers import MeterMap, Quantity
from meter_agent.slots import slots_of_day
from meter_agent.tables import ConfigError, Table, bytes32, integer, number, read_toml, text, zone
from meter_agent.terms import Role

DEFAULT_MAP = MAPS["sunspec203"]


@dataclass(frozen=True, slots=True)
class HouseholdProfile:
    point: bytes
    seed: int
    annual_kwh: float
    kwp: float
    units: dict[Role, int]
    maps: Mapping[Role, MeterMap] = field(default_factory=dict)

    def map_of(self, role: Role) -> MeterMap:
        return self.maps.get(role, DEFAULT_MAP)


@dataclass(frozen=True, slots=True)
class Profile:
    host: str
    port: int
    time_zone: ZoneInfo
    households: tuple[HouseholdProfile, ...]


def read_profile(path: Path) -> Profile:
    """Raises `ConfigError`."""
    table = read_toml(path)
    profile = Profile(
        host=table.take("host", text, "127.0.0.1"),
        port=table.take("port", integer(0, 65535), 5020),
        time_zone=table.take("time_zone", zone, ZoneInfo("Europe/Berlin")),
        households=tuple(_household(household) for household in table.tables("households")),
    )
    table.finish()
    units = [unit for household in profile.households for unit in household.units.values()]
    if len(set(units)) != len(units):
        raise ConfigError("households: each unit must be given once")
    return profile


def _household(table: Table) -> HouseholdProfile:
    household = HouseholdProfile(
        point=table.take("point", bytes32),
        seed=table.take("seed", integer(0, 2**63 - 1)),
        annual_kwh=table.take("annual_kwh", number(0, 1_000_000)),
        kwp=table.take("kwp", number(0, 100_000), 0.0),
        units={role: table.take(f"{role}_unit", integer(1, 247)) for role in Role if f"{role}_unit" in table},
        maps={role: table.take(f"{role}_map", one_of(MAPS)) for role in Role if f"{role}_map" in table},
    )
    if not household.units:
        raise ConfigError(f"{table.key('grid_unit')}: is missing")
    table.finish()
    return household


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Simulation:
    """All meters of the households behind one Modbus TCP server, which lives as long as the `async with` block."""

    def __init__(
        self, profile: Profile, clock: Callable[[], float] = time.time, host: str | None = None, port: int | None = None
    ) -> None:
        self.clock = clock
        self.host = profile.host if host is None else host
        self.port = profile.port if port is None else port
        self._devices = [device for household in profile.households for device in self._meters(household, profile)]
        self._server: ModbusTcpServer | None = None

    async def __aenter__(self) -> Self:
        """Listen; `port` then is the real one. Raises OSError when the address is taken."""
        self._server = ModbusTcpServer(self._devices, address=(self.host, self.port))
        try:
            await self._server.serve_forever(background=True)
        except RuntimeError:
            raise OSError(f"cannot listen on {self.host}:{self.port}") from None
        listener: Any = self._server.transport
        self.port = listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]

    def _meters(self, household: HouseholdProfile, profile: Profile) -> Iterable[SimDevice]:
        house = Household(household.seed, household.annual_kwh, household.kwp, profile.time_zone)
        for role, unit in household.units.items():
            image = Image(household.map_of(role), f"{role} meter")
            yield SimDevice(
                id=unit,
                simdata=[SimData(image.start, values=image.words, datatype=DataType.REGISTERS, readonly=True)],
                action=self._action(house, role, image),
            )

    def _action(self, house: Household, role: Role, image: Image) -> Callable[..., Any]:
        async def refresh(
            function: int, start: int, address: int, count: int, registers: list[int], values: object
        ) -> ExcCodes | None:
            if function != image.map.function:
                return ExcCodes.ILLEGAL_FUNCTION
            for at, words in image.counters(counters(house, role, self.clock())):
                registers[at - start : at - start + len(words)] = words
            return None

        return refresh


def counters(house: Household, role: Role, instant: float) -> dict[Quantity, int]:
    """What the household's meter of that role has counted, in mWh and mvarh."""
    energies = house.energies(instant)
    if role is Role.GENERATION:
        return {Quantity.EXPORT: energies.generated}
    return {
        Quantity.EXPORT: energies.exported,
        Quantity.IMPORT: energies.imported,
        Quantity.REACTIVE_1: energies.imported // 5,
        Quantity.REACTIVE_2: energies.exported // 50,
        Quantity.REACTIVE_3: energies.exported // 10,
        Quantity.REACTIVE_4: energies.imported // 20,
    }


def at_simulator(config: Config, profile: Profile, port: int) -> Config:
    """The configuration with all its meters found at the simulator. Raises `ConfigError` when it lacks one."""
    households = {household.point: household for household in profile.households}

    def moved(name: str, meter: AnyMeter, household: HouseholdProfile | None, role: Role) -> MeterConfig:
        if not isinstance(meter, MeterConfig):
            raise ConfigError(f"{name}: is not on a bus, so it cannot be simulated")
        if household is None or household.units.get(role) != meter.unit:
            raise ConfigError(f"{name}: the profile has no such meter with unit {meter.unit}")
        if meter.map != household.map_of(role):
            raise ConfigError(f"{name}: the profile has a {household.map_of(role).name} there")
        return replace(meter, bus=BusConfig("127.0.0.1", port))

    points = []
    for index, point in enumerate(config.points):
        household = households.get(point.id)
        meters = {role: moved(f"points[{index}].{role}", each, household, role) for role, each in point.meters.items()}
        points.append(replace(point, meters=meters))
    return replace(config, points=tuple(points))


async def simulate_day(
    config: Config, profile: Profile, journal: Journal, key: Signer, day: date, *, send: bool
) -> dict[str, Any]:
    """Read a whole local day slot by slot, as `run` does in real time; then send it if asked to."""
    slots = slots_of_day(day, config.time_zone, config.slot_seconds)
    clock = SetClock(slots[0])
    refused = len(journal.status()["refused"])
    async with (
        Simulation(profile, clock, host="127.0.0.1", port=0) as simulation,
        Agent(at_simulator(config, profile, simulation.port), journal, key, clock) as agent,
    ):
        complete = True
        for boundary in (*slots, slots[-1] + config.slot_seconds):
            clock.now = boundary
            complete &= await agent.read_boundary(boundary, patient=False)
        sent = await agent.drain(attempts=5) if send else False
    status = journal.status()
    return {
        "day": day.isoformat(),
        "slots": len(slots),
        "complete": complete,
        "sent": sent,
        "refused": len(status["refused"]) - refused,
        "last_sequence": status["last_sequence"],
        "waiting": status["backlog"]["readings"] + status["backlog"]["readings_in_batches"],
    }


async def serve(profile: Profile) -> None:
    """Serve the meters in real time, for ever."""
    async with Simulation(profile):
        await asyncio.Event().wait()
