"""Embedded ledgers on either store: both pass the same tests."""

import secrets
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence.commands import Command, Fields
from evidence.commands.kinds import AnchorReadings
from evidence.keys import SoftwareKey
from ledger_adapters.base import Transaction
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.postgres import PostgresStore
from ledger_adapters.embedded.store import MemoryStore, Store
from tests.ledger.support import database_url


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


class Bench:
    """A ledger with what a test needs to ask something of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.operator = SoftwareKey.generate()
        self.checkpoint = Ed25519PrivateKey.generate()
        self.ledger = self.open()
        self.genesis = self.ledger.found(b"\x01" * 32, b"\x02" * 32, SoftwareKey.generate().public_key)

    def open(self) -> EmbeddedLedger:
        """Another adapter on the same journal, as another process has it."""
        return EmbeddedLedger("test", self.store, self.operator, self.checkpoint, self.clock)

    def command(self, fields: Fields, nonce: bytes | None = None) -> Command:
        return Command(self.genesis.market, nonce or secrets.token_bytes(32), fields)

    def transaction(self, *commands: Command) -> Transaction:
        return self.ledger.prepare([command.envelope.encode() for command in commands])

    def apply(self, *commands: Command) -> Transaction:
        transaction = self.transaction(*commands)
        self.ledger.submit(transaction)
        return transaction


def anchor(number: int, area: int = 1) -> AnchorReadings:
    return AnchorReadings(area.to_bytes(32, "big"), 20_000, 0, 900, 1, number.to_bytes(32, "big"))


@pytest.fixture
def postgres_store(django_db_setup: None) -> Iterator[PostgresStore]:
    store = PostgresStore(database_url(), f"ledger_test_{secrets.token_hex(4)}")
    store.create()
    yield store
    store.drop()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = MemoryStore() if request.param == "memory" else request.getfixturevalue("postgres_store")
    return found


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)
