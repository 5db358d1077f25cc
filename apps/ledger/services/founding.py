"""Set up a ledger, and say what its proofs have to be checked against."""

import secrets
from pathlib import Path

from django.conf import settings

from apps.ledger.ledgers import get_ledger
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Genesis
from ledger_adapters.keys import KeyFolder


def found_ledger(alias: str) -> Genesis:
    """Set a ledger up and write its genesis record, if it has none."""
    adapter = get_ledger(alias)
    folder = settings.LEDGERS[alias]["OPTIONS"].get("KEYS")
    community = KeyFolder(Path(folder)).signer("community") if folder else SoftwareKey.generate()
    return adapter.found(secrets.token_bytes(32), secrets.token_bytes(32), community.public_key)


def trust_anchors(alias: str) -> bytes:
    """The file that a verifier needs besides a bundle, as canonical JSON. It must reach people by another way."""
    return get_ledger(alias).trust().encode()
