"""An MQTT broker on which others publish what meters show.

A message counts from when it arrives: what the broker kept from earlier is not used, and neither is an old one.
"""

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import aiomqtt

from meter_agent.clock import since_boot
from meter_agent.gateways import FRESH_SECONDS, document
from meter_agent.meters import BrokerConfig
from meter_agent.registers import MeterError, RawCounter, fine_counter

RETRY_SECONDS = 5.0
WAIT_SECONDS = 3.0
KEEPALIVE_SECONDS = 60
LARGEST_MESSAGE = 100_000
MOST_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """`at` in seconds since the box was started, those in which it slept included."""

    payload: bytes
    at: float


class MqttGateway:
    """Listens from the start. `addresses` are topics, with a # and a path where messages are JSON documents."""

    def __init__(self, config: BrokerConfig, addresses: Collection[str], fresh_seconds: float = FRESH_SECONDS) -> None:
        self.config = config
        self.fresh_seconds = fresh_seconds
        self.topics = sorted({address.partition("#")[0] for address in addresses})
        self._latest: dict[str, Message] = {}
        self._fault = "not connected yet"
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._listen())

    async def counters(self, addresses: Collection[str], scale: int) -> dict[str, RawCounter]:
        """Raises `MeterError`."""
        topics = {address.partition("#")[0] for address in addresses}
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._news:
                await self._news.wait_for(lambda: all(self._is_fresh(topic) for topic in topics))
        except TimeoutError:
            if self._task.done():
                self._task.result()
            stale = ", ".join(sorted(topic for topic in topics if not self._is_fresh(topic)))
            raise MeterError(f"{self.config.name} brought nothing new on {stale} ({self._fault})") from None
        return {address: self._counter(address, scale) for address in addresses}

    def _is_fresh(self, topic: str) -> bool:
        message = self._latest.get(topic)
        return message is not None and since_boot() - message.at <= self.fresh_seconds

    def _counter(self, address: str, scale: int) -> RawCounter:
        topic, _, path = address.partition("#")
        try:
            return fine_counter(Fraction(number_in(self._latest[topic].payload, path)), scale)
        except MeterError as error:
            raise MeterError(f"{address} at {self.config.name} {error}") from None

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client() as client:
                    for topic in self.topics:
                        await client.subscribe(topic, qos=1)
                    self._fault = "connected"
                    async for message in client.messages:
                        await self._take(message)
            except (aiomqtt.MqttError, OSError) as error:
                self._fault = f"no connection: {error}"
            await asyncio.sleep(RETRY_SECONDS)

    def _client(self) -> aiomqtt.Client:
        config = self.config
        return aiomqtt.Client(
            config.host,
            config.port,
            username=config.user,
            password=config.password,
            tls_context=None if config.ca_file is None else ssl.create_default_context(cafile=str(config.ca_file)),
            keepalive=KEEPALIVE_SECONDS,
            max_queued_incoming_messages=MOST_WAITING,
        )

    async def _take(self, message: aiomqtt.Message) -> None:
        if message.retain or not isinstance(message.payload, bytes) or len(message.payload) > LARGEST_MESSAGE:
            return
        self._latest[message.topic.value] = Message(message.payload, since_boot())
        async with self._news:
            self._news.notify_all()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))


def number_in(payload: bytes, path: str) -> Decimal:
    """The number that a message is, or that stands in it at `path`. Raises `MeterError`."""
    try:
        found: Any = document(payload) if path else Decimal(payload.decode("ascii").strip())
        for key in path.split(".") if path else ():
            found = found[key]
    except (ValueError, InvalidOperation, KeyError, TypeError):
        raise MeterError(f"shows {payload[:50]!r}, which is no number") from None
    if isinstance(found, bool) or not isinstance(found, int | Decimal) or not Decimal(found).is_finite():
        raise MeterError(f"shows {payload[:50]!r}, which is no number")
    return Decimal(found)
