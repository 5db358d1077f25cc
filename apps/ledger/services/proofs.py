"""Proof from the ledger that commands were applied, in the form that evidence bundles have."""

from collections.abc import Iterable
from typing import Any

from apps.ledger.ledgers import get_ledger
from evidence import bundle, canonical
from evidence.hashing import ZERO
from ledger_adapters.base import ChainProof, ChannelProof, Proof


def log_of(proof: Proof) -> bundle.Log:
    """The section `ledger` of a bundle."""
    if isinstance(proof, ChainProof):
        return bundle.QuorumLog(proof.blocks)
    if isinstance(proof, ChannelProof):
        return bundle.FabricLog(proof.blocks)
    commands = (
        bundle.LoggedCommand(event.position, event.outcome.time, event.outcome.envelope, event.outcome.origin)
        for event in proof.events
    )
    return bundle.EmbeddedLog(proof.checkpoint, proof.path, tuple(commands))


def proof_of(ids: Iterable[bytes], ledger: str) -> dict[str, Any]:
    """The same as JSON. Raises `KeyError` for an id that was not applied."""
    log = log_of(get_ledger(ledger).prove(ids))
    section: dict[str, Any] = canonical.loads(bundle.dump(bundle.Bundle({}, ZERO, log, (), ())))["ledger"]
    return section
