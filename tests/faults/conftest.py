"""The outbox on ledgers that tests break."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.ledger import wake
from apps.ledger.ledgers import DEFAULT, get_ledger
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.fabric.adapter import FabricLedger

Use = Callable[..., LedgerAdapter]


@pytest.fixture
def use(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Make a ledger the one of this installation: its backend and its options."""
    monkeypatch.setattr(wake, "_failed_at", float("-inf"))
    opened: list[LedgerAdapter] = []
    settings.LEDGERS = {}
    get_ledger.cache_clear()

    def use(backend: type[LedgerAdapter], options: dict[str, Any], alias: str = DEFAULT) -> LedgerAdapter:
        name = f"{backend.__module__}.{backend.__qualname__}"
        if alias in settings.LEDGERS:
            # Only then: an adapter that is forgotten is made again by whoever asks, and closed by nobody.
            get_ledger.cache_clear()
        settings.LEDGERS = {**settings.LEDGERS, alias: {"BACKEND": name, "OPTIONS": options}}
        opened.append(get_ledger(alias))
        return opened[-1]

    yield use
    for ledger in opened:
        if isinstance(ledger, FabricLedger):
            ledger.gateway.close()
    get_ledger.cache_clear()
