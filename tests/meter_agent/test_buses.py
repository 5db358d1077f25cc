"""Modbus TCP, RTU over TCP and serial RTU, with everything that goes wrong on a line."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from evidence.readings import Register
from meter_agent.buses import Bus, BusConfig, ExceptionReply, Framer, read_buses
from meter_agent.config import PointConfig
from meter_agent.daemon import Agent
from meter_agent.images import Image
from meter_agent.journal import Journal
from meter_agent.maps import MAPS
from meter_agent.meters import MeterConfig
from meter_agent.reader import Meter
from meter_agent.registers import MeterError, Quantity, RawCounter
from meter_agent.simulator import SetClock
from meter_agent.tables import ConfigError, Table
from meter_agent.terms import Role
from tests.meter_agent.frames import Answers, listening, rtu_over_tcp_meter, tcp_meter
from tests.meter_agent.lines import crc16, crossed, framed, serial_meter
from tests.meter_agent.support import HOUSE, KEY, NOON, SECRETS, STEP, kept, make_config

# The example of Circutor's manual: unit 10, function 4, two registers from 0: 212.5 V. It prints 21 as the last byte.
ASKED, ANSWERED = "0a 04 00 00 00 02 70 b0", "0a 04 04 00 00 08 4d 86 b1"


def test_the_manual_and_the_tests_agree_on_the_checksum() -> None:
    for frame in (bytes.fromhex(ASKED), bytes.fromhex(ANSWERED)):
        assert crc16(frame[:-2]) == frame[-2:]


def test_a_serial_line_carries_the_frames_of_the_manual() -> None:
    async def run() -> list[int]:
        with serial_meter({ASKED: ANSWERED}) as device:
            bus = Bus(BusConfig(device=device, framer=Framer.RTU, answer_seconds=0.5))
            try:
                return await bus.read(10, 0, 2, function=4)
            finally:
                bus.close()

    assert asyncio.run(run()) == [0x0000, 0x084D]


def test_rtu_frames_go_over_tcp_too() -> None:
    async def run() -> list[int]:
        async with rtu_over_tcp_meter({ASKED: ANSWERED}) as bus:
            return await bus.read(10, 0, 2, function=4)

    assert asyncio.run(run()) == [0x0000, 0x084D]


@asynccontextmanager
async def serial_server(devices: list[SimDevice]) -> AsyncIterator[str]:
    """pymodbus' own server on a serial line; gives the device at the other end."""
    with crossed() as (near, far):
        server = ModbusSerialServer(devices, port=far, baudrate=9600)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0.05)
        try:
            yield near
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]
            await serving


def simulated(unit: int, name: str, milli: dict[Quantity, int]) -> SimDevice:
    """A meter that always shows the same."""
    image = Image(MAPS[name], "meter")
    words = list(image.words)
    for address, counter in image.counters(milli):
        words[address - image.start : address - image.start + len(counter)] = counter
    return SimDevice(id=unit, simdata=[SimData(image.start, values=words, datatype=DataType.REGISTERS)])


@pytest.mark.parametrize("name", ["em340", "cvm-c11", "sdm630", "umg", "sunspec203", "sunspec701"])
def test_each_family_is_read_from_a_real_server_on_a_serial_line(name: str) -> None:
    milli = {Quantity.IMPORT: 4_096_000_000, Quantity.EXPORT: 512_000_000}

    async def run() -> dict[Quantity, RawCounter]:
        async with serial_server([simulated(3, name, milli)]) as device:
            bus = Bus(BusConfig(device=device, framer=Framer.RTU, answer_seconds=1))
            try:
                return await Meter(bus, MeterConfig(BusConfig(), 3, MAPS[name], 100)).counters()
            finally:
                bus.close()

    shown = {quantity: each.raw * 10 ** (each.scale + 6) for quantity, each in asyncio.run(run()).items()}
    assert shown == {quantity: wh * 1000 for quantity, wh in milli.items()}


