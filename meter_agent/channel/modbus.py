"""What is steered over Modbus: registers that take a power, coils that switch something."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from meter_agent.buses import Bus, BusConfig
from meter_agent.registers import MeterError


class Actuator(Protocol):
    """A plant that can be told its power. Positive: it takes from the grid. Raises `MeterError`."""

    async def set_power(self, watts: int) -> None: ...

    async def power(self) -> int | None:
        """What it measures, None where it measures nothing."""


class Switch(Protocol):
    """Raises `MeterError`."""

    async def set(self, on: bool) -> None: ...

    async def state(self) -> bool: ...


class Number(StrEnum):
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"

    @property
    def words(self) -> int:
        return 2 if self in (Number.INT32, Number.UINT32) else 1

    @property
    def is_signed(self) -> bool:
        return self in (Number.INT16, Number.INT32)


@dataclass(frozen=True, slots=True)
class Place:
    bus: BusConfig
    unit: int


@dataclass(frozen=True, slots=True)
class PowerRegister:
    """Counts of `watts` each, in `number.words` registers from `address` on, the high word first unless `low_first`."""

    address: int
    number: Number
    watts: int = 1
    low_first: bool = False

    def encode(self, watts: int) -> list[int]:
        """Toward zero where a count is more than a watt. Raises `MeterError` where it does not fit."""
        count = abs(watts) // self.watts * (1 if watts >= 0 else -1)
        try:
            content = count.to_bytes(2 * self.number.words, "big", signed=self.number.is_signed)
        except OverflowError:
            raise MeterError(f"{watts} W does not fit {self.number} of {self.watts} W") from None
        words = [int.from_bytes(content[i : i + 2], "big") for i in range(0, len(content), 2)]
        return words[::-1] if self.low_first else words

    def decode(self, words: list[int]) -> int:
        ordered = words[::-1] if self.low_first else words
        content = b"".join(word.to_bytes(2, "big") for word in ordered)
        return int.from_bytes(content, "big", signed=self.number.is_signed) * self.watts


class ModbusActuator:
    def __init__(self, bus: Bus, unit: int, target: PowerRegister, feedback: PowerRegister | None) -> None:
        self.bus = bus
        self.unit = unit
        self.target = target
        self.feedback = feedback

    async def set_power(self, watts: int) -> None:
        words = self.target.encode(watts)
        async with self.bus.lock:
            await self.bus.write_registers(self.unit, self.target.address, words)

    async def power(self) -> int | None:
        if self.feedback is None:
            return None
        async with self.bus.lock:
            words = await self.bus.read(self.unit, self.feedback.address, self.feedback.number.words)
        return self.feedback.decode(words)


class ModbusSwitch:
    def __init__(self, bus: Bus, unit: int, coil: int) -> None:
        self.bus = bus
        self.unit = unit
        self.coil = coil

    async def set(self, on: bool) -> None:
        async with self.bus.lock:
            await self.bus.write_coil(self.unit, self.coil, on)

    async def state(self) -> bool:
        async with self.bus.lock:
            return await self.bus.read_coil(self.unit, self.coil)
