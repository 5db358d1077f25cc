"""Move a market from one ledger to another.

The old ledger is closed, the new one opens an import, takes every entry over and is sealed. Both parties sign these
three steps. What the ledgers hold says how far a move has come, so each step can be asked for again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from evidence.commands import Command, Fields, sign_digest
from evidence.commands.kinds import CloseLedger, OpenImport, SealImport
from evidence.hashing import ZERO, tagged
from evidence.imports import ImportBatch, ImportedEntry
from evidence.keys import PublicKey
from evidence.state import state_root
from ledger_adapters.base import Event, Lane, LedgerAdapter, Limits
from ledger_adapters.contract import Code, Genesis, prepare_import, replay_import
from ledger_adapters.contract.records import Closing, Import, OldLedger
from ledger_adapters.exceptions import LedgerError

KEYS_AT_ONCE = 500
# Where an entry stands in its batch, and how long it is.
BYTES_BESIDE = 64

# How many entries were taken over, or looked at.
Progress = Callable[[int], None]
# The signature of a party, by its public key, over what it is asked to agree to.
Sign = Callable[[PublicKey, bytes], bytes]


class CannotMove(LedgerError):
    """The two ledgers are not ones between which a market can move; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command that both parties of `ledger` have to sign before it is sent there. `digest` is what they sign."""

    ledger: LedgerAdapter
    command: Command

    @classmethod
    def of(cls, ledger: LedgerAdapter, fields: Fields) -> "Step":
        """The same for everybody who asks: each party works out by itself what it agrees to."""
        genesis = ledger.genesis()
        nonce = tagged("em/move/1", genesis.ledger + fields.encode())
        return cls(ledger, Command(genesis.market, nonce, fields))

    @property
    def digest(self) -> bytes:
        return sign_digest(self.ledger.genesis().ledger, self.command)

    def take(self, sign: Sign) -> None:
        """Send it, with the signatures of both parties. Raises `CannotMove` when the contract refuses it."""
        genesis = self.ledger.genesis()
        keys = (genesis.utility, genesis.community)
        signatures = tuple((key.id, sign(key, self.digest)) for key in keys)
        command = self.command
        signed = Command(command.market, command.nonce, command.fields, ZERO, 0, signatures)
        transaction = self.ledger.prepare([signed.envelope.encode()])
        self.ledger.submit(transaction)
        outcomes = self.ledger.outcome(transaction.id)
        if outcomes is None or not outcomes[0].code.is_success:
            told = outcomes[0].code.name if outcomes else "no outcome yet"
            raise CannotMove(f"{type(command.fields).__name__} on ledger {self.ledger.alias!r}: {told}")


class Move:
    """From `old` to `new`, a ledger of the same market that was founded for it and on which nothing was done yet."""

    def __init__(self, old: LedgerAdapter, new: LedgerAdapter) -> None:
        if old.genesis().market != new.genesis().market:
            raise CannotMove(f"ledgers {old.alias!r} and {new.alias!r} are of different markets")
        if old.genesis().ledger == new.genesis().ledger:
            raise CannotMove(f"{old.alias!r} and {new.alias!r} are one ledger")
        self.old, self.new = old, new

    def next_step(self, progress: Progress = lambda done: None) -> Step | None:
        """What both parties have to sign next; None once the new ledger is sealed. Entries are taken over in between.

        Raises `CannotMove`: before sealing everything is compared, which `progress` tells of.
        """
        closing, taken = self.closing(), self.new.imported()
        successor = self.new.genesis().ledger
        if closing is not None and closing.successor != successor:
            raise CannotMove(f"ledger {self.old.alias!r} was closed for another than {self.new.alias!r}")
        if taken is None:
            self._check_unused()
            return Step.of(self.old, CloseLedger(successor)) if closing is None else Step.of(self.new, self._opening())
        if taken.ledger != self.old.genesis().ledger:
            raise CannotMove(f"ledger {self.new.alias!r} takes another one over than {self.old.alias!r}")
        return self._sealing(taken, progress) if taken.is_open else None

    def closing(self) -> Closing | None:
        value = self.old.read([Closing.key()])[Closing.key()]
        return Closing.decode(value) if value is not None else None

    def _check_unused(self) -> None:
        if any(page.events for page in self.new.pages()):
            raise CannotMove(f"ledger {self.new.alias!r} is in use: a market moves to one on which nothing was done")

    def _opening(self) -> OpenImport:
        before = tuple((each.ledger, each.separator) for each in reversed(self.old.old_ledgers()))
        own = self.old.genesis().ledger, self.old.wallet_domain().separator()
        ledgers, separators = zip(*before, own, strict=True)
        return OpenImport(ledgers, separators)

    def entries(self) -> Iterator[ImportedEntry]:
        """All of the old ledger's, up to its closing."""
        ledger, closed = self.old.genesis().ledger, Step.of(self.old, CloseLedger(self.new.genesis().ledger)).command.id
        for event in (event for page in self.old.pages() for event in page.events):
            outcome = event.outcome
            yield ImportedEntry(outcome.origin or ledger, outcome.code, outcome.time, outcome.envelope)
            if _is_closing(event, closed):
                return
        raise CannotMove(f"ledger {self.old.alias!r} is not closed")

    def take_over(self, progress: Progress = lambda done: None) -> int:
        """Take over what is still missing on the new ledger; returns how many entries it has then."""
        taken = self.new.imported()
        if taken is None or not taken.is_open:
            raise CannotMove(f"no import is open on ledger {self.new.alias!r}")
        done = taken.count
        last: bytes | None = None
        for batch in _packed(islice(self.entries(), done, None), self.new.limits):
            transaction = self.new.prepare_import(done, batch, Lane(0, last))
            self.new.submit(transaction)
            if self.new.outcome(transaction.id) is None:
                raise CannotMove(f"ledger {self.new.alias!r} does not say what became of entries from {done} on yet")
            last, done = transaction.payload, done + len(batch)
            progress(done)
        return done

    def _sealing(self, taken: Import, progress: Progress) -> Step:
        replay = Replay.of(self.new.genesis(), taken, self.new)
        for entry in self.entries():
            replay.add(entry)
            progress(replay.count)
        if (replay.count, replay.head) != (taken.count, taken.head):
            raise CannotMove(f"ledger {self.new.alias!r} has {taken.count} entries of {replay.count}, or other ones")
        state = replay.state
        for ledger in (self.old, self.new):
            for key, value in _read(ledger, sorted(state)):
                if value != state[key]:
                    raise CannotMove(f"record {key.hex()} on ledger {ledger.alias!r} is not what the entries give")
        return Step.of(self.new, SealImport(taken.count, taken.head, state_root(state)))


