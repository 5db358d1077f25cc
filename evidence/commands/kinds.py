"""The fields of every kind of command. Their order is their encoding; a change is a new kind beside the old one.

Energy in Wh, prices in micro-currency per kWh, instants in UTC seconds, days since 1970-01-01 of the local date.
`contents` and `document` are salted hashes of what stays off the ledger.
"""

from dataclasses import dataclass
from typing import ClassVar

from evidence.abi import U8, U32, U64, Bytes32, Bytes32s, Struct


class Fields(Struct):
    __slots__ = ()
    KIND: ClassVar[int]


# Registry


@dataclass(frozen=True, slots=True)
class RegisterParticipant(Fields):
    KIND = 101
    participant: Bytes32
    role: U8
    algorithm: U8
    x: Bytes32
    y: Bytes32
    custody: U8
    contents: Bytes32


@dataclass(frozen=True, slots=True)
class ChangeParticipantState(Fields):
    KIND = 102
    participant: Bytes32
    state: U8


@dataclass(frozen=True, slots=True)
class RotateParticipantKey(Fields):
    KIND = 103
    participant: Bytes32
    algorithm: U8
    x: Bytes32
    y: Bytes32
    custody: U8


@dataclass(frozen=True, slots=True)
class RegisterPlant(Fields):
    """`since`: the first day on which the plant stands behind the metering point."""

    KIND = 111
    plant: Bytes32
    area: Bytes32
    owner: Bytes32
    point: Bytes32
    power_w: U64
    since: U32
    contents: Bytes32


@dataclass(frozen=True, slots=True)
class TransferPlant(Fields):
    KIND = 112
    plant: Bytes32
    owner: Bytes32
    next_owner: Bytes32


@dataclass(frozen=True, slots=True)
class ChangePlantState(Fields):
    KIND = 113
    plant: Bytes32
    state: U8


@dataclass(frozen=True, slots=True)
class RegisterDevice(Fields):
    """`points`: the metering points that the device measures, ascending. One that is moved is registered anew."""

    KIND = 121
    device: Bytes32
    owner: Bytes32
    algorithm: U8
    x: Bytes32
    y: Bytes32
    contents: Bytes32
    points: Bytes32s


@dataclass(frozen=True, slots=True)
class TransferDevice(Fields):
    KIND = 122
    device: Bytes32
    owner: Bytes32
    next_owner: Bytes32


@dataclass(frozen=True, slots=True)
class ChangeDeviceState(Fields):
    KIND = 123
    device: Bytes32
    state: U8


@dataclass(frozen=True, slots=True)
class RotateDeviceKey(Fields):
    """`day`: the first day for which the new key speaks; the old one speaks about earlier days for `grace_days`."""

    KIND = 124
    device: Bytes32
    algorithm: U8
    x: Bytes32
    y: Bytes32
    day: U32
    grace_days: U32


@dataclass(frozen=True, slots=True)
class RevokeDeviceKey(Fields):
    KIND = 125
    device: Bytes32
    key: Bytes32


# Metering


@dataclass(frozen=True, slots=True)
class AnchorReadings(Fields):
    """`count` signed batches of an area, about readings in [start, end), have this root."""

    KIND = 201
    area: Bytes32
    day: U32
    start: U64
    end: U64
    count: U32
    root: Bytes32


@dataclass(frozen=True, slots=True)
class ReportDailyEnergy(Fields):
    """`corrects`: the id of the report that this one replaces, zero for the first of a day."""

    KIND = 202
    device: Bytes32
    day: U32
    generated: U64
    imported: U64
    exported: U64
    corrects: Bytes32


# Offers


@dataclass(frozen=True, slots=True)
class DeclareSurplus(Fields):
    """`basis` is the settlement root or the forecast from which the energy was derived."""

    KIND = 301
    declaration: Bytes32
    area: Bytes32
    plant: Bytes32
    seller: Bytes32
    mode: U8
    start: U64
    end: U64
    energy: U64
    basis: Bytes32


