"""Digital inputs, read as discrete inputs over Modbus: alarm contacts whose changes are reported, and S0 pulses.

    [[inputs]]
    name = "door"
    bus = "roof"
    unit = 5
    address = 0
    closed_is_alarm = false           # an open contact is the alarm

Pulses are counted by the box, which has to look often enough to see each of them: one of S0 lasts 30 ms or longer.
Where a module counts them itself, a register map of its own is the better way.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from meter_agent.buses import Bus, BusConfig
from meter_agent.faults import Fault
from meter_agent.meters import PulseConfig, one_of
from meter_agent.registers import MICRO, MeterError, Quantity, RawCounter
from meter_agent.tables import ConfigError, Table, flag, integer, text

LOOK_SECONDS = 0.5
PULSE_SECONDS = 0.01
PULSE_RETRY_SECONDS = 1.0
MICRO_PER_KWH = 10**9


@dataclass(frozen=True, slots=True)
class InputConfig:
    name: str
    bus: BusConfig
    unit: int
    address: int
    closed_is_alarm: bool


@dataclass(frozen=True, slots=True)
class Change:
    """An input as it is from `at` (UTC seconds) on; unknown before the first look and while it cannot be read."""

    name: str
    alarm: bool | None
    at: int


def read_inputs(table: Table, buses: Mapping[str, BusConfig]) -> tuple[InputConfig, ...]:
    """Raises `ConfigError`."""
    inputs: dict[str, InputConfig] = {}
    for part in table.tables("inputs") if "inputs" in table else []:
        found = InputConfig(
            name=part.take("name", text),
            bus=part.take("bus", one_of(buses)),
            unit=part.take("unit", integer(0, 255)),
            address=part.take("address", integer(0, 0xFFFF)),
            closed_is_alarm=part.take("closed_is_alarm", flag, True),
        )
        part.finish()
        if found.name in inputs:
            raise ConfigError(f"{part.key('name')}: {found.name} is given twice")
        inputs[found.name] = found
    return tuple(inputs.values())


class Inputs:
    """Watches the inputs. `state` is what they show now; `report` hears of each change, once."""

    def __init__(
        self,
        configs: Iterable[InputConfig],
        bus_of: Callable[[BusConfig], Bus],
        report: Callable[[Change], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.report = report
        self.clock = clock
        self._watched = [(config, bus_of(config.bus), Fault(f"input {config.name}")) for config in configs]
        self._state: dict[str, Change] = {}

    @property
    def state(self) -> Mapping[str, Change]:
        return self._state

    async def run(self, pause: float = LOOK_SECONDS) -> None:
        while self._watched:
            await self.look()
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Read every input once."""
        for config, bus, fault in self._watched:
            try:
                async with bus.lock:
                    (closed,) = await bus.read_inputs(config.unit, config.address, 1)
            except MeterError as error:
                fault.failed(error)
                self._note(config.name, None)
            else:
                fault.cleared()
                self._note(config.name, closed == config.closed_is_alarm)

    def _note(self, name: str, alarm: bool | None) -> None:
        before = self._state.get(name)
        if before is not None and before.alarm == alarm:
            return
        change = Change(name, alarm, int(self.clock()))
        self._state[name] = change
        self.report(change)


class Pulses:
    """Counts pulses from when it is made. Stop it by `close`.

    What was missed while nobody looked cannot be known, so each count starts at a number that no energy explains: the
    step to it is seen as a counter that started again.
    """

    def __init__(self, bus: Bus, config: PulseConfig, quantities: Collection[Quantity]) -> None:
        self.bus = bus
        self.config = config
        self.quantities = quantities
        self._levels: dict[Quantity, bool] = {}
        self._pulses: dict[Quantity, int] = {}
        self._base = 0
        self._fault: MeterError | None = MeterError(f"unit {config.unit} at {bus.name} was not looked at yet")
        self._task = asyncio.create_task(self._run())

    async def counters(self) -> dict[Quantity, RawCounter]:
        """Raises `MeterError`."""
        if self._task.done():
            self._task.result()
        if self._fault is not None:
            raise MeterError(str(self._fault))
        return {quantity: self._counter(self._pulses[quantity]) for quantity in self.quantities}

    def _counter(self, pulses: int) -> RawCounter:
        return RawCounter(self._base + pulses * MICRO_PER_KWH // self.config.per_kwh, MICRO, None)

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except MeterError as error:
                self._fault = error
                self._levels.clear()
                await asyncio.sleep(PULSE_RETRY_SECONDS)
            else:
                await asyncio.sleep(PULSE_SECONDS)

    async def _look(self) -> None:
        if not self._levels:
            self._base = secrets.randbelow(1 << 62)
            self._pulses = dict.fromkeys(self.quantities, 0)
        for quantity in self.quantities:
            async with self.bus.lock:
                (level,) = await self.bus.read_inputs(self.config.unit, self.config.inputs[quantity], 1)
            self._pulses[quantity] += level and not self._levels.get(quantity, True)
            self._levels[quantity] = level
        self._fault = None

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
