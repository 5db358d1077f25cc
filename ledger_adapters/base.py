"""What every ledger can do. Written for those who add one: see the docstrings for what callers rely on."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from evidence import eip712
from evidence.ethereum.proof import ProvenBlock
from evidence.fabric.block import OrderedBlock
from evidence.hashing import ZERO
from evidence.keys import PublicKey, Signer
from evidence.merkle import Path
from evidence.trust import OldLedger, Trust
from ledger_adapters.contract import Genesis, Outcome, records
from ledger_adapters.contract.records import Import
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.keys import KeyFolder


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one transaction may carry: commands, and bytes of all envelopes together."""

    commands: int
    bytes: int

    def after(self, conflicts: int) -> "Limits":
        """Limits for what is sent anew: once as it was, then half as much each time."""
        return Limits(max(1, self.commands >> max(0, conflicts - 1)), self.bytes)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Signed bytes, ready to be sent. The caller stores them before `submit`, and only ever sends these bytes again.

    `cost`: what they cost at most, in the ledger's own smallest unit; zero where it is free. `former`: ids of the bytes
    that these replace. Of all of them the ledger can take one only.
    """

    id: bytes
    payload: bytes
    cost: int = 0
    former: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Lane:
    """Whose transaction is to be prepared: lanes send theirs one after another. `last` is the payload of the last."""

    number: int = 0
    last: bytes | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A final outcome. `position` rises from event to event, and is below 2^63."""

    position: int
    transaction: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Page:
    """Some events in order. `next` is where to go on, behind the last of them and behind all that holds none.

    `mark` is to be given back with `next`: where what was final can be lost, it shows that.
    """

    events: tuple[Event, ...]
    next: int
    mark: bytes = b""


LANE = Lane()
PAGE = 500  # events


@dataclass(frozen=True, slots=True)
class LogProof:
    """Proof from the embedded ledger: events, in ascending order, lead through `path` to the root of `checkpoint`."""

    checkpoint: str
    path: Path
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class ChainProof:
    """Proof from a chain with an EVM: blocks in the chain's order. Their logs hold the events."""

    blocks: tuple[ProvenBlock, ...]


@dataclass(frozen=True, slots=True)
class ChannelProof:
    """Proof from a Fabric channel: blocks in its order. Their transactions hold the events."""

    blocks: tuple[OrderedBlock, ...]


Proof = LogProof | ChainProof | ChannelProof


@dataclass(frozen=True, slots=True)
class Health:
    """`size`: how many entries the ledger has, or blocks; `time`: its time in UTC seconds."""

    size: int
    time: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """The certificate that a setting names is good until `ends`, and from `warn` on should be renewed. Both in UTC."""

    setting: str
    ends: datetime
    warn: datetime


