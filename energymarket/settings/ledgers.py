"""An entry of `LEDGERS`."""

from pathlib import Path
from typing import Any


def ledger_settings(alias: str, kind: str, data_dir: Path, database_url: str, options: Path) -> dict[str, Any]:
    """`options`: a JSON file with what a Quorum or Fabric ledger needs to know."""
    keys = data_dir / "keys" / alias
    if kind == "embedded":
        store = {"STORE": "postgres", "DATABASE_URL": database_url, "SCHEMA": f"ledger_{alias}"}
        return {"BACKEND": "ledger_adapters.embedded.adapter.EmbeddedLedger", "OPTIONS": {**store, "KEYS": keys}}
    if kind == "quorum":
        address = data_dir / "ledger" / ("address" if alias == "default" else f"{alias}-address")
        return {
            "BACKEND": "ledger_adapters.quorum.adapter.QuorumLedger",
            "OPTIONS": {"KEYS": keys, "DEPLOYMENT": address},
            "OPTIONS_FILE": options,
        }
    return {
        "BACKEND": "ledger_adapters.fabric.adapter.FabricLedger",
        "OPTIONS": {"KEYS": keys},
        "OPTIONS_FILE": options,
    }
