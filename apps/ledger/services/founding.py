"""Set up a ledger, and say what its proofs have to be checked against."""

import secrets
from pathlib import Path

from django.conf import settings

from apps.ledger.ledgers import get_ledger, options_of
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Genesis
from ledger_adapters.keys import KeyFolder


def found_ledger(alias: str) -> Genesis:
    """Set a ledger up and write its genesis record, if it has none."""
    return found_for(alias, secrets.token_bytes(32))


def found_for(alias: str, market: bytes) -> Genesis:
    """The same for a market that is on another ledger so far."""
    adapter = get_ledger(alias)
    folder = options_of(settings.LEDGERS[alias]).get("KEYS")
    community = KeyFolder(Path(folder)).signer("community") if folder else SoftwareKey.generate()
    return adapter.found(secrets.token_bytes(32), market, community.public_key)


def trust_anchors(alias: str) -> bytes:
    """The file that a verifier needs besides a bundle, as canonical JSON. It must reach people by another way."""
    return get_ledger(alias).trust().encode()
