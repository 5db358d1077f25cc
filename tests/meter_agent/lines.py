"""Serial lines without wires: pseudo-terminals, with meters at their other end that know RTU frames by heart."""

import asyncio
import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from tests.meter_agent.frames import Answers, hexed


def crc16(frame: bytes) -> bytes:
    """Modbus' checksum bit by bit, low byte first."""
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def framed(text: str) -> bytes:
    """Unit and PDU, with the checksum behind."""
    return bytes.fromhex(text) + crc16(bytes.fromhex(text))


@contextmanager
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: its end for the meter, and the device that the box opens."""
    meter, box = os.openpty()
    tty.setraw(box)
    os.set_blocking(meter, False)
    try:
        yield meter, os.ttyname(box)
    finally:
        os.close(meter)
        os.close(box)


@contextmanager
def serial_meter(answers: Answers) -> Iterator[str]:
    """The device of a line on which a meter answers whole frames, and keeps silent to all others."""
    loop = asyncio.get_running_loop()
    with terminal() as (meter, device):

        def serve() -> None:
            known = answers.get(os.read(meter, 256).hex(" "))
            if known is not None:
                os.write(meter, hexed(known))

        loop.add_reader(meter, serve)
        try:
            yield device
        finally:
            loop.remove_reader(meter)


@contextmanager
def crossed() -> Iterator[tuple[str, str]]:
    """The two devices of a line: what is written into one can be read from the other."""
    loop = asyncio.get_running_loop()
    with terminal() as (one, first), terminal() as (two, second):
        loop.add_reader(one, lambda: os.write(two, os.read(one, 4096)))
        loop.add_reader(two, lambda: os.write(one, os.read(two, 4096)))
        try:
            yield first, second
        finally:
            loop.remove_reader(one)
            loop.remove_reader(two)
