"""What the ledger stores: records by table, under keys derived from ids."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from evidence.abi import U8, U32, U64, Bytes32, Struct
from evidence.keys import PublicKey
from evidence.state import state_key


class Role(IntEnum):
    UTILITY = 1
    COMMUNITY = 2
    CUSTOMER = 3
    METERING_OPERATOR = 4
    GRID_OPERATOR = 5
    AUDITOR = 6


class Custody(IntEnum):
    OWN = 0
    CUSTODIAL = 1


class State(IntEnum):
    ACTIVE = 1
    SUSPENDED = 2
    CLOSED = 3


class Mode(IntEnum):
    """A metered surplus lies in the past, a forecast one in the future."""

    METERED = 1
    FORECAST = 2


class Pricing(IntEnum):
    UNIFORM = 1
    PAY_AS_BID = 2
    ASCENDING = 3


class AuctionState(IntEnum):
    OPEN = 1
    CLEARED = 2


class OfferState(IntEnum):
    OPEN = 1
    WITHDRAWN = 2
    CLOSED = 3


class Record(Struct):
    __slots__ = ()
    TABLE: ClassVar[int]

    @classmethod
    def key(cls, *ids: bytes | int) -> bytes:
        return state_key(cls.TABLE, *ids)


@dataclass(frozen=True, slots=True)
class Genesis(Record):
    """The first record: which ledger and market this is, and the keys of the two parties that run it."""

    TABLE = 0
    ledger: Bytes32
    market: Bytes32
    utility_algorithm: U8
    utility_x: Bytes32
    utility_y: Bytes32
    community_algorithm: U8
    community_x: Bytes32
    community_y: Bytes32

    @classmethod
    def of(cls, ledger: bytes, market: bytes, utility: PublicKey, community: PublicKey) -> "Genesis":
        keys = (utility.algorithm, utility.x, utility.y, community.algorithm, community.x, community.y)
        return cls(ledger, market, *keys)

    @property
    def utility(self) -> PublicKey:
        return PublicKey(self.utility_algorithm, self.utility_x, self.utility_y)

    @property
    def community(self) -> PublicKey:
        return PublicKey(self.community_algorithm, self.community_x, self.community_y)


@dataclass(frozen=True, slots=True)
class Domain(Record):
    """A conflict domain's last time: no command in it happens before the one that came before it."""

    TABLE = 1
    time: U64


@dataclass(frozen=True, slots=True)
class AppliedId(Record):
    TABLE = 2
    kind: U32
    time: U64


@dataclass(frozen=True, slots=True)
class Participant(Record):
    TABLE = 3
    role: U8
    state: U8
    algorithm: U8
    x: Bytes32
    y: Bytes32
    custody: U8
    contents: Bytes32

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.algorithm, self.x, self.y)


@dataclass(frozen=True, slots=True)
class Plant(Record):
    TABLE = 4
    area: Bytes32
    owner: Bytes32
    point: Bytes32
    state: U8
    power_w: U64
    since_day: U32
    contents: Bytes32


@dataclass(frozen=True, slots=True)
class Device(Record):
    """`since_day` is the first day of the current key; the key before it, if any, speaks about its own days, from
    `old_since_day` on, until `grace_until`. A key's revocation time is zero while it stands.
    """

    TABLE = 5
    owner: Bytes32
    state: U8
    algorithm: U8
    x: Bytes32
    y: Bytes32
    since_day: U32
    revoked_at: U64
    old_algorithm: U8
    old_x: Bytes32
    old_y: Bytes32
    old_since_day: U32
    grace_until: U64
    old_revoked_at: U64
    contents: Bytes32

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.algorithm, self.x, self.y)

    @property
    def old_key(self) -> PublicKey | None:
        return PublicKey(self.old_algorithm, self.old_x, self.old_y) if self.old_algorithm else None


@dataclass(frozen=True, slots=True)
class Anchor(Record):
    """Keyed by area, day and root."""

    TABLE = 6
    start: U64
    end: U64
    count: U32
    time: U64


@dataclass(frozen=True, slots=True)
class DailyEnergy(Record):
    """Keyed by device and day; `report` is the id of the command that stands."""

    TABLE = 7
    report: Bytes32
    generated: U64
    imported: U64
    exported: U64
    signed_by: Bytes32


@dataclass(frozen=True, slots=True)
class Declaration(Record):
    TABLE = 8
    area: Bytes32
    plant: Bytes32
    seller: Bytes32
    mode: U8
    start: U64
    end: U64
    energy: U64
    offered: U64
    basis: Bytes32


@dataclass(frozen=True, slots=True)
class Offer(Record):
    TABLE = 9
    declaration: Bytes32
    energy: U64
    price: U64
    committed: U64
    open_until: U64
    state: U8


@dataclass(frozen=True, slots=True)
class Purchase(Record):
    TABLE = 10
    offer: Bytes32
    buyer: Bytes32
    point: Bytes32
    energy: U64
    price: U64


@dataclass(frozen=True, slots=True)
class Settlement(Record):
    """Keyed by area and day."""

    TABLE = 11
    version: U32
    root: Bytes32


@dataclass(frozen=True, slots=True)
class Invoice(Record):
    """Keyed by issuer, series and number."""

    TABLE = 12
    document: Bytes32
    corrects: Bytes32


@dataclass(frozen=True, slots=True)
class UsedKey(Record):
    """Keyed by device and key id: a key that once spoke for a device never comes back to it."""

    TABLE = 13
    time: U64


@dataclass(frozen=True, slots=True)
class Auction(Record):
    """`head` and `count` stand for the orders placed so far, in their order; what was cleared is zero until then."""

    TABLE = 14
    area: Bytes32
    pricing: U8
    state: U8
    start: U64
    end: U64
    own_orders_until: U64
    orders_until: U64
    terms: Bytes32
    count: U64
    head: Bytes32
    price: U64
    volume: U64
    orders: Bytes32
    awards: Bytes32


@dataclass(frozen=True, slots=True)
class Order(Record):
    """`number` counts the auction's orders from 1."""

    TABLE = 15
    auction: Bytes32
    bidder: Bytes32
    commitment: Bytes32
    number: U64


@dataclass(frozen=True, slots=True)
class Import(Record):
    """What this ledger took over from others: `head` and `count` stand for their entries, in their order.

    There is one at most. `ledger` is the one that was closed for it, `root` the state root that the entries gave;
    that and `sealed_at` are zero until sealing.
    """

    TABLE = 16
    ledger: Bytes32
    count: U64
    head: Bytes32
    sealed_at: U64
    root: Bytes32

    @property
    def is_open(self) -> bool:
        return not self.sealed_at


@dataclass(frozen=True, slots=True)
class OldLedger(Record):
    """Keyed by the id of a ledger that entries come from; `separator` is that of its EIP-712 domain, and `previous` the
    ledger that it had taken over itself, or zero.
    """

    TABLE = 17
    previous: Bytes32
    separator: Bytes32


@dataclass(frozen=True, slots=True)
class Closing(Record):
    """There is one at most: what comes is on the ledger `successor`."""

    TABLE = 18
    successor: Bytes32
    time: U64
