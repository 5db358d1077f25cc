"""Sequences of commands as people, devices, operators and attackers might send them, drawn from a seed.

Each sequence lives among participants and objects of its own, so that many of them can be sent at the same time.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Listed
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from evidence import eip712
from evidence.abi import layout
from evidence.commands import KINDS, Command, Fields, kinds, sign_digest, wallet_digest
from evidence.hashing import ZERO, sha256
from evidence.keys import ORDERS, Algorithm, PublicKey, SoftwareKey
from ledger_adapters.contract import ContractError, Genesis
from ledger_adapters.contract.core import RULES
from ledger_adapters.contract.kind import Context, Signatory, View
from ledger_adapters.contract.records import (
    Auction,
    DailyEnergy,
    Declaration,
    Device,
    Mode,
    Offer,
    Plant,
    Record,
    Settlement,
)

HOUR, DAY = 3_600, 86_400
LARGEST = 2**64 - 1
State = Mapping[bytes, bytes | None]
F = TypeVar("F", bound=Fields)
T = TypeVar("T")

# A sequence is mostly about one of these, so that it gets far enough to meet its rules.
_OFFERS: tuple[type[Fields], ...] = (kinds.DeclareSurplus, kinds.PublishOffer, kinds.CloseOffer, kinds.WithdrawOffer)
_DEVICES: tuple[type[Fields], ...] = (kinds.RotateDeviceKey, kinds.RevokeDeviceKey, kinds.ChangeDeviceState)
# What would end the ledger for everybody else has a suite of its own: see `moving`.
_ANY = tuple(each for each in KINDS.values() if each.KIND < kinds.OpenImport.KIND)
TOPICS: tuple[tuple[type[Fields], ...], ...] = (
    (*_OFFERS, kinds.PublishOffer, kinds.CommitPurchase, kinds.CommitPurchase, kinds.CommitPurchase),
    (*_DEVICES, kinds.TransferDevice, kinds.ReportDailyEnergy, kinds.ReportDailyEnergy, kinds.AnchorReadings),
    (kinds.OpenAuction, kinds.PlaceOrder, kinds.PlaceOrder, kinds.ClearAuction),
    (kinds.RecordSettlement, kinds.RecordInvoice, kinds.AnchorReadings, kinds.ChangePlantState, kinds.TransferPlant),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """An envelope, and whether its batch is to carry the operator's signature."""

    envelope: bytes
    by_operator: bool