@dataclass
class Replay:
    """The state that entries give, worked out by the contract itself. `fixed`: what it looks at and never writes."""

    fixed: dict[bytes, bytes | None]
    state: dict[bytes, bytes]
    taken: Import

    @classmethod
    def of(cls, genesis: Genesis, taken: Import, new: LedgerAdapter) -> "Replay":
        fixed: dict[bytes, bytes | None] = {Genesis.key(): genesis.encode(), Closing.key(): None}
        for old in new.old_ledgers():
            fixed |= new.read([OldLedger.key(old.ledger)])
        return cls(fixed, {}, Import(taken.ledger, 0, ZERO, 0, ZERO))

    @property
    def count(self) -> int:
        return self.taken.count

    @property
    def head(self) -> bytes:
        return self.taken.head

    def add(self, entry: ImportedEntry) -> None:
        """Raises `ImportRefused`."""
        prepared = prepare_import(ImportBatch(self.count, (entry.encode(),), b""))
        values = {key: self.state.get(key) for key in prepared.reads}
        known = {**values, **self.fixed, Import.key(): self.taken.encode()}
        writes = dict(replay_import(prepared, known).writes)
        self.taken = Import.decode(writes.pop(Import.key()))
        self.state |= writes


def _packed(entries: Iterable[ImportedEntry], limits: Limits) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for content in (entry.encode() for entry in entries):
        size += len(content) + BYTES_BESIDE
        if batch and (len(batch) == limits.commands or size > limits.bytes):
            yield batch
            batch, size = [], len(content) + BYTES_BESIDE
        batch.append(content)
    if batch:
        yield batch


def _read(ledger: LedgerAdapter, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
    for start in range(0, len(keys), KEYS_AT_ONCE):
        yield from ledger.read(keys[start : start + KEYS_AT_ONCE]).items()


def _is_closing(event: Event, command: bytes) -> bool:
    outcome = event.outcome
    return (outcome.id, outcome.code, outcome.origin) == (command, Code.APPLIED, b"")
