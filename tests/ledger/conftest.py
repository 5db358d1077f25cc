"""A ledger in PostgreSQL, in a schema of its own, that other processes can open too."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.ledger import wake
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.services.founding import found_ledger
from ledger_adapters.embedded.postgres import PostgresStore
from tests.ledger.faulty import FaultyLedger
from tests.ledger.support import Workers, database_url, faulty


@pytest.fixture
def ledger(
    transactional_db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyLedger]:
    # A test before may have taken Redis away.
    monkeypatch.setattr(wake, "_failed_at", float("-inf"))
    schema = f"ledger_test_{secrets.token_hex(4)}"
    options = {"STORE": "postgres", "DATABASE_URL": database_url(), "SCHEMA": schema, "KEYS": str(tmp_path / "keys")}
    settings.LEDGERS = {DEFAULT: {"BACKEND": "tests.ledger.faulty.FaultyLedger", "OPTIONS": options}}
    get_ledger.cache_clear()
    found_ledger(DEFAULT)
    adapter = faulty()
    yield adapter
    # Whoever makes a market asks for a fresh adapter, with connections of its own.
    for each in (adapter, faulty()):
        store = each._store
        assert isinstance(store, PostgresStore)
        store.drop()
    get_ledger.cache_clear()


@pytest.fixture(scope="session")
def workers(django_db_setup: None) -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.close()