class LedgerAdapter(ABC):
    """One ledger, under its alias in `LEDGERS`. Instances are shared by the threads of a process.

    `operator` signs batches, None where others' commands are only relayed.
    """

    limits: Limits
    # Whether a transaction takes long enough that lanes should be sent at the same time.
    is_remote = False
    # Whether the ledger is counted in blocks, rather than in entries.
    in_blocks = False
    # The private keys in the folder `KEYS`, and how each of them is read.
    keys: ClassVar[Mapping[str, Callable[[KeyFolder, str], object]]] = {
        "operator": KeyFolder.signer,
        "community": KeyFolder.signer,
    }

    def __init__(self, alias: str, operator: Signer | None) -> None:
        self.alias = alias
        self.operator = operator
        self._genesis: Genesis | None = None

    @classmethod
    @abstractmethod
    def check_options(cls, alias: str, options: Mapping[str, Any]) -> Hashable:
        """Look at `OPTIONS`, and make, open and ask nothing. Returns what tells the ledger from every other.

        Raises `Misconfigured`, naming the setting.
        """

    @classmethod
    @abstractmethod
    def from_options(cls, alias: str, options: Mapping[str, Any]) -> Self:
        """Make the adapter from its `OPTIONS`. Raises `Misconfigured`, naming the setting."""

    @abstractmethod
    def found(self, ledger: bytes, market: bytes, community: PublicKey) -> Genesis:
        """Set the ledger up and write its first record. One that is there already is returned as it is."""

    def genesis(self) -> Genesis:
        """The ledger's first record, read once.

        Raises `Misconfigured` when the ledger has none yet, and when it is another operator's: it would refuse all that
        is signed here, batch for batch.
        """
        if self._genesis is None:
            found = self.read_genesis()
            if self.operator is not None and self.operator.public_key != found.utility:
                raise Misconfigured(
                    f"KEYS: the operator's key there is {self.operator.public_key.id.hex()[:16]}, but ledger"
                    f" {self.alias!r} was founded with {found.utility.id.hex()[:16]} as that of its utility: put the"
                    " utility's operator.pem there, or relay others' commands only"
                )
            self._genesis = found
        return self._genesis

    @abstractmethod
    def read_genesis(self) -> Genesis:
        """The first record as the ledger has it now. Raises `Misconfigured` when it has none yet."""

    def wallet_domain(self) -> eip712.Domain:
        """What wallets sign in for this ledger."""
        return eip712.Domain(self.genesis().ledger)

    def now(self) -> int:
        """Ledger time in UTC seconds, as far as it can be told without asking the ledger."""
        return int(time.time())

    def entries_before(self, position: int) -> int:
        """How many of the ledger's entries or blocks, as `Health.size` counts them, lie before a position."""
        return position

    @abstractmethod
    def prepare(self, envelopes: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        """Sign envelopes, within `limits`, as one transaction. Nothing is sent.

        Raises `Transient` when the ledger has to be asked for something and cannot be reached.
        """

    def replacement(self, transaction: Transaction) -> Transaction | None:
        """Other bytes that do the same and stand a better chance, where such a thing exists; nothing is sent.

        Asked for when the first try did not do. Raises as `prepare` does.
        """
        return None

    def afford(self, transaction: Transaction, spent: int) -> None:
        """Raises `Transient` when sending costs too much after all that was `spent` in the last 24 hours."""
        return None

    def cost(self, transaction_id: bytes) -> int | None:
        """What a transaction did cost; None where the ledger does not know it as final."""
        return None

    @abstractmethod
    def prepare_import(self, start: int, entries: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        """The same for entries of another ledger that are taken over behind `start` others, all of them or none.

        Where the contract refuses them, `submit` raises `Rejected` or `outcome` raises `Conflict`.
        """

    @abstractmethod
    def submit(self, transaction: Transaction) -> None:
        """Send a prepared transaction; sending it twice does nothing more.

        Returns when the ledger has taken it; outcomes arrive as events. Raises `Transient` when nothing was done,
        `OutcomeUnknown` when that cannot be said, `Conflict` when nothing was done and these bytes never will do
        anything, `Rejected` when the ledger will never take such a transaction.
        """

    @abstractmethod
    def outcome(self, transaction_id: bytes) -> tuple[Outcome, ...] | None:
        """What became of the commands of a transaction, or None while the ledger does not know it.

        Raises `Conflict` as `submit` does.
        """

    @abstractmethod
    def read(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """State values by key, None where there is none."""

    def imported(self) -> Import | None:
        """What was taken over from other ledgers, None where nothing was."""
        value = self.read([Import.key()])[Import.key()]
        return Import.decode(value) if value is not None else None

    def old_ledgers(self) -> tuple[OldLedger, ...]:
        """The ledgers that entries were taken over from, the one that was closed last first."""
        found = self.imported()
        ledger = found.ledger if found else ZERO
        old = []
        while ledger != ZERO:
            key = records.OldLedger.key(ledger)
            record = records.OldLedger.decode(self.read([key])[key] or b"")
            old.append(OldLedger(ledger, record.separator))
            ledger = record.previous
        return tuple(old)

    @abstractmethod
    def events(self, start: int, limit: int, mark: bytes = b"") -> Page:
        """Final events from position `start` on, at most `limit`. A page whose `next` is `start` is the last.

        Raises `Reorganised` when what `mark` stands for is gone.
        """

    def pages(self, start: int = 0, limit: int = PAGE, mark: bytes = b"") -> Iterator[Page]:
        """All pages of `events` from position `start` on, until there is nothing more."""
        page = self.events(start, limit, mark)
        while page.next != start:
            yield page
            start = page.next
            page = self.events(start, limit, page.mark)

    @abstractmethod
    def prove(self, ids: Iterable[bytes]) -> Proof:
        """Proof that these commands were applied, for readers who have nothing but what `trust` says.

        Raises `KeyError` for an id that was not applied.
        """

    @abstractmethod
    def trust(self) -> Trust:
        """What proofs are checked against from now on. It must reach their readers by another way."""

    def expiries(self) -> tuple[Expiry, ...]:
        """Certificates that the way to the ledger depends on. Nothing is asked of the ledger."""
        return ()

    @abstractmethod
    def health(self) -> Health:
        """Raises `Transient` when the ledger cannot be reached."""
