"""The lines that meters hang on, in the settings and in operation: Modbus TCP, serial RTU, RTU over TCP.

[[buses]]
name = "roof"
device = "/dev/ttyUSB0"           # a serial line
baud = 9600
parity = "N"                      # N, E or O
stop_bits = 1

[[buses]]
name = "hall"
host = "192.0.2.7"
port = 502
framer = "rtu"                    # RTU frames over TCP, as simple gateways want them; without it Modbus TCP
answer_seconds = 2                # how long an answer may take
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from meter_agent.registers import MeterError
from meter_agent.tables import ConfigError, Table, integer, number, text

ANSWER_SECONDS = 2.0
DEFAULT_PORT = 502
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
PARITIES = ("N", "E", "O")
HOLDING, INPUT = 3, 4


class Framer(StrEnum):
    TCP = "tcp"
    RTU = "rtu"


@dataclass(frozen=True, slots=True)
class BusConfig:
    """A line: either `host` and `port`, or a serial `device` with its `baud`, `parity` and `stop_bits`."""

    host: str = ""
    port: int = DEFAULT_PORT
    device: str = ""
    baud: int = 9600
    parity: str = "N"
    stop_bits: int = 1
    framer: Framer = Framer.TCP
    answer_seconds: float = ANSWER_SECONDS

    @property
    def name(self) -> str:
        return self.device or f"{self.host}:{self.port}"


def read_buses(table: Table) -> dict[str, BusConfig]:
    """The buses of the settings by name; none when there is no [[buses]]. Raises `ConfigError`."""
    buses: dict[str, BusConfig] = {}
    lines: set[str] = set()
    for part in table.tables("buses") if "buses" in table else []:
        name = part.take("name", text)
        bus = _bus(part)
        if name in buses or bus.name in lines:
            raise ConfigError(f"{part.key('name')}: {name} or its line is given twice")
        buses[name] = bus
        lines.add(bus.name)
    return buses


def _bus(table: Table) -> BusConfig:
    answer_seconds = table.take("answer_seconds", number(0.1, 20), ANSWER_SECONDS)
    if ("device" in table) == ("host" in table):
        raise ConfigError(f"{table.key('device')}: either it or host must be given")
    if "device" in table:
        bus = BusConfig(
            device=table.take("device", text),
            baud=table.take("baud", baud, 9600),
            parity=table.take("parity", parity, "N"),
            stop_bits=table.take("stop_bits", integer(1, 2), 1),
            framer=Framer.RTU,
            answer_seconds=answer_seconds,
        )
    else:
        bus = BusConfig(
            host=table.take("host", text),
            port=table.take("port", integer(1, 65535), DEFAULT_PORT),
            framer=table.take("framer", framer, Framer.TCP),
            answer_seconds=answer_seconds,
        )
    table.finish()
    return bus


def baud(value: object) -> int:
    if value not in BAUDS:
        raise ValueError(f"must be one of {', '.join(map(str, BAUDS))}")
    return int(str(value))


def parity(value: object) -> str:
    if value not in PARITIES:
        raise ValueError(f"must be one of {', '.join(PARITIES)}")
    return str(value)


def framer(value: object) -> Framer:
    if value not in list(Framer):
        raise ValueError(f"must be one of {', '.join(Framer)}")
    return Framer(str(value))


class NoAnswer(MeterError):
    """Nothing came that could be an answer."""


class ExceptionReply(MeterError):
    """The meter answers that it cannot give these registers."""


Request = Callable[[], Awaitable[ModbusPDU]]


class Bus:
    """A line which several meters may share. One request at a time: whoever asks holds `lock`."""

    def __init__(self, config: BusConfig) -> None:
        self.name = config.name
        self.lock = asyncio.Lock()
        # Frames without transaction ids cannot tell a late answer from the one that is waited for.
        self._quiet_seconds = config.answer_seconds if config.framer is Framer.RTU else 0.0
        self._may_be_late = False
        self._client = open_client(config)

    async def read(self, unit: int, address: int, count: int, function: int = HOLDING) -> list[int]:
        """Registers of one unit. Raises `MeterError`."""
        ask = self._client.read_input_registers if function == INPUT else self._client.read_holding_registers
        answer = await self._ask(unit, address, lambda: ask(address, count=count, device_id=unit))
        if len(answer.registers) != count:
            raise MeterError(f"unit {unit} at {self.name} gave {len(answer.registers)} registers instead of {count}")
        return list(answer.registers)

    async def read_inputs(self, unit: int, address: int, count: int) -> list[bool]:
        """Discrete inputs of one unit. Raises `MeterError`."""
        client = self._client
        answer = await self._ask(
            unit, address, lambda: client.read_discrete_inputs(address, count=count, device_id=unit)
        )
        if len(answer.bits) < count:
            raise MeterError(f"unit {unit} at {self.name} gave {len(answer.bits)} inputs instead of {count}")
        return list(answer.bits[:count])

    async def read_coil(self, unit: int, address: int) -> bool:
        """Raises `MeterError`."""
        client = self._client
        answer = await self._ask(unit, address, lambda: client.read_coils(address, count=1, device_id=unit))
        if not answer.bits:
            raise MeterError(f"unit {unit} at {self.name} gave no coil")
        return answer.bits[0]

    async def write_coil(self, unit: int, address: int, on: bool) -> None:
        """Raises `MeterError`."""
        client = self._client
        await self._ask(unit, address, lambda: client.write_coil(address, on, device_id=unit))

    async def write_registers(self, unit: int, address: int, values: list[int]) -> None:
        """Holding registers of one unit. Raises `MeterError`."""
        client = self._client
        await self._ask(unit, address, lambda: client.write_registers(address, values, device_id=unit))

    async def _ask(self, unit: int, address: int, request: Request) -> ModbusPDU:
        try:
            await self._connect()
            answer = await request()
        except (ModbusException, OSError) as error:
            # A late answer must not be taken for the answer to the next request.
            self.close()
            self._may_be_late = True
            raise NoAnswer(f"unit {unit} at {self.name} does not answer ({error})") from None
        except asyncio.CancelledError:
            self.close()
            self._may_be_late = True
            raise
        if answer.isError():
            code = getattr(answer, "exception_code", None)
            raise ExceptionReply(f"unit {unit} at {self.name} answers register {address} with exception {code}")
        return answer

    async def _connect(self) -> None:
        if not self._client.connected and not await self._client.connect():
            raise MeterError(f"{self.name} accepts no connection")
        if self._may_be_late and self._quiet_seconds:
            # What arrives in this time answers nothing and is thrown away by the client.
            await asyncio.sleep(self._quiet_seconds)
        self._may_be_late = False

    def close(self) -> None:
        self._client.close()


def open_client(config: BusConfig) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
    # Reconnecting is left to the next request: a task that does it by itself would outlive the bus.
    if config.device:
        return AsyncModbusSerialClient(
            config.device,
            framer=FramerType.RTU,
            baudrate=config.baud,
            parity=config.parity,
            stopbits=config.stop_bits,
            timeout=config.answer_seconds,
            retries=0,
            reconnect_delay=0,
            name=config.name,
        )
    is_rtu = config.framer is Framer.RTU
    return AsyncModbusTcpClient(
        config.host,
        framer=FramerType.RTU if is_rtu else FramerType.SOCKET,
        port=config.port,
        timeout=config.answer_seconds,
        retries=0 if is_rtu else 1,
        reconnect_delay=0,
        name=config.name,
    )