def test_two_interfaces_are_read_at_once_one_serial_and_one_tcp(tmp_path: Path, journal: Journal) -> None:
    """An analyser for the plant on a serial line, another for the grid behind a gateway, each of another make."""
    # sdm630 at unit 1: import 0, export 100 kWh, then 102.5 kWh
    asked = framed("01 04 00 48 00 04").hex(" ")
    plant: dict[str, str | bytes | None] = {asked: framed("01 04 08 00 00 00 00 42 c8 00 00")}
    # em340 at unit 2, low word first: import 500.0 kWh, export 20.0 kWh; then 500.3 and 21.1
    grid: dict[str, str | bytes | None] = {
        "02 04 00 34 00 02": "02 04 04 13 88 00 00",
        "02 04 00 4e 00 02": "02 04 04 00 c8 00 00",
    }

    async def run() -> None:
        async with tcp_meter(grid) as gateway:
            with serial_meter(plant) as device:
                line = BusConfig(device=device, framer=Framer.RTU, answer_seconds=0.5)
                host, port = gateway.name.split(":")
                meters = {
                    Role.GENERATION: MeterConfig(line, 1, MAPS["sdm630"], 100),
                    Role.GRID: MeterConfig(BusConfig(host, int(port)), 2, MAPS["em340"], 100),
                }
                clock = SetClock(NOON)
                config = make_config(tmp_path, "http://127.0.0.1:9", PointConfig(HOUSE, SECRETS[HOUSE], meters))
                async with Agent(config, journal, KEY, clock) as agent:
                    assert await agent.read_boundary(NOON, patient=False)
                    plant[asked] = framed("01 04 08 00 00 00 00 42 cd 00 00")
                    grid["02 04 00 34 00 02"] = "02 04 04 13 8b 00 00"
                    grid["02 04 00 4e 00 02"] = "02 04 04 00 d3 00 00"
                    clock.now += STEP
                    assert await agent.read_boundary(NOON + STEP, patient=False)

    asyncio.run(run())
    found = {Register(reading.register): reading.value for reading in kept(journal)}
    assert found == {Register.GENERATION: 2500, Register.CONSUMPTION: 2500 - 1100 + 300}


Use = Callable[[Bus], Awaitable[None]]


