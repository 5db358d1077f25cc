"""Other systems that know what meters counted. What one of them needs is loaded only where it is configured."""

from collections.abc import Collection
from typing import Protocol

from meter_agent.meters import BrokerConfig, GatewayConfig
from meter_agent.registers import RawCounter

# A value stands for the end of a slot when it is no older than this, as a meter may be read that much later.
FRESH_SECONDS = 30


class Gateway(Protocol):
    async def counters(self, addresses: Collection[str], scale: int) -> dict[str, RawCounter]:
        """What counters at these addresses show, in 10^`scale` Wh. Raises `MeterError`: none is left out."""

    async def close(self) -> None: ...


def open_gateway(config: GatewayConfig, addresses: Collection[str]) -> Gateway:
    """A gateway that will be asked for `addresses`."""
    if isinstance(config, BrokerConfig):
        from meter_agent.gateways.mqtt import MqttGateway

        return MqttGateway(config, addresses)
    from meter_agent.gateways.openems import OpenemsGateway

    return OpenemsGateway(config)
