"""Reads the counters of meters over Modbus TCP."""

import asyncio
from collections.abc import Iterable

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from meter_agent.config import MeterConfig, PointConfig, Role
from meter_agent.registers import (
    SUNSPEC_BASES,
    SUNSPEC_END,
    SUNSPEC_MARKER,
    Direction,
    MeterError,
    RawCounter,
    decode,
)

ANSWER_SECONDS = 2.0
RETRIES = 1
LAST_REGISTER = 0xFFFF


class ExceptionReply(MeterError):
    """The meter answers that it cannot give these registers."""


class Bus:
    """A Modbus TCP connection, which several meters may share. One request at a time."""

    def __init__(self, host: str, port: int, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.name = f"{host}:{port}"
        self.lock = asyncio.Lock()
        # Reconnecting is left to the next request: a task that does it by itself would outlive this object.
        self._client = AsyncModbusTcpClient(
            host, port=port, timeout=answer_seconds, retries=RETRIES, reconnect_delay=0, name=self.name
        )

    async def read(self, unit: int, address: int, count: int) -> list[int]:
        """Holding registers of one unit. Raises `MeterError`."""
        try:
            if not self._client.connected and not await self._client.connect():
                raise MeterError(f"{self.name} accepts no connection")
            answer = await self._client.read_holding_registers(address, count=count, device_id=unit)
        except (ModbusException, OSError) as error:
            # A late answer must not be taken for the answer to the next request.
            self.close()
            raise MeterError(f"unit {unit} at {self.name} does not answer ({error})") from None
        except asyncio.CancelledError:
            self.close()
            raise
        if answer.isError():
            code = getattr(answer, "exception_code", None)
            raise ExceptionReply(f"unit {unit} at {self.name} answers register {address} with exception {code}")
        if len(answer.registers) != count:
            raise MeterError(f"unit {unit} at {self.name} gave {len(answer.registers)} registers instead of {count}")
        return list(answer.registers)

    def close(self) -> None:
        self._client.close()


class Meter:
    """A SunSpec meter. Where its model stands is looked up once, and again after any error."""

    def __init__(self, bus: Bus, config: MeterConfig) -> None:
        self.bus = bus
        self.config = config
        self._address: int | None = None

    async def counters(self) -> dict[Direction, RawCounter]:
        """Raises `MeterError`."""
        async with self.bus.lock:
            try:
                if self._address is None:
                    self._address = await self._find_model()
                words = await self.bus.read(self.config.unit, self._address, self.config.map.words)
                return decode(self.config.map, words)
            except MeterError:
                self._address = None
                raise

    async def _find_model(self) -> int:
        address = await self._find_base() + len(SUNSPEC_MARKER)
        while address < LAST_REGISTER:
            model, length = await self.bus.read(self.config.unit, address, 2)
            if model == self.config.map.model:
                return address
            if model == SUNSPEC_END:
                break
            address += 2 + length
        raise MeterError(f"unit {self.config.unit} at {self.bus.name} has no SunSpec model {self.config.map.model}")

    async def _find_base(self) -> int:
        for base in SUNSPEC_BASES:
            try:
                if await self.bus.read(self.config.unit, base, len(SUNSPEC_MARKER)) == SUNSPEC_MARKER:
                    return base
            except ExceptionReply:
                continue
        raise MeterError(f"unit {self.config.unit} at {self.bus.name} is not a SunSpec device")


class Reader:
    """All meters of all points; those at the same address share a connection."""

    def __init__(self, points: Iterable[PointConfig]) -> None:
        self._buses: dict[tuple[str, int], Bus] = {}
        self._meters = {
            (point.id, role): Meter(self._bus(meter.host, meter.port), meter)
            for point in points
            for role, meter in point.meters.items()
        }

    def _bus(self, host: str, port: int) -> Bus:
        if (host, port) not in self._buses:
            self._buses[host, port] = Bus(host, port)
        return self._buses[host, port]

    async def counters(self, point: bytes, role: Role) -> dict[Direction, RawCounter]:
        """Raises `MeterError`."""
        return await self._meters[point, role].counters()

    def close(self) -> None:
        for bus in self._buses.values():
            bus.close()
