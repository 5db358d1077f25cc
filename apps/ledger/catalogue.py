"""Kinds of commands, tables of the state and outcomes by name, and their members as JSON.

Integers travel as decimal strings and bytes as unpadded base64url, as in bundles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from evidence.abi import EncodingError, Integer, ListOf, Struct, Type, layout
from evidence.canonical import CanonicalError, decode_bytes, decode_int, encode_bytes, encode_int
from evidence.commands import KINDS, Command, CommandError, Fields, kinds
from evidence.hashing import ZERO
from ledger_adapters.contract import Code, records
from ledger_adapters.contract.core import RULES
from ledger_adapters.contract.records import Record

S = TypeVar("S", bound=Struct)

KIND_OF = {kind.__name__: kind for kind in KINDS.values()}

# The members that name those whose signature an envelope carries, in the order of the signatures.
SIGNED_BY: dict[type[Fields], tuple[str, ...]] = {
    kinds.RotateParticipantKey: ("participant",),
    kinds.TransferPlant: ("owner", "next_owner"),
    kinds.TransferDevice: ("owner", "next_owner"),
    kinds.RotateDeviceKey: ("device",),
    kinds.ReportDailyEnergy: ("device",),
    kinds.PublishOffer: ("seller",),
    kinds.CommitPurchase: ("buyer",),
    kinds.WithdrawOffer: ("seller",),
    kinds.PlaceOrder: ("bidder",),
}
# Both parties of the genesis record sign these.
OF_THE_PARTIES = frozenset({kinds.OpenImport, kinds.SealImport, kinds.CloseLedger})


class MemberError(ValueError):
    """A member of a JSON object is wrong; `member` is a dotted path to it."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the state: what it is called in addresses, and the ids that its keys are derived from."""

    name: str
    record: type[Record]
    ids: tuple[str, ...]

    def key(self, ids: tuple[bytes | int, ...]) -> bytes:
        """Raises `MemberError` for ids that are not those of the table."""
        if self.record is records.Domain:
            fits = len(ids) > 1 and isinstance(ids[0], int) and ids[0] < 1 << 64
        else:
            fits = [isinstance(part, int) for part in ids] == [name in NUMBERS for name in self.ids]
        if not fits:
            raise MemberError("ids", f"{self.name}: the ids are {', '.join(self.ids)}")
        return self.record.key(*ids)


NUMBERS = frozenset({"day", "number", "table"})

TABLES = {
    table.name: table
    for table in (
        Table("genesis", records.Genesis, ()),
        Table("domain", records.Domain, ("table", "ids of a record of it")),
        Table("applied-id", records.AppliedId, ("command",)),
        Table("participant", records.Participant, ("participant",)),
        Table("plant", records.Plant, ("plant",)),
        Table("device", records.Device, ("device",)),
        Table("anchor", records.Anchor, ("area", "day", "root")),
        Table("daily-energy", records.DailyEnergy, ("device", "day")),
        Table("declaration", records.Declaration, ("declaration",)),
        Table("offer", records.Offer, ("offer",)),
        Table("purchase", records.Purchase, ("purchase",)),
        Table("settlement", records.Settlement, ("area", "day")),
        Table("invoice", records.Invoice, ("issuer", "series", "number")),
        Table("used-key", records.UsedKey, ("device", "key")),
        Table("auction", records.Auction, ("auction",)),
        Table("order", records.Order, ("order",)),
        Table("import", records.Import, ()),
        Table("old-ledger", records.OldLedger, ("ledger",)),
        Table("closing", records.Closing, ()),
    )
}


def kind_name(kind: int) -> str:
    return KINDS[kind].__name__ if kind in KINDS else str(kind)


def needs_operator(kind: type[Fields]) -> bool:
    """Whether the contract asks for the operator's signature over the batch."""
    return RULES[kind.KIND].by_utility


def signed_by(kind: type[Fields]) -> list[str]:
    """Who signs a kind: members that name them, or the parties of the genesis record."""
    return ["utility", "community"] if kind in OF_THE_PARTIES else list(SIGNED_BY.get(kind, ()))


def shape_of(record: type[Struct]) -> list[dict[str, str]]:
    """Names and types of a record's members, in the order of their encoding."""
    shape = layout(record)
    return [{"name": name, "type": kind.name} for name, kind in zip(shape.names, shape.types, strict=True)]


def codes() -> list[dict[str, str]]:
    return [{"code": encode_int(code), "name": code.name} for code in Code]


