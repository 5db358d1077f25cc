"""What is steered over Modbus TCP: registers that take a power, coils that switch something."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

ANSWER_SECONDS = 2.0
RETRIES = 1


class ActuatorError(Exception):
    """What is steered does not answer, or answers that it cannot."""


class Actuator(Protocol):
    """A plant that can be told its power. Positive: it takes from the grid. Raises `ActuatorError`."""

    async def set_power(self, watts: int) -> None: ...

    async def power(self) -> int | None:
        """What it measures, None where it measures nothing."""


class Switch(Protocol):
    """Raises `ActuatorError`."""

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
    host: str
    port: int
    unit: int


@dataclass(frozen=True, slots=True)
class PowerRegister:
    """Counts of `watts` each, in `number.words` registers from `address` on, the high word first unless `low_first`."""

    address: int
    number: Number
    watts: int = 1
    low_first: bool = False

    def encode(self, watts: int) -> list[int]:
        """Toward zero where a count is more than a watt. Raises `ActuatorError` where it does not fit."""
        count = abs(watts) // self.watts * (1 if watts >= 0 else -1)
        try:
            content = count.to_bytes(2 * self.number.words, "big", signed=self.number.is_signed)
        except OverflowError:
            raise ActuatorError(f"{watts} W does not fit {self.number} of {self.watts} W") from None
        words = [int.from_bytes(content[i : i + 2], "big") for i in range(0, len(content), 2)]
        return words[::-1] if self.low_first else words

    def decode(self, words: list[int]) -> int:
        ordered = words[::-1] if self.low_first else words
        content = b"".join(word.to_bytes(2, "big") for word in ordered)
        return int.from_bytes(content, "big", signed=self.number.is_signed) * self.watts


class Port:
    """A Modbus TCP connection to one unit, opened when it is needed. One request at a time."""

    def __init__(self, place: Place, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.place = place
        self.name = f"unit {place.unit} at {place.host}:{place.port}"
        self._lock = asyncio.Lock()
        self._client = AsyncModbusTcpClient(
            place.host, port=place.port, timeout=answer_seconds, retries=RETRIES, reconnect_delay=0, name=self.name
        )

    async def ask(self, request: str, *arguments: Any, **named: Any) -> Any:
        """The answer to a request of pymodbus's client by its name. Raises `ActuatorError`."""
        async with self._lock:
            try:
                if not self._client.connected and not await self._client.connect():
                    raise ActuatorError(f"{self.name} accepts no connection")
                answer = await getattr(self._client, request)(*arguments, **named, device_id=self.place.unit)
            except (ModbusException, OSError) as error:
                # A late answer must not be taken for the answer to the next request.
                self.close()
                raise ActuatorError(f"{self.name} does not answer ({error})") from None
            except asyncio.CancelledError:
                self.close()
                raise
        if answer.isError():
            raise ActuatorError(f"{self.name} answers with exception {getattr(answer, 'exception_code', None)}")
        return answer

    def close(self) -> None:
        self._client.close()


class ModbusActuator:
    def __init__(self, port: Port, target: PowerRegister, feedback: PowerRegister | None) -> None:
        self.port = port
        self.target = target
        self.feedback = feedback

    async def set_power(self, watts: int) -> None:
        await self.port.ask("write_registers", self.target.address, self.target.encode(watts))

    async def power(self) -> int | None:
        if self.feedback is None:
            return None
        words = self.feedback.number.words
        answer = await self.port.ask("read_holding_registers", self.feedback.address, count=words)
        if len(answer.registers) != words:
            raise ActuatorError(f"{self.port.name} gave {len(answer.registers)} registers instead of {words}")
        return self.feedback.decode(list(answer.registers))


class ModbusSwitch:
    def __init__(self, port: Port, coil: int) -> None:
        self.port = port
        self.coil = coil

    async def set(self, on: bool) -> None:
        await self.port.ask("write_coil", self.coil, on)

    async def state(self) -> bool:
        answer = await self.port.ask("read_coils", self.coil, count=1)
        return bool(answer.bits[0])
