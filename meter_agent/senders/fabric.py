"""Straight to a peer's gateway on a Fabric channel, with an identity of one's own.

The adapter is the market's; without an operator's key it relays. It blocks, and so has a thread.
"""

import asyncio

from ledger_adapters.contract.errors import Code
from ledger_adapters.exceptions import LedgerError, Misconfigured
from ledger_adapters.fabric.adapter import FabricLedger
from meter_agent.destinations import Fabric
from meter_agent.journal import Report
from meter_agent.link import Allowance, on_the_line
from meter_agent.senders import WriteDown
from meter_agent.tables import ConfigError
from meter_agent.uplink import Unavailable

# gRPC tells nobody what it sends: proposal, endorsements of two organisations, the transaction, the status.
COPIES, MORE_BYTES = 4, 16_000


class FabricSender:
    def __init__(self, way: Fabric, allowance: Allowance) -> None:
        self.allowance = allowance
        options = {
            "ADDRESS": way.address,
            "CHANNEL": way.channel,
            "CHAINCODE": way.chaincode,
            "MSP_ID": way.msp_id,
            "CERTIFICATE": str(way.certificate),
            "PRIVATE_KEY": str(way.private_key),
            "TLS_CA": str(way.tls_ca),
            "SERVER_NAME": way.server_name,
            "KEYS": str(way.certificate.parent),
            "OPERATOR": False,
        }
        try:
            self.ledger = FabricLedger.from_options("agent", options)
        except Misconfigured as error:
            raise ConfigError(f"destinations: {error}") from None

    async def send(self, report: Report, write_down: WriteDown) -> Code:
        """A command that is sent again has its first outcome, so nothing is written down."""
        self.allowance.spend(on_the_line(COPIES * len(report.envelope) + MORE_BYTES))
        try:
            return await asyncio.to_thread(self._send, report.envelope)
        except LedgerError as error:
            raise Unavailable(str(error)) from None

    def _send(self, envelope: bytes) -> Code:
        transaction = self.ledger.prepare([envelope])
        self.ledger.submit(transaction)
        outcomes = self.ledger.outcome(transaction.id)
        if outcomes is None:
            raise Unavailable("the transaction is in no block yet")
        return outcomes[0].code

    async def close(self) -> None:
        await asyncio.to_thread(self.ledger.gateway.close)
