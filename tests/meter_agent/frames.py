"""A meter that knows some requests by heart, each byte written by hand, over Modbus TCP or RTU."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from meter_agent.buses import Bus, BusConfig, Framer

Answers = Mapping[str, str | bytes | None]


def hexed(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else bytes.fromhex(text)


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A TCP server for as long as the block lasts; gives its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the box hung up
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def tcp_meter(answers: Answers, answer_seconds: float = 0.3) -> AsyncIterator[Bus]:
    """Unit and PDU by request, in hex. Requests it does not know are answered by exception 2, None by silence."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while header := await reader.read(6):
            request = await reader.readexactly(int.from_bytes(header[4:6], "big"))
            known = answers.get(request.hex(" "), bytes([request[0], request[1] | 0x80, 2]))
            if known is not None:
                reply = hexed(known)
                writer.write(header[:4] + len(reply).to_bytes(2, "big") + reply)

    async with listening(serve) as port:
        bus = Bus(BusConfig("127.0.0.1", port, answer_seconds=answer_seconds))
        try:
            yield bus
        finally:
            bus.close()


@asynccontextmanager
async def rtu_over_tcp_meter(answers: Answers, answer_seconds: float = 0.3) -> AsyncIterator[Bus]:
    """Whole RTU frames by request, CRC included. Requests it does not know get no answer, as on a line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(8):
            known = answers.get(request.hex(" "))
            if known is not None:
                writer.write(hexed(known))

    async with listening(serve) as port:
        bus = Bus(BusConfig("127.0.0.1", port, framer=Framer.RTU, answer_seconds=answer_seconds))
        try:
            yield bus
        finally:
            bus.close()
