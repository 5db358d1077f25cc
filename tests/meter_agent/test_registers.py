"""Frames written by hand from the SunSpec model 203, so that the map is not checked against itself."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from meter_agent.buses import Bus, BusConfig
from meter_agent.maps import MAPS
from meter_agent.reader import Meter
from meter_agent.registers import ACTIVE, MeterError, Quantity, RawCounter, decode
from tests.meter_agent.support import meter

# Registers 0 to 54 of a model 203, four words (sixteen digits) after another.
MODEL_203 = bytes.fromhex(
    "00CB 0069 04B0 0190"  # 0: id 203, length 105, A, AphA
    "0190 0190 FFFE 5A3C"  # 4: AphB, AphC, A_SF, PhV
    "5A3C 5A3C 5A3C 9C40"  # 8: PhVphA, PhVphB, PhVphC, PPV
    "9C40 9C40 9C40 FFFE"  # 12: PPVphAB, PPVphBC, PPVphCA, V_SF
    "1388 FFFE 0A28 0364"  # 16: Hz, Hz_SF, W, WphA
    "0364 0364 0000 0A28"  # 20: WphB, WphC, W_SF, VA
    "0364 0364 0364 0000"  # 24: VAphA, VAphB, VAphC, VA_SF
    "0000 0000 0000 0000"  # 28: VAR, VARphA, VARphB, VARphC
    "0000 03E8 03E8 03E8"  # 32: VAR_SF, PF, PFphA, PFphB
    "03E8 FFFD 0001 E240"  # 36: PFphC, PF_SF, TotWhExp = 123456
    "0000 0000 0000 0000"  # 40: TotWhExpPhA, TotWhExpPhB
    "0000 0000 00BC 614E"  # 44: TotWhExpPhC, TotWhImp = 12345678
    "0000 0000 0000 0000"  # 48: TotWhImpPhA, TotWhImpPhB
    "0000 0000 FFFE"  # 52: TotWhImpPhC, TotWh_SF = -2
)
MAP = MAPS["sunspec203"]


def registers(change: dict[int, int] | None = None) -> list[int]:
    words = list(struct.unpack(">55H", MODEL_203))
    for offset, word in (change or {}).items():
        words[offset] = word
    return words


def decoded(change: dict[int, int] | None = None) -> dict[Quantity, RawCounter]:
    return decode(MAP, dict(enumerate(registers(change))), ACTIVE)


def test_counters_are_decoded_high_word_first() -> None:
    assert decoded() == {
        Quantity.EXPORT: RawCounter(123456, -2),
        Quantity.IMPORT: RawCounter(12345678, -2),
    }


def test_a_frame_with_swapped_words_decodes_to_something_else() -> None:
    assert decoded({38: 0xE240, 39: 0x0001})[Quantity.EXPORT].raw == 0xE2400001


def test_the_largest_counter_and_positive_scales_are_decoded() -> None:
    assert decoded({38: 0xFFFF, 39: 0xFFFF, 54: 3})[Quantity.EXPORT] == RawCounter(4294967295, 3)


def test_one_request_holds_all_that_is_needed() -> None:
    assert MAP.frames(ACTIVE) == [range(55)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({54: 0x8000}, "scale factor at offset 54 is not implemented"),
        ({54: 11}, "scale factor at offset 54 is 11"),
        ({0: 103}, "found model 103 where model 203 was"),
        ({1: 40}, "length of 40"),
    ],
)
def test_what_is_not_a_reading_is_refused(change: dict[int, int], message: str) -> None:
    with pytest.raises(MeterError, match=message):
        decoded(change)


# From here on whole Modbus TCP frames: transaction id, protocol 0, length, unit, function, data.
Answer = Callable[[bytes], bytes | None]


@asynccontextmanager
async def device(answers: dict[str, str]) -> AsyncIterator[Meter]:
    """A device that knows some requests (unit and PDU in hex) by heart and answers all others with exception 2."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while header := await reader.read(6):
            request = await reader.readexactly(int.from_bytes(header[4:6], "big"))
            reply = bytes.fromhex(answers.get(request.hex(" "), f"{request[0]:02x} 83 02"))
            writer.write(header[:4] + len(reply).to_bytes(2, "big") + reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    bus = Bus(BusConfig("127.0.0.1", server.sockets[0].getsockname()[1], answer_seconds=0.3))
    try:
        yield Meter(bus, meter(7))
    finally:
        bus.close()
        server.close()
        await asyncio.sleep(0.02)


READ_203 = {"07 03 9c 86 00 37": "07 03 6e" + MODEL_203.hex()}
CHAIN = {
    "07 03 9c 40 00 02": "07 03 04 53 75 6e 53",  # 40000: "SunS"
    "07 03 9c 42 00 02": "07 03 04 00 01 00 42",  # 40002: model 1 with 66 registers
    "07 03 9c 86 00 02": "07 03 04 00 cb 00 69",  # 40070: model 203 with 105 registers
}


def with_device(answers: dict[str, str], use: Callable[[Meter], Awaitable[None]]) -> None:
    async def run() -> None:
        async with device(answers) as found:
            await use(found)

    asyncio.run(run())


def test_the_model_is_found_along_the_chain() -> None:
    async def read(meter: Meter) -> None:
        assert (await meter.counters())[Quantity.IMPORT] == RawCounter(12345678, -2)

    with_device(CHAIN | READ_203, read)


def test_a_device_without_the_model_is_named() -> None:
    end = {"07 03 9c 86 00 02": "07 03 04 ff ff 00 00"}

    async def read(meter: Meter) -> None:
        with pytest.raises(MeterError, match=r"unit 7 at 127\.0\.0\.1:\d+ has no SunSpec model 203"):
            await meter.counters()

    with_device(CHAIN | end, read)


def test_a_device_that_is_not_sunspec_is_named() -> None:
    async def read(meter: Meter) -> None:
        with pytest.raises(MeterError, match="is not a SunSpec device"):
            await meter.counters()

    with_device({}, read)


def test_a_device_that_moved_its_model_is_looked_up_again() -> None:
    answers = CHAIN | READ_203

    async def read(meter: Meter) -> None:
        await meter.counters()
        answers["07 03 9c 86 00 37"] = "07 03 6e" + registers_hex({0: 103})
        with pytest.raises(MeterError, match="found model 103"):
            await meter.counters()
        answers["07 03 9c 86 00 02"] = "07 03 04 00 67 00 32"  # 40070: model 103 with 50 registers
        answers["07 03 9c ba 00 02"] = "07 03 04 00 cb 00 69"  # 40122: model 203
        answers["07 03 9c ba 00 37"] = "07 03 6e" + MODEL_203.hex()
        assert (await meter.counters())[Quantity.EXPORT] == RawCounter(123456, -2)

    with_device(answers, read)


def registers_hex(change: dict[int, int]) -> str:
    return struct.pack(">55H", *registers(change)).hex()