def on_a_line(answers: Answers, use: Use) -> None:
    async def run() -> None:
        async with rtu_over_tcp_meter(answers) as bus:
            await use(bus)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (None, "silence"),
        (bytes.fromhex("0a 04 04 00 00 08 4d 86 21"), "a wrong checksum"),
        (framed("0b 04 04 00 00 08 4d"), "another unit"),
        (bytes.fromhex("0a 04 04 00"), "half a frame"),
        (b"\xff" * 40, "noise"),
        (b"GET / HTTP/1.1\r\n\r\n", "another protocol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_answer_is_not_taken_for_one(answer: bytes | None, what: str) -> None:
    async def use(bus: Bus) -> None:
        with pytest.raises(MeterError, match=r"unit 10 at 127\.0\.0\.1:\d+ does not answer"):
            await bus.read(10, 0, 2, function=4)

    on_a_line({ASKED: answer}, use)


def test_another_number_of_registers_is_not_an_answer() -> None:
    async def use(bus: Bus) -> None:
        with pytest.raises(MeterError, match="gave 1 registers instead of 2"):
            await bus.read(10, 0, 2, function=4)

    on_a_line({ASKED: framed("0a 04 02 08 4d")}, use)


def test_an_exception_reply_is_named_by_its_code() -> None:
    async def use(bus: Bus) -> None:
        with pytest.raises(ExceptionReply, match="answers register 0 with exception 11"):
            await bus.read(10, 0, 2, function=4)

    on_a_line({ASKED: framed("0a 84 0b")}, use)


def test_a_line_works_again_after_noise() -> None:
    answers: dict[str, str | bytes | None] = {ASKED: b"\xff" * 40}

    async def use(bus: Bus) -> None:
        with pytest.raises(MeterError):
            await bus.read(10, 0, 2, function=4)
        answers[ASKED] = ANSWERED
        assert await bus.read(10, 0, 2, function=4) == [0, 0x084D]

    on_a_line(answers, use)


def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    """A gateway hands it on when the next question is open already: RTU frames do not say to what they answer."""
    other = framed("0a 04 00 10 00 02").hex(" ")
    late = bytes.fromhex(ANSWERED)

    async def run() -> None:
        waiting: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for answer in waiting:  # from before the box hung up
                await asyncio.sleep(0.05)
                writer.write(answer)
            while request := await reader.read(8):
                if request.hex(" ") == ASKED:
                    waiting.append(late)
                if request.hex(" ") == other:
                    writer.write(framed("0a 04 04 00 00 00 07"))

        async with listening(serve) as port:
            bus = Bus(BusConfig("127.0.0.1", port, framer=Framer.RTU, answer_seconds=0.2))
            with pytest.raises(MeterError, match="does not answer"):
                await bus.read(10, 0, 2, function=4)
            assert await bus.read(10, 0x10, 2, function=4) == [0, 7]
            bus.close()

    asyncio.run(run())


def test_an_answer_to_another_transaction_is_not_taken() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while header := await reader.read(6):
            await reader.readexactly(int.from_bytes(header[4:6], "big"))
            other = (int.from_bytes(header[:2], "big") + 7).to_bytes(2, "big")
            writer.write(other + bytes.fromhex("00 00 00 07 0a 04 04 00 00 08 4d"))

    async def run() -> None:
        async with listening(serve) as port:
            bus = Bus(BusConfig("127.0.0.1", port, answer_seconds=0.1))
            with pytest.raises(MeterError, match="does not answer"):
                await bus.read(10, 0, 2, function=4)
            bus.close()

    asyncio.run(run())


def test_a_silent_unit_costs_one_answer_time_on_a_line() -> None:
    async def use(bus: Bus) -> None:
        begun = time.monotonic()
        with pytest.raises(MeterError):
            await bus.read(9, 0, 2)
        assert 0.25 < time.monotonic() - begun < 10

    on_a_line({}, use)


def test_a_line_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def run() -> None:
        bus = Bus(BusConfig(device=str(tmp_path / "ttyUSB0"), framer=Framer.RTU, answer_seconds=0.1))
        with pytest.raises(MeterError, match="ttyUSB0 accepts no connection"):
            await bus.read(1, 0, 2)
        bus.close()

    asyncio.run(run())


def test_discrete_inputs_are_read() -> None:
    async def run() -> list[bool]:
        # function 2, three inputs from 0x0010: 0b101
        async with tcp_meter({"05 02 00 10 00 03": "05 02 01 05"}) as bus:
            return await bus.read_inputs(5, 0x10, 3)

    assert asyncio.run(run()) == [True, False, True]


def test_buses_are_read_from_the_settings() -> None:
    roof = {"name": "roof", "device": "/dev/ttyUSB0", "baud": 19200, "parity": "E"}
    hall = {"name": "hall", "host": "192.0.2.7", "framer": "rtu", "answer_seconds": 5}
    assert read_buses(Table({"buses": [roof, hall]}, "")) == {
        "roof": BusConfig(device="/dev/ttyUSB0", baud=19200, parity="E", framer=Framer.RTU),
        "hall": BusConfig("192.0.2.7", 502, framer=Framer.RTU, answer_seconds=5),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": None}, r"buses\[0\]\.device: either it or host must be given"),
        ({"host": "192.0.2.7"}, r"buses\[0\]\.device: either it or host must be given"),
        ({"baud": 9601}, r"buses\[0\]\.baud: must be one of 1200"),
        ({"parity": "M"}, r"buses\[0\]\.parity: must be one of N, E, O"),
        ({"stop_bits": 3}, r"buses\[0\]\.stop_bits: must be a whole number from 1 to 2"),
        ({"framer": "rtu"}, r"buses\[0\]\.framer: is not a setting"),
        ({"name": None}, r"buses\[0\]\.name: is missing"),
    ],
)
def test_a_wrong_setting_of_a_bus_is_named(change: dict[str, object], message: str) -> None:
    bus = {"name": "roof", "device": "/dev/ttyUSB0"} | change
    given = {key: value for key, value in bus.items() if value is not None}
    with pytest.raises(ConfigError, match=message):
        read_buses(Table({"buses": [given]}, ""))


def test_a_line_belongs_to_one_bus() -> None:
    both = [{"name": name, "device": "/dev/ttyUSB0"} for name in ("roof", "hall")]
    with pytest.raises(ConfigError, match=r"buses\[1\]\.name: hall or its line is given twice"):
        read_buses(Table({"buses": both}, ""))
