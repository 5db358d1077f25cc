"""What every ledger can do. Written for those who add one: see the docstrings for what callers rely on."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from evidence.merkle import Path
from ledger_adapters.contract import Genesis, Outcome


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one transaction may carry: commands, and bytes of all envelopes together."""

    commands: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """Signed bytes, ready to be sent. The caller stores them before `submit`, and only ever sends these bytes again."""

    id: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """A final outcome. `position` rises by one per event of the ledger, from 0."""

    position: int
    transaction: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LogProof:
    """Proof from the embedded ledger: events, in ascending order, lead through `path` to the root of `checkpoint`."""

    checkpoint: str
    path: Path
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """`size`: how many events the ledger has; `time`: its time in UTC seconds."""

    size: int
    time: int


class LedgerAdapter(ABC):
    """One ledger, under its alias in `LEDGERS`. Instances are shared by the threads of a process."""

    limits: Limits

    def __init__(self, alias: str) -> None:
        self.alias = alias

    @classmethod
    @abstractmethod
    def from_options(cls, alias: str, options: Mapping[str, Any]) -> Self:
        """Make the adapter from its `OPTIONS`. Raises `Misconfigured`, naming the setting."""

    @abstractmethod
    def genesis(self) -> Genesis:
        """The ledger's first record. Raises `Misconfigured` when the ledger has none yet."""

    @abstractmethod
    def prepare(self, envelopes: Sequence[bytes]) -> Transaction:
        """Sign envelopes, within `limits`, as one transaction. Nothing is sent."""

    @abstractmethod
    def submit(self, transaction: Transaction) -> None:
        """Send a prepared transaction; sending it twice does nothing more.

        Returns when the ledger has taken it; outcomes arrive as events. Raises `Transient` when nothing was done,
        `OutcomeUnknown` when that cannot be said, `Rejected` when the ledger will never take it.
        """

    @abstractmethod
    def outcome(self, transaction_id: bytes) -> tuple[Outcome, ...] | None:
        """What became of the commands of a transaction, or None while the ledger does not know it."""

    @abstractmethod
    def read(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """State values by key, None where there is none."""

    @abstractmethod
    def events(self, start: int, limit: int) -> list[Event]:
        """Final events from position `start` on, in order."""

    @abstractmethod
    def prove(self, ids: Iterable[bytes]) -> LogProof:
        """Proof that these commands were applied. Raises `KeyError` for an id that was not."""

    @abstractmethod
    def health(self) -> Health:
        """Raises `Transient` when the ledger cannot be reached."""
