"""Commands: what is asked of the ledger, as bytes that stay the same on every ledger."""

from evidence.commands.envelope import (
    Batch,
    Command,
    CommandError,
    Envelope,
    batch_digest,
    parse,
    sign_digest,
    signed_batch,
    wallet_digest,
)
from evidence.commands.kinds import KINDS, Fields

__all__ = [
    "KINDS",
    "Batch",
    "Command",
    "CommandError",
    "Envelope",
    "Fields",
    "batch_digest",
    "parse",
    "sign_digest",
    "signed_batch",
    "wallet_digest",
]
