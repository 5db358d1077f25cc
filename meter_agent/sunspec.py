"""How a SunSpec device is found and what it consists of: models one after another from a marker on."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from meter_agent.buses import Bus, ExceptionReply
from meter_agent.registers import MeterError

MARKER = [0x5375, 0x6E53]  # "SunS"
BASES = (40000, 50000, 0)
END = 0xFFFF
LAST_REGISTER = 0xFFFF
COMMON = 1


@dataclass(frozen=True, slots=True)
class Model:
    """A model on a device; `address` is that of its id."""

    id: int
    address: int
    length: int


async def find_base(bus: Bus, unit: int) -> int:
    """Raises `MeterError`."""
    for base in BASES:
        try:
            if await bus.read(unit, base, len(MARKER)) == MARKER:
                return base
        except ExceptionReply:
            continue
    raise MeterError(f"unit {unit} at {bus.name} is not a SunSpec device")


async def models(bus: Bus, unit: int) -> AsyncIterator[Model]:
    """The models of a device in their order. Raises `MeterError`."""
    address = await find_base(bus, unit) + len(MARKER)
    while address < LAST_REGISTER:
        model, length = await bus.read(unit, address, 2)
        if model == END:
            return
        yield Model(model, address, length)
        address += 2 + length


async def find_model(bus: Bus, unit: int, wanted: int) -> int:
    """The address of the first model of that kind. Raises `MeterError`."""
    async for model in models(bus, unit):
        if model.id == wanted:
            return model.address
    raise MeterError(f"unit {unit} at {bus.name} has no SunSpec model {wanted}")
