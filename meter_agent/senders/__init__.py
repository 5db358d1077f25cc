"""Ways to bring a signed command to a ledger. What a way needs is loaded only where a box is told to go it."""

from collections.abc import Callable
from typing import Protocol

import httpx

from ledger_adapters.contract.errors import Code
from meter_agent.destinations import Ledger, Quorum, Relay
from meter_agent.journal import Report
from meter_agent.link import Allowance

# What a sender has to have on the disk before it sends.
WriteDown = Callable[[bytes], None]


class LedgerSender(Protocol):
    async def send(self, report: Report, write_down: WriteDown) -> Code | None:
        """Send a report, or ask for one that was sent before. Returns the ledger's word on it, None where somebody has
        taken it who will know later.

        Raises `Unavailable`: the same report can be sent as often as it takes.
        """

    async def close(self) -> None: ...


def open_sender(destination: Ledger, client: httpx.AsyncClient, allowance: Allowance) -> LedgerSender:
    """Raises `ConfigError`, naming a file that cannot be used."""
    way = destination.way
    if isinstance(way, Relay):
        from meter_agent.senders.relay import RelaySender

        return RelaySender(way, client)
    if isinstance(way, Quorum):
        from meter_agent.senders.quorum import QuorumSender

        return QuorumSender(way, client)
    # gRPC and protobuf take 20 MB, which a box that does not need them should keep.
    from meter_agent.senders.fabric import FabricSender

    return FabricSender(way, allowance)
