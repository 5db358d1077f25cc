"""The ledgers of `LEDGERS`, one adapter per alias and process."""

from functools import cache

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
    return backend.from_options(alias, configured.get("OPTIONS", {}))
