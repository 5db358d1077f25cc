"""Other systems that know what meters counted. What one of them needs is loaded only where it is configured."""

import json
from collections.abc import Collection
from decimal import Decimal
from typing import Any, Protocol

from meter_agent.meters import BrokerConfig, GatewayConfig
from meter_agent.registers import RawCounter

# A value stands for the end of a slot when it is no older than this, as a meter may be read that much later.
FRESH_SECONDS = 30
MOST_BRACKETS = 500


class Gateway(Protocol):
    async def counters(self, addresses: Collection[str], scale: int) -> dict[str, RawCounter]:
        """What counters at these addresses show, in 10^`scale` Wh. Raises `MeterError`: none is left out."""

    async def close(self) -> None: ...


def document(content: bytes) -> Any:
    """A JSON document with exact numbers. Raises ValueError, for one that is nested deeper than a stack is high too."""
    if content.count(b"[") + content.count(b"{") > MOST_BRACKETS:
        raise ValueError("too many brackets")
    return json.loads(content, parse_float=Decimal, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def open_gateway(config: GatewayConfig, addresses: Collection[str]) -> Gateway:
    """A gateway that will be asked for `addresses`."""
    if isinstance(config, BrokerConfig):
        from meter_agent.gateways.mqtt import MqttGateway

        return MqttGateway(config, addresses)
    from meter_agent.gateways.openems import OpenemsGateway

    return OpenemsGateway(config)
