"""The embedded ledger as an adapter."""

import secrets
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence.abi import U32, U64, Bytes32, EncodingError, Struct
from evidence.checkpoint import Checkpoint, origin, sign
from evidence.commands import Batch, signed_batch
from evidence.hashing import sha256, tagged
from evidence.imports import ImportBatch, signed_import
from evidence.journal import leaf_hash
from evidence.keys import PublicKey, Signer, SoftwareKey
from evidence.merkle import path_through
from evidence.trust import EmbeddedTrust
from ledger_adapters.base import LANE, Event, Health, Lane, LedgerAdapter, Limits, LogProof, Page, Transaction
from ledger_adapters.contract import (
    Code,
    Genesis,
    ImportRefused,
    Outcome,
    Prepared,
    PreparedImport,
    Result,
    apply_batch,
    apply_import,
    prepare,
    prepare_import,
)
from ledger_adapters.embedded import log
from ledger_adapters.embedded.postgres import PostgresStore
from ledger_adapters.embedded.store import Head, MemoryStore, Reader, Store, Writer
from ledger_adapters.exceptions import Misconfigured, OutcomeUnknown, Rejected
from ledger_adapters.keys import KeyFolder


@dataclass(frozen=True, slots=True)
class _StoredOutcome(Struct):
    id: Bytes32
    code: U32
    time: U64


_STORED = 96
_NONCE = 32
# In front of a transaction's nonce: it holds entries of another ledger.
_IMPORT = sha256(b"em/import-transaction/1")


def _transaction_id(payload: bytes) -> bytes:
    return tagged("em/transaction/1", payload)


@dataclass(slots=True)
class _Waiting:
    id: bytes
    prepared: Prepared | PreparedImport
    done: bool = False
    error: Exception | None = None


