"""The way out of the box: an HTTP client that counts what it costs, and an allowance of bytes for lines that are dear.

What a line costs is estimated from above: the bytes of requests and answers, a share for packets, and what it takes to
open a connection.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

from meter_agent.journal import Journal

TIMEOUT = httpx.Timeout(60, connect=20)
# Opening a connection anew costs more than keeping it, where nobody else needs it.
KEEP_OPEN_SECONDS = 3600
LONGEST_ANSWER = 1 << 20
OPENING_BYTES, OPENING_TLS_BYTES = 200, 6_000
EXCHANGE_BYTES = 600  # a request's and an answer's lines and headers
DAY = 86_400
# A clock that is set, or another allowance, is noticed after so many seconds.
LONGEST_PAUSE = 300


class TooLong(httpx.TransportError):
    """An answer that nobody needs to hear to its end."""


class Allowance:
    """Bytes to spend: a quarter of what a day may cost at once, the rest evenly, so that no 24 hours cost more.

    It is remembered over restarts. Without `per_day` everything is allowed, and nothing is counted.
    """

    def __init__(self, journal: Journal, per_day: int | None, clock: Callable[[], float] = time.time) -> None:
        self.journal = journal
        self.per_day = per_day
        self.clock = clock

    @property
    def most(self) -> int:
        return (self.per_day or 0) // 4

    def left(self) -> int:
        known = self.journal.allowance()
        if known is None:
            return self.most
        left, at = known
        # A clock that was set back must not stop everything; one that was set forward gives a quarter at most.
        passed = min(max(int(self.clock()) - at, 0), DAY)
        return min(self.most, left + passed * self._refill // DAY)

    @property
    def _refill(self) -> int:
        return (self.per_day or 0) - self.most

    def pause_before(self, cost: int) -> float:
        """Seconds until `cost` may be spent. More than can be saved up is allowed once all is there."""
        if self.per_day is None:
            return 0
        lacking = min(cost, self.most) - self.left()
        return 0 if lacking <= 0 else lacking * DAY / self._refill + 1

    async def afford(self, body: int, url: str) -> None:
        """Wait until so many bytes may be sent there."""
        while (seconds := self.pause_before(cost_of_exchange(body, url))) > 0:
            await asyncio.sleep(min(seconds, LONGEST_PAUSE))

    def spend(self, cost: int) -> None:
        if self.per_day is not None:
            self.journal.set_allowance(self.left() - cost, int(self.clock()))


def cost_of_exchange(body: int, url: str) -> int:
    """What sending so many bytes will cost at most, about, when the connection has to be opened first."""
    opening = OPENING_BYTES + (OPENING_TLS_BYTES if url.startswith("https:") else 0)
    return on_the_line(body + 2 * EXCHANGE_BYTES) + opening


def on_the_line(content: int) -> int:
    """With the packets that carry it, and their acknowledgements."""
    return content * 108 // 100 + 120


class CountingTransport(httpx.AsyncBaseTransport):
    """Spends an allowance. Answers longer than a megabyte are given up."""

    def __init__(self, allowance: Allowance, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self.allowance = allowance
        limits = httpx.Limits(max_connections=4, keepalive_expiry=KEEP_OPEN_SECONDS)
        self.inner = inner or httpx.AsyncHTTPTransport(limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        head = len(request.method) + len(request.url.raw_path) + _size(request.headers)
        cost = on_the_line(head + int(request.headers.get("Content-Length", "0")))
        request.extensions["trace"] = self._trace
        # Spent before it is sent: what breaks off has been on the line all the same.
        self.allowance.spend(cost)
        response = await self.inner.handle_async_request(request)
        content = bytearray()
        try:
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > LONGEST_ANSWER:
                    raise TooLong(f"the answer is longer than {LONGEST_ANSWER} bytes")
        finally:
            self.allowance.spend(on_the_line(_size(response.headers) + len(content)))
            await response.aclose()
        return httpx.Response(
            response.status_code, headers=response.headers, content=bytes(content), extensions=response.extensions
        )

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self.allowance.spend(OPENING_BYTES)
        elif event == "connection.start_tls.complete":
            self.allowance.spend(OPENING_TLS_BYTES)

    async def aclose(self) -> None:
        await self.inner.aclose()


def _size(headers: httpx.Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.raw)


def open_client(allowance: Allowance) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=CountingTransport(allowance), timeout=TIMEOUT, headers={"User-Agent": "meter-agent"}
    )
