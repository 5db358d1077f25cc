"""Where the embedded ledger keeps its journal. Both stores pass the same tests; the one in memory is for unit tests."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Protocol

from ledger_adapters.base import Event


@dataclass(frozen=True, slots=True)
class Head:
    """How long the journal is, the time of its last entry, and the signed note over it."""

    size: int
    time: int
    checkpoint: str


class Reader(Protocol):
    def head(self) -> Head | None:
        """None while the ledger has no genesis record."""

    def state(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]: ...

    def events(self, start: int, limit: int) -> list[Event]: ...

    def applied(self, ids: Sequence[bytes]) -> list[Event]:
        """Events with code zero of these commands, in ascending order."""

    def outcomes(self, transaction: bytes) -> bytes | None: ...

    def tile(self, level: int, index: int) -> bytes: ...


class Writer(Reader, Protocol):
    """A reader that holds the head: nobody else appends until its transaction ends."""

    def write_state(self, writes: dict[bytes, bytes]) -> None: ...

    def write_events(self, events: Sequence[Event]) -> None: ...

    def write_transaction(self, transaction: bytes, outcomes: bytes) -> None: ...

    def write_tiles(self, tiles: dict[tuple[int, int], bytes]) -> None: ...

    def write_head(self, head: Head) -> None: ...


class Store(Protocol):
    def reading(self) -> AbstractContextManager[Reader]:
        """A consistent view of the journal."""

    def writing(self) -> AbstractContextManager[Writer]:
        """Hold the head; what is written becomes durable all together when the context ends without an error."""

    def state_entries(self) -> dict[bytes, bytes]:
        """The whole state, for the state root."""


class MemoryStore:
    """A journal that ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._head: Head | None = None
        self._state: dict[bytes, bytes] = {}
        self._events: list[Event] = []
        self._by_id: dict[bytes, Event] = {}
        self._outcomes: dict[bytes, bytes] = {}
        self._tiles: dict[tuple[int, int], bytes] = {}

    @contextmanager
    def reading(self) -> Iterator["MemoryStore"]:
        with self._lock:
            yield self

    @contextmanager
    def writing(self) -> Iterator["MemoryStore"]:
        with self._lock:
            kept = {name: copy(value) for name, value in vars(self).items() if name != "_lock"}
            try:
                yield self
            except BaseException:
                vars(self).update(kept)
                raise

    def head(self) -> Head | None:
        return self._head

    def state(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        return {key: self._state.get(key) for key in keys}

    def state_entries(self) -> dict[bytes, bytes]:
        return dict(self._state)

    def events(self, start: int, limit: int) -> list[Event]:
        return self._events[start : start + limit]

    def applied(self, ids: Sequence[bytes]) -> list[Event]:
        return sorted((self._by_id[i] for i in set(ids) if i in self._by_id), key=lambda event: event.position)

    def outcomes(self, transaction: bytes) -> bytes | None:
        return self._outcomes.get(transaction)

    def tile(self, level: int, index: int) -> bytes:
        return self._tiles[level, index]

    def write_state(self, writes: dict[bytes, bytes]) -> None:
        self._state.update(writes)

    def write_events(self, events: Sequence[Event]) -> None:
        self._events.extend(events)
        self._by_id.update({event.outcome.id: event for event in events if event.outcome.code == 0})

    def write_transaction(self, transaction: bytes, outcomes: bytes) -> None:
        self._outcomes[transaction] = outcomes

    def write_tiles(self, tiles: dict[tuple[int, int], bytes]) -> None:
        self._tiles.update(tiles)

    def write_head(self, head: Head) -> None:
        self._head = head