def members_of(record: Struct) -> dict[str, Any]:
    shape = layout(type(record))
    values = zip(shape.names, shape.types, shape.values(record), strict=True)
    return {name: _write(kind, value) for name, kind, value in values}


def _write(kind: Type, value: Any) -> Any:
    if isinstance(kind, ListOf):
        return [_write(kind.item, item) for item in value]
    return encode_int(value) if isinstance(kind, Integer) else encode_bytes(value)


def read_members(record: type[S], members: Any, at: str = "fields") -> S:
    """The record with exactly these members. Raises `MemberError`."""
    shape = layout(record)
    if not isinstance(members, dict) or set(members) != set(shape.names):
        raise MemberError(at, f"An object with exactly these members is expected: {', '.join(shape.names)}.")
    types = zip(shape.names, shape.types, strict=True)
    return record(*(_read(kind, members[name], f"{at}.{name}") for name, kind in types))


def _read(kind: Type, value: Any, at: str) -> Any:
    if isinstance(kind, ListOf):
        if not isinstance(value, list) or len(value) > kind.most:
            raise MemberError(at, f"A list of at most {kind.most} is expected.")
        return tuple(_read(kind.item, item, f"{at}.{index}") for index, item in enumerate(value))
    try:
        read = decode_int(value) if isinstance(kind, Integer) else decode_bytes(value)
        kind.check(read)
    except (CanonicalError, EncodingError) as error:
        raise MemberError(at, str(error)[:200]) from None
    return read


def command_members(command: Command) -> dict[str, Any]:
    """A command as JSON. Its market is that of the ledger."""
    return {
        "kind": type(command.fields).__name__,
        "nonce": encode_bytes(command.nonce),
        "fields": members_of(command.fields),
        "after": encode_bytes(command.after),
        "valid_until": encode_int(command.valid_until),
        "signatures": [
            {"key": encode_bytes(key), "signature": encode_bytes(signature)} for key, signature in command.signatures
        ],
    }


def read_command(market: bytes, members: Mapping[str, Any], nonce: bytes | None = None) -> Command:
    """A command from JSON. `nonce` stands in for one that is not given. Raises `MemberError`."""
    needed, optional = {"kind", "fields"}, {"nonce", "after", "valid_until", "signatures"}
    if not needed <= set(members) <= needed | optional:
        raise MemberError("", "The members are kind, fields and, as needed, nonce, after, valid_until, signatures.")
    kind = KIND_OF.get(members["kind"]) if isinstance(members["kind"], str) else None
    if kind is None:
        raise MemberError("kind", "There is no such kind of command.")
    if "nonce" not in members and nonce is None:
        raise MemberError("nonce", "A nonce is missing.")
    command = Command(
        market,
        _bytes(members["nonce"], "nonce") if "nonce" in members else nonce or ZERO,
        read_members(kind, members["fields"]),
        _bytes(members["after"], "after") if "after" in members else ZERO,
        _u64(members["valid_until"], "valid_until") if "valid_until" in members else 0,
        _signatures(members.get("signatures", [])),
    )
    try:
        return Command.from_bytes(command.envelope.encode())
    except (CommandError, EncodingError) as error:
        raise MemberError("", str(error)[:200]) from None


def read_envelope(text: Any) -> Command:
    """A command from its encoded bytes. Raises `MemberError`."""
    try:
        return Command.from_bytes(decode_bytes(text))
    except (CanonicalError, CommandError) as error:
        raise MemberError("envelope", str(error)[:200]) from None


def _signatures(value: Any) -> tuple[tuple[bytes, bytes], ...]:
    if not isinstance(value, list):
        raise MemberError("signatures", "A list is expected.")
    found = []
    for index, item in enumerate(value):
        at = f"signatures.{index}"
        if not isinstance(item, dict) or set(item) != {"key", "signature"}:
            raise MemberError(at, "An object with exactly these members is expected: key, signature.")
        found.append((_bytes(item["key"], f"{at}.key"), _bytes(item["signature"], f"{at}.signature", 64)))
    return tuple(found)


def _bytes(value: Any, at: str, size: int = 32) -> bytes:
    try:
        content = decode_bytes(value)
    except CanonicalError as error:
        raise MemberError(at, str(error)[:200]) from None
    if len(content) != size:
        raise MemberError(at, f"{size} bytes are expected.")
    return content


def _u64(value: Any, at: str) -> int:
    try:
        number = decode_int(value)
    except CanonicalError as error:
        raise MemberError(at, str(error)[:200]) from None
    if not 0 <= number < 1 << 64:
        raise MemberError(at, "A number of 64 bits is expected.")
    return number
