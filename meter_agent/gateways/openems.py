"""OpenEMS: an edge by its REST interface, or an edge of a backend by JSON-RPC over HTTP.

Both tell what a channel shows now, and null once they have lost what it hangs on. A component in a state of fault is
not believed: its energy channels keep their last value.
"""

import json
from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx

from meter_agent.gateways import document
from meter_agent.meters import OpenemsConfig
from meter_agent.registers import MeterError, RawCounter, fine_counter

ANSWER_SECONDS = 5.0
LARGEST_ANSWER = 100_000
FAULT = 3
# Units of channels and the powers of ten by which they show Wh or varh; Σ marks a channel that sums up.
UNITS = {"Wh": 0, "Wh_Σ": 0, "kWh": 3, "kWh_Σ": 3, "varh": 0, "kvarh": 3}


class OpenemsGateway:
    def __init__(self, config: OpenemsConfig) -> None:
        self.config = config
        self._client = httpx.AsyncClient(
            base_url=config.url,
            auth=(config.user, config.password),
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )

    async def counters(self, addresses: Collection[str], scale: int) -> dict[str, RawCounter]:
        """Raises `MeterError`."""
        states = {f"{address.split('/')[0]}/State" for address in addresses}
        channels = await self._channels(sorted({*addresses, *states}))
        for state in states:
            level, _ = channels[state]
            if level is not None and level >= FAULT:
                raise MeterError(f"{state} at {self.config.name} is a fault")
        return {address: self._counter(address, *channels[address], scale) for address in addresses}

    def _counter(self, address: str, value: Decimal | None, unit: str | None, scale: int) -> RawCounter:
        if value is None:
            raise MeterError(f"{address} at {self.config.name} shows nothing")
        if unit is not None and unit not in UNITS:
            raise MeterError(f"{address} at {self.config.name} is in {unit}, which is no energy")
        return fine_counter(Fraction(value), scale if unit is None else UNITS[unit])

    async def _channels(self, addresses: list[str]) -> dict[str, tuple[Decimal | None, str | None]]:
        """Value and unit by address."""
        if self.config.edge is not None:
            return await self._by_rpc(self.config.edge, addresses)
        answers = {each: await self._ask("GET", f"/rest/channel/{each}") for each in addresses}
        return {each: (self._number(each, answer.get("value")), answer.get("unit")) for each, answer in answers.items()}

    async def _by_rpc(self, edge: str, addresses: list[str]) -> dict[str, tuple[Decimal | None, str | None]]:
        request = {"method": "getEdgesChannelsValues", "params": {"ids": [edge], "channels": addresses}}
        answer = await self._ask("POST", "/jsonrpc", request)
        values = answer.get("result")
        shown = values.get(edge) if isinstance(values, dict) else None
        if not isinstance(shown, dict):
            raise MeterError(f"{self.config.name} knows no edge {edge}: {json.dumps(answer.get('error'))[:200]}")
        return {each: (self._number(each, shown.get(each)), None) for each in addresses}

    def _number(self, address: str, value: object) -> Decimal | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise MeterError(f"{address} at {self.config.name} shows {str(value)[:50]!r}, which is no number")
        return Decimal(value)

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise MeterError(f"{self.config.name} does not answer ({type(error).__name__} {error})") from None
        if answer.status_code != httpx.codes.OK:
            raise MeterError(f"{self.config.name} answers {path} with status {answer.status_code}")
        try:
            content = document(answer.content[:LARGEST_ANSWER])
        except ValueError:
            raise MeterError(f"{self.config.name} answers {path} with something that is not JSON") from None
        if not isinstance(content, dict):
            raise MeterError(f"{self.config.name} answers {path} with something else than one channel")
        return content

    async def close(self) -> None:
        await self._client.aclose()