@dataclass(frozen=True, slots=True)
class PublishOffer(Fields):
    KIND = 302
    offer: Bytes32
    declaration: Bytes32
    seller: Bytes32
    energy: U64
    price: U64
    open_until: U64


@dataclass(frozen=True, slots=True)
class CommitPurchase(Fields):
    KIND = 303
    purchase: Bytes32
    offer: Bytes32
    declaration: Bytes32
    buyer: Bytes32
    point: Bytes32
    energy: U64


@dataclass(frozen=True, slots=True)
class WithdrawOffer(Fields):
    KIND = 304
    offer: Bytes32
    declaration: Bytes32
    seller: Bytes32


@dataclass(frozen=True, slots=True)
class CloseOffer(Fields):
    KIND = 305
    offer: Bytes32
    declaration: Bytes32


# Auctions


@dataclass(frozen=True, slots=True)
class OpenAuction(Fields):
    """Energy delivered in [start, end). Orders are taken until `orders_until`, the utility's own until
    `own_orders_until`; `terms` is the salted hash of the other rules.
    """

    KIND = 401
    auction: Bytes32
    area: Bytes32
    pricing: U8
    start: U64
    end: U64
    own_orders_until: U64
    orders_until: U64
    terms: Bytes32


@dataclass(frozen=True, slots=True)
class PlaceOrder(Fields):
    """`commitment` hides the order until the auction is cleared; see `evidence.accumulators.order_commitment`."""

    KIND = 402
    order: Bytes32
    auction: Bytes32
    bidder: Bytes32
    commitment: Bytes32


@dataclass(frozen=True, slots=True)
class ClearAuction(Fields):
    """`count` and `head` quote the orders that were placed; `orders` and `awards` are the roots of the book and of what
    came out of it. `price` is zero where every award has its own.
    """

    KIND = 403
    auction: Bytes32
    price: U64
    volume: U64
    count: U64
    head: Bytes32
    orders: Bytes32
    awards: Bytes32


# Settlement and billing


@dataclass(frozen=True, slots=True)
class RecordSettlement(Fields):
    """`root` is over `count` allotments, `previous` is the root of the version before or zero. Totals in Wh."""

    KIND = 601
    area: Bytes32
    day: U32
    version: U32
    count: U32
    root: Bytes32
    previous: Bytes32
    produced: U64
    consumed: U64
    allocated: U64
    fed_in: U64
    supplied: U64


@dataclass(frozen=True, slots=True)
class RecordInvoice(Fields):
    """`corrects` is the document that this one corrects, zero for an original."""

    KIND = 701
    issuer: Bytes32
    series: Bytes32
    number: U64
    document: Bytes32
    corrects: Bytes32


# Moving from one ledger to another


@dataclass(frozen=True, slots=True)
class OpenImport(Fields):
    """The ledgers that entries come from, each with the separator of its EIP-712 domain: in the order in which one took
    the other over, the one that was closed last.
    """

    KIND = 901
    ledgers: Bytes32s
    separators: Bytes32s


@dataclass(frozen=True, slots=True)
class SealImport(Fields):
    """`count` and `head` quote the entries that were taken over, `root` is the state root that they gave."""

    KIND = 902
    count: U64
    head: Bytes32
    root: Bytes32


@dataclass(frozen=True, slots=True)
class CloseLedger(Fields):
    """`successor` is the id of the ledger on which the market goes on."""

    KIND = 903
    successor: Bytes32


KINDS: dict[int, type[Fields]] = {
    fields.KIND: fields
    for fields in (
        RegisterParticipant,
        ChangeParticipantState,
        RotateParticipantKey,
        RegisterPlant,
        TransferPlant,
        ChangePlantState,
        RegisterDevice,
        TransferDevice,
        ChangeDeviceState,
        RotateDeviceKey,
        RevokeDeviceKey,
        AnchorReadings,
        ReportDailyEnergy,
        DeclareSurplus,
        PublishOffer,
        CommitPurchase,
        WithdrawOffer,
        CloseOffer,
        OpenAuction,
        PlaceOrder,
        ClearAuction,
        RecordSettlement,
        RecordInvoice,
        OpenImport,
        SealImport,
        CloseLedger,
    )
}
