"""The ledgers of `LEDGERS`, one adapter per alias and process."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ledger_adapters.base import LedgerAdapter

DEFAULT = "default"


@cache
def get_ledger(alias: str = DEFAULT) -> LedgerAdapter:
    """Raises `ImproperlyConfigured` for an alias that `LEDGERS` does not have."""
    try:
        configured = settings.LEDGERS[alias]
    except KeyError:
        raise ImproperlyConfigured(f"LEDGERS has no ledger named {alias!r}") from None
    backend: type[LedgerAdapter] = import_string(configured["BACKEND"])
    return backend.from_options(alias, options_of(configured))


def options_of(configured: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in `OPTIONS`, and over it what is in the file. Raises `ImproperlyConfigured`."""
    return {**configured.get("OPTIONS", {}), **_in_file(configured.get("OPTIONS_FILE"))}


def _in_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"ENERGYMARKET_LEDGER_OPTIONS: {path}: {error}") from None
    if not isinstance(options, dict):
        raise ImproperlyConfigured(f"ENERGYMARKET_LEDGER_OPTIONS: {path} holds no JSON object")
    return options
