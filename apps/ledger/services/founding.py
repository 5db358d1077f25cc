"""Set up a ledger, and say what its proofs have to be checked against."""

import secrets
from pathlib import Path

from django.conf import settings

from apps.ledger.ledgers import get_ledger
from evidence import canonical
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Genesis
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.keys import KeyFolder


def found_ledger(alias: str) -> Genesis:
    """Create an embedded ledger's journal and genesis, if it has none. Raises `Misconfigured` for other kinds."""
    adapter = _embedded(alias)
    adapter.create()
    folder = settings.LEDGERS[alias]["OPTIONS"].get("KEYS")
    community = KeyFolder(Path(folder)).signer("community") if folder else SoftwareKey.generate()
    return adapter.found(secrets.token_bytes(32), secrets.token_bytes(32), community.public_key)


def trust_anchors(alias: str) -> bytes:
    """The file that a verifier needs besides a bundle, as canonical JSON. It must reach people by another way."""
    adapter = _embedded(alias)
    return canonical.dumps(
        {
            "type": "energymarket/trust/1",
            "ledger": canonical.encode_bytes(adapter.genesis().ledger),
            "market": canonical.encode_bytes(adapter.genesis().market),
            "checkpoint_key": canonical.encode_bytes(adapter.checkpoint_public_key),
        }
    )


def _embedded(alias: str) -> EmbeddedLedger:
    adapter = get_ledger(alias)
    if not isinstance(adapter, EmbeddedLedger):
        raise Misconfigured(f"LEDGERS[{alias!r}] is no embedded ledger: it is set up by its own tools")
    return adapter
