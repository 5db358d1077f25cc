"""What has to hold on every ledger to which a market moves, as one test to inherit: its ledger is used up by it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence.commands import Command, Fields
from evidence.hashing import ZERO
from evidence.imports import ImportedEntry
from evidence.keys import PublicKey, SoftwareKey
from ledger_adapters.base import LedgerAdapter, Transaction
from ledger_adapters.conformance.adapter import anchor
from ledger_adapters.conformance.contract import Trial, run
from ledger_adapters.contract import Code
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.store import MemoryStore
from ledger_adapters.exceptions import Conflict, Rejected
from ledger_adapters.moving import CannotMove, Move, Step

SEQUENCES, ROUNDS = 24, 12


@dataclass
class Old:
    """A market in memory on which much was done, and the keys of both parties of every ledger."""

    ledger: EmbeddedLedger
    keys: dict[bytes, SoftwareKey]

    @classmethod
    def new(cls, sequences: int = SEQUENCES) -> "Old":
        now = 1_700_000_000
        store, checkpoint = MemoryStore(), Ed25519PrivateKey.generate()
        utility, community = SoftwareKey.generate(), SoftwareKey.generate()

        def opened(operator: SoftwareKey | None) -> EmbeddedLedger:
            return EmbeddedLedger("old", store, operator, checkpoint, lambda: now)

        def pass_time(seconds: int) -> None:
            nonlocal now
            now += seconds

        ledger = opened(utility)
        ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), community.public_key)
        run(Trial(ledger, opened(None), pass_time), range(sequences), ROUNDS)
        return cls(ledger, {key.public_key.id: key for key in (utility, community)})

    @property
    def market(self) -> bytes:
        return self.ledger.genesis().market

    def sign(self, key: PublicKey, digest: bytes) -> bytes:
        return self.keys[key.id].sign(digest)


@dataclass
class New:
    """A ledger of the same market, founded and unused. `reopen` gives another adapter for the same one."""

    ledger: LedgerAdapter
    reopen: Callable[[], LedgerAdapter]


class MovingConformance:
    """Inherit it and give it a fixture `new`, made for `old`, whose `keys` hold those of its two parties."""

    @pytest.fixture
    def old(self) -> Old:
        return Old.new()

    def test_a_market_moves_with_all_its_entries(self, old: Old, new: New) -> None:
        move = Move(old.ledger, new.ledger)
        self.step(move, old).take(old.sign)
        assert self.code(old.ledger, anchor()) is Code.LEDGER_CLOSED
        self.step(move, old).take(old.sign)
        assert self.code(new.ledger, anchor()) is Code.IMPORT_OPEN
        entries = list(move.entries())
        self.refuse(new.ledger, entries)
        self.take_some(new.ledger, entries[:7])
        with pytest.raises(CannotMove, match=f"7 entries of {len(entries)}"):
            move.next_step()
        # Somebody else goes on where it was broken off.
        again = Move(old.ledger, new.reopen())
        assert again.take_over() == len(entries)
        seal = self.step(again, old)
        with pytest.raises(CannotMove, match="BAD_SIGNATURE"):
            seal.take(lambda key, digest: old.sign(key, ZERO))
        seal.take(old.sign)
        assert again.next_step() is None
        self.compare(old.ledger, new.reopen(), entries)
        # For ever: the market goes on, entries are not taken any more.
        assert self.code(new.ledger, anchor()) is Code.APPLIED
        with pytest.raises((Rejected, Conflict), match=r"IMPORT_OVER|MarketImportRefused"):
            self.take_some(new.ledger, entries[:1], len(entries))
        assert [each.ledger for each in new.ledger.old_ledgers()] == [old.ledger.genesis().ledger]

    @staticmethod
    def step(move: Move, old: Old) -> Step:
        found = move.next_step()
        assert found is not None
        return found

    def code(self, ledger: LedgerAdapter, fields: Fields) -> Code:
        command = Command(ledger.genesis().market, secrets.token_bytes(32), fields)
        return self.codes(ledger, ledger.prepare([command.envelope.encode()]))[0]

    @staticmethod
    def codes(ledger: LedgerAdapter, transaction: Transaction) -> list[Code]:
        ledger.submit(transaction)
        outcomes = ledger.outcome(transaction.id)
        assert outcomes is not None
        return [outcome.code for outcome in outcomes]

    def take_some(self, ledger: LedgerAdapter, entries: list[ImportedEntry], start: int = 0) -> None:
        codes = self.codes(ledger, ledger.prepare_import(start, [entry.encode() for entry in entries]))
        assert codes == [entry.code for entry in entries]

    def refuse(self, ledger: LedgerAdapter, entries: list[ImportedEntry]) -> None:
        """One wrong entry, and none of its batch is taken."""
        place = next(i for i, entry in enumerate(entries) if entry.code not in (Code.APPLIED, Code.BAD_ENCODING))
        wrong = (
            replace(entries[place], code=Code.APPLIED),
            replace(entries[place], code=99),
            replace(entries[place], ledger=ZERO),
            replace(entries[place], code=Code.APPLIED, envelope=b"no command"),
        )
        for entry in wrong:
            with pytest.raises((Rejected, Conflict), match=r"entry|MarketEntryRefused"):
                self.take_some(ledger, [*entries[:place], entry])
        with pytest.raises((Rejected, Conflict), match=r"OTHER_ENTRIES|MarketImportRefused"):
            self.take_some(ledger, entries[:1], start=1)
        found = ledger.imported()
        assert found is not None and (found.count, found.head) == (0, ZERO)

    @staticmethod
    def compare(old: LedgerAdapter, new: LedgerAdapter, entries: list[ImportedEntry]) -> None:
        """Every entry is told again as it was, with the ledger that it comes from."""
        ledger = old.genesis().ledger
        told = [event.outcome for page in new.pages() for event in page.events if event.outcome.origin]
        assert [(one.origin, one.code, one.time, one.envelope) for one in told] == [
            (ledger, entry.code, entry.time, entry.envelope) for entry in entries
        ]
        before = [event.outcome.id for page in old.pages() for event in page.events]
        assert [one.id for one in told] == before[: len(told)]
        positions = [event.position for page in new.pages() for event in page.events]
        assert positions == sorted(set(positions))