@dataclass
class Sequence:
    """Draws commands one after another; looks at the state so that many of them succeed."""

    seed: int
    genesis: Genesis
    domain: eip712.Domain
    _keys: dict[bytes, SoftwareKey] = field(default_factory=dict)
    _sent: list[tuple[Command, Sent]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 not for keys that anybody relies on
        self._opening = self._first_commands()

    def next(self, state: State, now: int) -> Sent:
        """The next command in the light of all that was applied before, at ledger time `now` or a little later."""
        if self._chance(3):
            return Sent(self._broken(), True)
        if self._sent and self._chance(4):
            return self._random.choice(self._sent)[1]
        fields = next(self._opening, None) or self._any(state, now)
        return self._signed(fields, state, now)

    def choose(self, options: Listed[T]) -> T:
        return self._random.choice(options)

    def past(self, kind: type[F], record: type[Record], name: str, state: State) -> F | None:
        """The fields of one of this sequence's commands of a kind that were applied, by the record that it wrote."""
        found = [
            command.fields
            for command, _ in self._sent
            if isinstance(command.fields, kind) and state.get(record.key(getattr(command.fields, name))) is not None
        ]
        return self._random.choice(found) if found else None

    # Names and numbers

    def _chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    def _id(self, name: str, count: int = 2) -> bytes:
        """One of `count` ids of a sort, sometimes one that nobody ever registered."""
        number = count if self._chance(4) else self._random.randrange(count)
        return self._named(f"{name} {number}")

    def _named(self, name: str) -> bytes:
        return sha256(f"{self.seed} {name}".encode())

    def _key(self, name: str, algorithm: Algorithm) -> PublicKey:
        key = SoftwareKey(algorithm, self._named(f"key {name} {algorithm}"))
        self._keys[key.public_key.id] = key
        return key.public_key

    def _participant_key(self, number: int) -> PublicKey:
        return self._key(f"person {number}", Algorithm.SECP256K1 if number % 2 else Algorithm.P256)

    def _first_commands(self) -> Iterator[Fields]:
        """A small market to begin with; every tenth sequence starts from nothing."""
        if self.seed % 10 == 9:
            return iter(())
        alice, bob, utility = (
            kinds.RegisterParticipant(
                self._named(f"person {n}"), role, *_words(self._participant_key(n)), (n + 1) % 2, ZERO
            )
            for n, role in enumerate((3, 3, 1))
        )
        area, point = self._named("area 0"), self._named("point 0")
        roof = kinds.RegisterPlant(self._named("plant 0"), area, alice.participant, point, 9_900, 0, ZERO)
        key = self._key("device 0", Algorithm.P256)
        box = kinds.RegisterDevice(self._named("device 0"), alice.participant, *_words(key), ZERO, ())
        needed = ((roof,), (box,), (), (roof,))
        return iter((alice, bob, utility, *needed[self.seed % len(TOPICS)]))

    # Fields

    def _any(self, state: State, now: int) -> Fields:
        topic = TOPICS[self.seed % len(TOPICS)]
        kind = self._possible(self.choose(topic if self._chance(85) else _ANY), state)
        drawn = {name: self._drawn(name, now) for name in layout(kind).names}
        if "algorithm" in drawn:
            drawn |= self._new_key(kind)
        fields = kind(**drawn)
        improve = IMPROVEMENTS.get(kind)
        if improve is not None and not self._chance(15):
            return improve(self, fields, state, now)
        return fields

    def _possible(self, kind: type[Fields], state: State) -> type[Fields]:
        """Most of the time what a kind rests on comes first."""
        needed = NEEDED.get(kind)
        if needed is None or self._chance(10) or self.past(*needed, state) is not None:
            return kind
        return self._possible(needed[0], state)

    def _new_key(self, kind: type[Fields]) -> dict[str, Any]:
        name = f"new {self._random.randrange(4)}"
        wallet = kind in (kinds.RegisterParticipant, kinds.RotateParticipantKey) and self._chance(50)
        key = self._key(name, Algorithm.SECP256K1 if wallet else Algorithm.P256)
        if self._chance(6):
            key = replace(key, y=key.x)
        return {"algorithm": key.algorithm, "x": key.x, "y": key.y}

    def _drawn(self, name: str, now: int) -> Any:
        choose = self._random.choice
        if name in ("participant", "owner", "next_owner", "seller", "buyer", "bidder", "issuer"):
            return self._id("person", 3)
        if name in ("plant", "device", "declaration", "offer", "purchase", "auction", "order"):
            return self._id(name, 3 if name in ("purchase", "order") else 2)
        if name in ("area", "point", "series"):
            return self._named(f"{name} {self._random.randrange(2)}")
        if name in ("key", "root", "previous", "corrects", "document", "head", "commitment"):
            return choose((ZERO, self._named(f"{name} {self._random.randrange(3)}")))
        numbers: dict[str, tuple[int, ...]] = {
            "role": (0, 1, 2, 3, 6, 7),
            "custody": (0, 1, 2),
            "state": (0, 1, 1, 2, 2, 3, 4),
            "mode": (0, 1, 1, 2, 2, 3),
            "pricing": (0, 1, 2, 3, 4),
            "power_w": (0, 9_900, LARGEST),
            "algorithm": (1,),
            "since": (0, now // DAY, 2**32 - 1),
            "day": (now // DAY - 1, now // DAY, now // DAY + 1),
            "grace_days": (0, 1, 2**32 - 1),
            "start": (now - 2 * HOUR, now - HOUR, now + HOUR),
            "end": (now - HOUR, now - 1, now + 2 * HOUR),
            "energy": (0, 1, 3, 5, 10, LARGEST),
            "price": (0, 120_000, LARGEST),
            "open_until": (now - 1, now + 2, now + 4, now + HOUR),
            "own_orders_until": (now, now + 1, now + 3, now + HOUR),
            "orders_until": (now + 1, now + 4, now + 2 * HOUR),
            "version": (0, 1, 2),
            "number": (0, 1, 2, 3),
            "count": (0, 1, 7),
        }
        if name in numbers:
            return choose(numbers[name])
        if name == "points":
            points = sorted(self._named(f"point {n}") for n in range(self._random.randrange(4)))
            return tuple(points if self._chance(80) else points[::-1])
        if name in ("x", "y", "contents", "basis", "terms", "orders", "awards"):
            return self._named(name)
        return self._random.randrange(10)

    # Signatures

    def _signed(self, fields: Fields, state: State, now: int) -> Sent:
        choose = self._random.choice
        market = self._named("market") if self._chance(2) else self.genesis.market
        after = choose(self._sent)[0].id if self._sent and self._chance(5) else ZERO
        valid_until = choose((now - 1, now + HOUR, now + HOUR)) if self._chance(6) else 0
        nonce = self._random.randbytes(32)
        command = Command(market, nonce, fields, self._named("unknown") if self._chance(2) else after, valid_until)
        marks = [self._mark(command, signatory) for signatory in self._signatories(fields, state, now)]
        if self._chance(3):
            marks = marks[:-1] if marks and self._chance(50) else [*marks, (self._named("key"), bytes(64))]
        command = replace(command, signatures=tuple(marks))
        by_operator = not self._chance(4) if RULES[fields.KIND].by_utility else self._chance(50)
        sent = Sent(command.envelope.encode(), by_operator)
        self._sent.append((command, sent))
        return sent

    def _signatories(self, fields: Fields, state: State, now: int) -> tuple[Signatory, ...]:
        """Whose signatures the contract expects; sometimes a device's older key speaks."""
        signers: tuple[bytes, ...] = ()
        if isinstance(fields, kinds.ReportDailyEnergy) and self._chance(30):
            device = _record(Device, state, fields.device)
            if device is not None and device.old_key is not None:
                signers = (device.old_key.id,)
        try:
            return RULES[fields.KIND].signers(fields, View(_Known(state)), Context(ZERO, now, signers))
        except ContractError:
            return (Signatory(self._key("stranger", Algorithm.P256)),)

    def _mark(self, command: Command, signatory: Signatory) -> tuple[bytes, bytes]:
        key = self._keys.get(signatory.key.id) or SoftwareKey(Algorithm.P256, self._named("key of a stranger"))
        digest = sign_digest(self.genesis.ledger, command)
        if signatory.is_wallet:
            digest = wallet_digest(self.domain, command)
        if self._chance(2):
            digest = self._named("another digest")
        signature = key.sign(digest)
        if self._chance(2):
            s = ORDERS[Algorithm(key.algorithm)] - int.from_bytes(signature[32:], "big")
            signature = signature[:32] + s.to_bytes(32, "big")
        name = self._named("another key") if self._chance(2) else key.public_key.id
        return name, signature

    def _broken(self) -> bytes:
        """Bytes that are no command: a true one with something changed in its form, or anything at all."""
        if not self._sent or self._chance(20):
            return self._random.randbytes(self._random.randrange(100))
        wire = bytearray(self._random.choice(self._sent)[0].envelope.encode())
        way = self._random.randrange(4)
        if way == 0:
            return bytes(wire[: self._random.randrange(len(wire))])
        if way == 1:
            return bytes(wire) + bytes(self._random.randrange(1, 40))
        # The first word is the version, the second the kind, the fifth says where the fields begin.
        wire[32 * (0, 4)[way - 2] + 31] ^= 1 << self._random.randrange(8)
        return bytes(wire)


class _Known(dict[bytes, bytes | None]):
    """The state as a rule may ask for it: what was never written is not there."""

    def __missing__(self, key: bytes) -> None:
        return None


def _words(key: PublicKey) -> tuple[int, bytes, bytes]:
    return key.algorithm, key.x, key.y


def _record(kind: type[Any], state: State, *ids: bytes | int) -> Any:
    value = state.get(kind.key(*ids))
    return kind.decode(value) if value is not None else None


# Fields drawn at random rarely fit what others did before: most of the time they are made to.

Improvement = Callable[[Sequence, Any, State, int], Fields]
OnOffer = kinds.CommitPurchase | kinds.WithdrawOffer | kinds.CloseOffer
OnDevice = kinds.RotateDeviceKey | kinds.RevokeDeviceKey | kinds.TransferDevice


def _next_version(sequence: Sequence, fields: kinds.RecordSettlement, state: State, now: int) -> Fields:
    stands = _record(Settlement, state, fields.area, fields.day)
    version, previous = (stands.version, stands.root) if stands else (0, ZERO)
    wh = sequence.choose((0, 0, 1))
    return replace(
        fields,
        version=version + 1,
        previous=previous,
        produced=fields.allocated + fields.fed_in + wh,
        consumed=fields.allocated + fields.supplied,
    )


def _some_surplus(sequence: Sequence, fields: kinds.DeclareSurplus, state: State, now: int) -> Fields:
    start, end = sequence.choose(((now - 2 * HOUR, now - HOUR), (now + 3, now + HOUR), (now + HOUR, now + 2 * HOUR)))
    mode = Mode.METERED if start < now or sequence.choose(range(8)) == 0 else Mode.FORECAST
    roof = sequence.past(kinds.RegisterPlant, Plant, "plant", state)
    if roof is None:
        return fields
    return replace(
        fields, area=roof.area, plant=roof.plant, seller=roof.owner, mode=mode, start=start, end=end, energy=10
    )


def _some_offer(sequence: Sequence, fields: kinds.PublishOffer, state: State, now: int) -> Fields:
    declared = sequence.past(kinds.DeclareSurplus, Declaration, "declaration", state)
    if declared is None:
        return fields
    until = sequence.choose((now + 2, now + HOUR, now + HOUR))
    surplus = _record(Declaration, state, declared.declaration)
    energy = sequence.choose((5, 5, surplus.energy - surplus.offered, fields.energy))
    fields = replace(fields, declaration=declared.declaration, seller=declared.seller)
    return replace(fields, energy=energy, open_until=until)


def _on_an_offer(sequence: Sequence, fields: OnOffer, state: State, now: int) -> Fields:
    published = sequence.past(kinds.PublishOffer, Offer, "offer", state)
    if published is None:
        return fields
    changes: dict[str, Any] = {"offer": published.offer, "declaration": published.declaration}
    if isinstance(fields, kinds.WithdrawOffer):
        changes["seller"] = published.seller
    if isinstance(fields, kinds.CommitPurchase):
        offer = _record(Offer, state, published.offer)
        left = offer.energy - offer.committed
        changes["energy"] = min(LARGEST, sequence.choose((fields.energy, 1, left, left + 1)))
    return replace(fields, **changes)


def _some_auction(sequence: Sequence, fields: kinds.OpenAuction, state: State, now: int) -> Fields:
    own, orders = sequence.choose(((now + 2, now + 4), (now + 2, now + HOUR), (now + HOUR, now + 2 * HOUR)))
    return replace(fields, start=now, end=now + HOUR, own_orders_until=own, orders_until=orders)


def _some_order(sequence: Sequence, fields: kinds.PlaceOrder, state: State, now: int) -> Fields:
    opened = sequence.past(kinds.OpenAuction, Auction, "auction", state)
    return replace(fields, auction=opened.auction) if opened else fields


def _true_head(sequence: Sequence, fields: kinds.ClearAuction, state: State, now: int) -> Fields:
    opened = sequence.past(kinds.OpenAuction, Auction, "auction", state)
    if opened is None:
        return fields
    auction = _record(Auction, state, opened.auction)
    head = sequence.choose((auction.head, auction.head, fields.head))
    return replace(fields, auction=opened.auction, count=auction.count, head=head)


def _what_stands(sequence: Sequence, fields: kinds.ReportDailyEnergy, state: State, now: int) -> Fields:
    box = sequence.past(kinds.RegisterDevice, Device, "device", state)
    if box is None:
        return fields
    stands = _record(DailyEnergy, state, box.device, fields.day)
    corrects = sequence.choose((stands.report, stands.report, ZERO)) if stands else ZERO
    return replace(fields, device=box.device, corrects=corrects)


def _on_a_device(sequence: Sequence, fields: OnDevice, state: State, now: int) -> Fields:
    box = sequence.past(kinds.RegisterDevice, Device, "device", state)
    if box is None:
        return fields
    changes: dict[str, Any] = {"device": box.device}
    device = _record(Device, state, box.device)
    if isinstance(fields, kinds.RevokeDeviceKey):
        keys = [device.public_key, *([device.old_key] if device.old_key else [])]
        changes["key"] = sequence.choose(keys).id
    if isinstance(fields, kinds.TransferDevice):
        changes["owner"] = device.owner
    return replace(fields, **changes)


def _on_a_plant(sequence: Sequence, fields: kinds.TransferPlant, state: State, now: int) -> Fields:
    roof = sequence.past(kinds.RegisterPlant, Plant, "plant", state)
    if roof is None:
        return fields
    return replace(fields, plant=roof.plant, owner=_record(Plant, state, roof.plant).owner)


# The kind that a kind rests on, the record that it writes and the field with the record's id.
NEEDED: dict[type[Fields], tuple[type[Fields], type[Record], str]] = {
    kinds.PublishOffer: (kinds.DeclareSurplus, Declaration, "declaration"),
    kinds.CommitPurchase: (kinds.PublishOffer, Offer, "offer"),
    kinds.CloseOffer: (kinds.PublishOffer, Offer, "offer"),
    kinds.WithdrawOffer: (kinds.PublishOffer, Offer, "offer"),
    kinds.PlaceOrder: (kinds.OpenAuction, Auction, "auction"),
    kinds.ClearAuction: (kinds.OpenAuction, Auction, "auction"),
}
IMPROVEMENTS: dict[type[Fields], Improvement] = {
    kinds.RecordSettlement: _next_version,
    kinds.DeclareSurplus: _some_surplus,
    kinds.PublishOffer: _some_offer,
    kinds.CommitPurchase: _on_an_offer,
    kinds.WithdrawOffer: _on_an_offer,
    kinds.CloseOffer: _on_an_offer,
    kinds.OpenAuction: _some_auction,
    kinds.PlaceOrder: _some_order,
    kinds.ClearAuction: _true_head,
    kinds.ReportDailyEnergy: _what_stands,
    kinds.RotateDeviceKey: _on_a_device,
    kinds.RevokeDeviceKey: _on_a_device,
    kinds.TransferDevice: _on_a_device,
    kinds.TransferPlant: _on_a_plant,
}
