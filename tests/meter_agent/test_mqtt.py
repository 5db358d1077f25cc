"""MQTT as a source, with a broker of its own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiomqtt
import pytest
from amqtt.broker import Broker

from meter_agent.gateways.mqtt import MqttGateway, number_in
from meter_agent.meters import BrokerConfig
from meter_agent.registers import MICRO, MeterError, RawCounter

PLAIN, NESTED = "house/bought", "house/meter#energy.sold"


@asynccontextmanager
async def broker(port: int = 0) -> AsyncIterator[int]:
    logging.getLogger("transitions").setLevel(logging.WARNING)
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
    running = Broker({"listeners": listeners, "plugins": plugins})
    await running.start()
    instance = running._servers["default"].instance
    assert instance is not None
    try:
        yield instance.sockets[0].getsockname()[1]
    finally:
        await running.shutdown()


Use = Callable[[MqttGateway, aiomqtt.Client], Awaitable[None]]


def with_broker(use: Use, addresses: tuple[str, ...] = (PLAIN, NESTED), fresh_seconds: float = 30) -> None:
    async def run() -> None:
        async with broker() as port, aiomqtt.Client("127.0.0.1", port) as publisher:
            gateway = MqttGateway(BrokerConfig("street", "127.0.0.1", port, None, None, None), addresses, fresh_seconds)
            try:
                await use(gateway, publisher)
            finally:
                await gateway.close()

    asyncio.run(run())


async def subscribed(gateway: MqttGateway) -> None:
    async with asyncio.timeout(5):
        while gateway._fault != "connected":
            await asyncio.sleep(0.01)


def test_plain_numbers_and_numbers_in_documents_are_read() -> None:
    async def use(gateway: MqttGateway, publisher: aiomqtt.Client) -> None:
        await subscribed(gateway)
        await publisher.publish("house/bought", "12345.6789", qos=1)
        await publisher.publish("house/meter", '{"energy": {"sold": 17}, "power": 3.5}', qos=1)
        assert await gateway.counters([PLAIN, NESTED], 3) == {
            PLAIN: RawCounter(12_345_678_900_000, MICRO, None),
            NESTED: RawCounter(17_000_000_000, MICRO, None),
        }

    with_broker(use)


def test_the_newest_message_counts() -> None:
    async def use(gateway: MqttGateway, publisher: aiomqtt.Client) -> None:
        await subscribed(gateway)
        for number in range(5):
            await publisher.publish("house/bought", str(number), qos=1)
        await asyncio.sleep(0.2)
        assert (await gateway.counters([PLAIN], 0))[PLAIN].raw == 4 * 10**6

    with_broker(use, (PLAIN,))


def test_an_old_message_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_agent.gateways.mqtt.WAIT_SECONDS", 0.1)

    async def use(gateway: MqttGateway, publisher: aiomqtt.Client) -> None:
        await subscribed(gateway)
        await publisher.publish("house/bought", "1", qos=1)
        await asyncio.sleep(0.6)
        with pytest.raises(MeterError, match=r"street brought nothing new on house/bought \(connected\)"):
            await gateway.counters([PLAIN], 0)

    with_broker(use, (PLAIN,), fresh_seconds=0.3)


def test_what_the_broker_kept_from_earlier_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_agent.gateways.mqtt.WAIT_SECONDS", 0.3)

    async def run() -> None:
        async with broker() as port, aiomqtt.Client("127.0.0.1", port) as publisher:
            await publisher.publish("house/bought", "1", qos=1, retain=True)
            gateway = MqttGateway(BrokerConfig("street", "127.0.0.1", port, None, None, None), [PLAIN])
            await subscribed(gateway)
            with pytest.raises(MeterError, match="brought nothing new"):
                await gateway.counters([PLAIN], 0)
            await publisher.publish("house/bought", "2", qos=1, retain=True)
            assert (await gateway.counters([PLAIN], 0))[PLAIN].raw == 2 * 10**6
            await gateway.close()

    asyncio.run(run())


def test_a_broker_that_comes_back_is_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_agent.gateways.mqtt.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("meter_agent.gateways.mqtt.WAIT_SECONDS", 0.3)

    async def run() -> None:
        async with broker() as port:
            pass
        gateway = MqttGateway(BrokerConfig("street", "127.0.0.1", port, None, None, None), [PLAIN])
        with pytest.raises(MeterError, match="no connection"):
            await gateway.counters([PLAIN], 0)
        async with broker(port), aiomqtt.Client("127.0.0.1", port) as publisher:
            await subscribed(gateway)
            await publisher.publish("house/bought", "3", qos=1)
            assert (await gateway.counters([PLAIN], 0))[PLAIN].raw == 3 * 10**6
            await gateway.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (b"", ""),
        (b"on", ""),
        (b"nan", ""),
        (b"inf", ""),
        (b"\xff\xfe", ""),
        (b"1,5", ""),
        (b"{}", "energy"),
        (b'{"energy": true}', "energy"),
        (b'{"energy": "5"}', "energy"),
        (b'{"energy": NaN}', "energy"),
        (b'{"energy": 5}', "energy.sold"),
        (b"[1, 2]", "energy"),
        (b"[" * 100_000, "energy"),
    ],
)
def test_what_is_no_number_is_refused(payload: bytes, path: str) -> None:
    with pytest.raises(MeterError, match="which is no number"):
        number_in(payload, path)
