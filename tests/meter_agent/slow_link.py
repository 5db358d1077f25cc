"""A line like GPRS, as a proxy in user space: so many bits per second, a delay, and now and then nothing at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

PIECE = 120  # bytes at a time: a tenth of a second at 9.6 kbit/s


@dataclass
class Line:
    """`stalls_every`: after so many bytes in one direction the line stands still for `stall` seconds. `speedup` makes
    all of it faster, for tests.

    `carried` counts all bytes that went in, both ways, whether they arrived or not.
    """

    port: int
    bits_per_second: int = 9_600
    delay: float = 2.0
    stalls_every: int = 0
    stall: float = 0.0
    speedup: float = 1.0
    carried: int = 0
    connections: int = 0
    address: str = ""

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        until_stall = self.stalls_every
        try:
            while piece := await reader.read(PIECE):
                self.carried += len(piece)
                await asyncio.sleep(len(piece) * 8 / self.bits_per_second / self.speedup)
                until_stall -= len(piece)
                if self.stalls_every and until_stall <= 0:
                    until_stall = self.stalls_every
                    await asyncio.sleep(self.stall / self.speedup)
                writer.write(piece)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await asyncio.sleep(self.delay / self.speedup)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))


@asynccontextmanager
async def slow_line(line: Line) -> AsyncIterator[Line]:
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield line