class EmbeddedLedger(LedgerAdapter):
    """A journal under one operator. Every proof from it says so.

    `checkpoint_key` signs the log; `clock` gives UTC seconds.
    """

    limits = Limits(commands=1_000, bytes=4_000_000)
    keys: ClassVar = {**LedgerAdapter.keys, "checkpoint": KeyFolder.ed25519}

    def __init__(
        self,
        alias: str,
        store: Store,
        operator: Signer | None,
        checkpoint_key: Ed25519PrivateKey,
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        super().__init__(alias, operator)
        self._store = store
        self._checkpoint_key = checkpoint_key
        self._clock = clock
        self._queue: list[_Waiting] = []
        self._queueing = threading.Lock()
        self._committing = threading.Lock()

    @property
    def checkpoint_public_key(self) -> bytes:
        return self._checkpoint_key.public_key().public_bytes_raw()

    @classmethod
    def check_options(cls, alias: str, options: Mapping[str, Any]) -> Hashable:
        where = f"LEDGERS[{alias!r}]['OPTIONS']"
        if surplus := set(options) - {"STORE", "DATABASE_URL", "SCHEMA", "KEYS"}:
            raise Misconfigured(f"{where}: unknown {', '.join(sorted(surplus))}")
        store = options.get("STORE", "postgres")
        if store == "memory":
            return store, alias
        if store != "postgres":
            raise Misconfigured(f"{where}: STORE is {store!r}, neither postgres nor memory")
        for name in ("DATABASE_URL", "KEYS"):
            if not options.get(name):
                raise Misconfigured(f"{where}: {name} is missing")
        return store, options["DATABASE_URL"], options.get("SCHEMA", f"ledger_{alias}")

    @classmethod
    def from_options(cls, alias: str, options: Mapping[str, Any]) -> "EmbeddedLedger":
        """`STORE`: "postgres" (with `DATABASE_URL` and `SCHEMA`) or "memory". `KEYS`: folder of its private keys."""
        cls.check_options(alias, options)
        keys = KeyFolder(Path(options["KEYS"])) if "KEYS" in options else None
        store: Store
        if options.get("STORE", "postgres") == "memory":
            store = MemoryStore()
        else:
            store = PostgresStore(options["DATABASE_URL"], options.get("SCHEMA", f"ledger_{alias}"))
        if keys is None:
            return cls(alias, store, SoftwareKey.generate(), Ed25519PrivateKey.generate())
        return cls(alias, store, keys.signer("operator"), keys.ed25519("checkpoint"))

    def create(self) -> None:
        """Create what the journal is kept in. Safe to repeat."""
        if isinstance(self._store, PostgresStore):
            self._store.create()

    def found(self, ledger: bytes, market: bytes, community: PublicKey) -> Genesis:
        if self.operator is None:
            raise Misconfigured(f"ledger {self.alias!r} is only relayed to: its operator has to found it")
        self.create()
        genesis = Genesis.of(ledger, market, self.operator.public_key, community)
        with self._store.writing() as writer:
            if writer.head() is None:
                writer.write_state({Genesis.key(): genesis.encode()})
                writer.write_head(Head(0, 0, self._sign(ledger, 0, log.root(writer, 0))))
        return self.genesis()

    def read_genesis(self) -> Genesis:
        with self._store.reading() as reader:
            value = reader.state([Genesis.key()])[Genesis.key()]
        if value is None:
            raise Misconfigured(f"ledger {self.alias!r} has no genesis record: run `manage.py ledger init`")
        return Genesis.decode(value)

    def _sign(self, ledger: bytes, size: int, root: bytes) -> str:
        return sign(Checkpoint(origin(ledger), size, root), self._checkpoint_key)

    def prepare(self, envelopes: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        batch = signed_batch(self.genesis().ledger, envelopes, self.operator)
        # As on other ledgers, the same commands in another transaction are another try.
        payload = secrets.token_bytes(_NONCE) + batch.encode()
        return Transaction(_transaction_id(payload), payload)

    def prepare_import(self, start: int, entries: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        if self.operator is None:
            raise Misconfigured(f"ledger {self.alias!r} is only relayed to: its operator takes entries over")
        batch = signed_import(self.genesis().ledger, start, entries, self.operator)
        payload = _IMPORT + secrets.token_bytes(_NONCE) + batch.encode()
        return Transaction(_transaction_id(payload), payload)

    def submit(self, transaction: Transaction) -> None:
        """Whoever gets the commit lock first commits for all that wait: one durable write for many transactions."""
        waiting = _Waiting(transaction.id, self._read(transaction))
        with self._queueing:
            self._queue.append(waiting)
        with self._committing:
            if not waiting.done:
                self._commit_waiting()
        if waiting.error is not None:
            raise waiting.error

    @staticmethod
    def _read(transaction: Transaction) -> Prepared | PreparedImport:
        payload = transaction.payload
        if transaction.id != _transaction_id(payload):
            raise Rejected("the transaction's id is not that of its bytes")
        try:
            if payload.startswith(_IMPORT):
                return prepare_import(ImportBatch.decode(payload[len(_IMPORT) + _NONCE :]))
            return prepare(Batch.decode(payload[_NONCE:]))
        except ImportRefused as refusal:
            raise Rejected(str(refusal)) from refusal
        except EncodingError as error:
            raise Rejected(f"the transaction holds no batch: {error}") from None

    def _commit_waiting(self) -> None:
        with self._queueing:
            group, self._queue = self._queue, []
        # Whatever breaks this off, none of the group may take it for a success.
        error: Exception | None = OutcomeUnknown("the commit was broken off")
        try:
            with self._store.writing() as writer:
                self._append(writer, group)
            error = None
        except Exception as failure:
            error = failure
        finally:
            for waiting in group:
                waiting.done, waiting.error = True, error or waiting.error

    def _append(self, writer: Writer, group: Sequence[_Waiting]) -> None:
        head = writer.head()
        if head is None:
            raise Misconfigured(f"ledger {self.alias!r} has no genesis record: run `manage.py ledger init`")
        now = max(self._clock(), head.time)
        events: list[Event] = []
        for waiting in group:
            if writer.outcomes(waiting.id) is None:
                try:
                    result = self._apply(waiting.prepared, writer.state(waiting.prepared.reads), now)
                except ImportRefused as refusal:
                    waiting.error = Rejected(str(refusal))
                else:
                    events += self._write(writer, waiting.id, result, head.size + len(events))
        if events:
            self._extend(writer, head.size, events, now)

    def _extend(self, writer: Writer, before: int, events: Sequence[Event], now: int) -> None:
        """Write events behind a journal of `before` entries, and the signed head over all of them."""
        tiles = log.extend(writer, before, [self._leaf(event) for event in events])
        size = before + len(events)
        root = log.root(log.Overlaid(writer, tiles), size)
        writer.write_events(events)
        writer.write_tiles(tiles)
        writer.write_head(Head(size, now, self._sign(self.genesis().ledger, size, root)))

    @staticmethod
    def _apply(prepared: Prepared | PreparedImport, values: Mapping[bytes, bytes | None], now: int) -> Result:
        if isinstance(prepared, PreparedImport):
            return apply_import(prepared, values)
        return apply_batch(prepared, values, now)

    @staticmethod
    def _write(writer: Writer, transaction: bytes, result: Result, position: int) -> list[Event]:
        writer.write_state(result.writes)
        stored = b"".join(_StoredOutcome(o.id, o.code, o.time).encode() for o in result.outcomes)
        writer.write_transaction(transaction, stored)
        new = [outcome for outcome in result.outcomes if outcome.code is not Code.ALREADY_APPLIED or outcome.origin]
        return [Event(position + i, transaction, outcome) for i, outcome in enumerate(new)]

    @staticmethod
    def _leaf(event: Event) -> bytes:
        outcome = event.outcome
        return leaf_hash(event.position, outcome.time, outcome.code, outcome.id, outcome.envelope, outcome.origin)

    def outcome(self, transaction_id: bytes) -> tuple[Outcome, ...] | None:
        with self._store.reading() as reader:
            stored = reader.outcomes(transaction_id)
        if stored is None:
            return None
        outcomes = [_StoredOutcome.decode(stored[at : at + _STORED]) for at in range(0, len(stored), _STORED)]
        return tuple(Outcome(o.id, Code(o.code), o.time, b"") for o in outcomes)

    def read(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        with self._store.reading() as reader:
            return reader.state(keys)

    def events(self, start: int, limit: int, mark: bytes = b"") -> Page:
        with self._store.reading() as reader:
            found = reader.events(start, limit)
        return Page(tuple(found), start + len(found))

    def prove(self, ids: Iterable[bytes]) -> LogProof:
        wanted = set(ids)
        with self._store.reading() as reader:
            events = reader.applied(sorted(wanted))
            missing = wanted - {event.outcome.id for event in events}
            if missing:
                raise KeyError(f"not applied on ledger {self.alias!r}: {sorted(i.hex() for i in missing)}")
            head = self._head(reader)
            path = path_through(
                lambda start, end: log.subtree(reader, start, end), head.size, [event.position for event in events]
            )
        return LogProof(head.checkpoint, path, tuple(events))

    def trust(self) -> EmbeddedTrust:
        genesis = self.genesis()
        return EmbeddedTrust(genesis.ledger, genesis.market, self.checkpoint_public_key, old=self.old_ledgers())

    def _head(self, reader: Reader) -> Head:
        head = reader.head()
        if head is None:
            raise Misconfigured(f"ledger {self.alias!r} has no genesis record: run `manage.py ledger init`")
        return head

    def now(self) -> int:
        return self.health().time

    def health(self) -> Health:
        with self._store.reading() as reader:
            head = self._head(reader)
        return Health(head.size, max(head.time, self._clock()))

    def state_entries(self) -> dict[bytes, bytes]:
        """The whole state, for the state root."""
        return self._store.state_entries()
