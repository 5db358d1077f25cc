"""Commands for the contracts: a day on which everybody has a wallet, and commands put together at random."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from evidence.abi import Integer, layout
from evidence.commands import Command, Fields
from evidence.commands.kinds import (
    CommitPurchase,
    DeclareSurplus,
    OpenAuction,
    PlaceOrder,
    PublishOffer,
    RegisterDevice,
    RegisterParticipant,
    RegisterPlant,
    ReportDailyEnergy,
    RotateDeviceKey,
    RotateParticipantKey,
    TransferDevice,
    TransferPlant,
    WithdrawOffer,
)
from evidence.hashing import ZERO
from evidence.keys import SoftwareKey
from ledger_adapters.contract.records import Custody, Mode, Pricing, Role
from tests.quorum.contracts import Market
from tests.vectors.contract_cases import SUCCEEDING
from tests.vectors.market import (
    ALICE,
    AREA,
    BOB,
    CAROL,
    COMMUNITY,
    CONTENTS,
    DAY,
    HOUR,
    MARKET,
    METER,
    NEW_METER,
    NOW,
    OLD_METER,
    POINT,
    UTILITY,
    ident,
    secp256k1,
)


def struct(key: SoftwareKey) -> tuple[int, bytes, bytes]:
    public = key.public_key
    return public.algorithm, public.x, public.y


ANN, BEN = secp256k1("ann"), secp256k1("ben")


def day_of_wallets(market: Market) -> list[Command]:
    """Commands one after the other, among them each kind that persons sign, and a report that a device signs."""
    ann, ben, plant, device, sale, offer, auction = map(
        ident, ("ann", "ben", "roof", "box", "sale", "offer", "auction")
    )
    second_key = secp256k1("ann's second key").public_key
    steps: list[tuple[Fields, tuple[SoftwareKey, ...]]] = [
        (RegisterParticipant(ann, Role.CUSTOMER, *struct(ANN), Custody.OWN, CONTENTS), ()),
        (RegisterParticipant(ben, Role.CUSTOMER, *struct(BEN), Custody.OWN, CONTENTS), ()),
        (RegisterPlant(plant, AREA, ann, POINT, 9_900, 1, CONTENTS), ()),
        (RegisterDevice(device, ann, *struct(METER), CONTENTS, (POINT,)), ()),
        (ReportDailyEnergy(device, 1, 5_200, 400, 3_300, ZERO), (METER,)),
        (DeclareSurplus(sale, AREA, plant, ann, Mode.METERED, 1, 2, 10_000, ident("basis")), ()),
        (PublishOffer(offer, sale, ann, 5_000, 110_000, 2**63), (ANN,)),
        (CommitPurchase(ident("purchase"), offer, sale, ben, POINT, 3_000), (BEN,)),
        (WithdrawOffer(offer, sale, ann), (ANN,)),
        (OpenAuction(auction, AREA, Pricing.UNIFORM, 1, 2, 2**62, 2**63, ident("terms")), ()),
        (PlaceOrder(ident("order"), auction, ben, ident("commitment")), (BEN,)),
        (TransferPlant(plant, ann, ben), (ANN, BEN)),
        (TransferDevice(device, ann, ben), (ANN, BEN)),
        (RotateParticipantKey(ann, second_key.algorithm, second_key.x, second_key.y, Custody.OWN), (ANN,)),
    ]
    commands: list[Command] = []
    for fields, signers in steps:
        after = commands[-1].id if commands else ZERO
        commands.append(market.signed(Command(MARKET, ident("nonce"), fields, after), *signers))
    return commands


PEOPLE = {ident(name): key for name, key in {"alice": ALICE, "bob": BOB, "carol": CAROL, "issuer": UTILITY}.items()}
DEVICES = ("device", "idle device", "revoked device", "rotated device", "device with old key revoked", "new device")
ANYBODY = ("alice", "bob", "carol", "issuer", "nobody")
NAMES = {
    "participant": ("alice", "bob", "carol", "new participant"),
    "plant": ("plant", "idle plant", "new plant"),
    "device": DEVICES,
    "declaration": ("metered", "forecast", "new declaration"),
    "offer": ("offer", "forecast offer", "withdrawn offer", "offer that is over", "sold offer", "new offer"),
    "purchase": ("purchase", "new purchase"),
    "auction": ("auction", "auction that is over", "cleared auction", "new auction"),
    "order": ("order", "new order"),
    **dict.fromkeys(("seller", "buyer", "bidder", "owner", "issuer"), ANYBODY),
    "next_owner": ("alice", "bob", "carol"),
    "corrects": ("report",),
    "root": ("root", "anchored root"),
}
NUMBERS = (0, 1, 2, 3, 4, 6, 255, DAY - 1, DAY, DAY + 1, 2_000, 2_001, 3_000, 10_000, NOW - 1, NOW, NOW + HOUR)
KEYS = tuple(
    dict(zip(("algorithm", "x", "y"), struct(key), strict=True))
    for key in (METER, OLD_METER, NEW_METER, ALICE, BOB, COMMUNITY)
)


def changed(fields: Any, chance: Random) -> Any:
    """The fields with one of them taken from another command, or near an end of its range."""
    shape = layout(type(fields))
    place = chance.randrange(len(shape.names))
    name, kind = shape.names[place], shape.types[place]
    if name in ("algorithm", "x", "y"):
        return replace(fields, **chance.choice(KEYS))
    if isinstance(kind, Integer):
        ends = (*NUMBERS, kind.bounds[1] - 1)
        return replace(fields, **{name: chance.choice([number for number in ends if number < kind.bounds[1]])})
    if name in NAMES:
        return replace(fields, **{name: ident(chance.choice(NAMES[name]))})
    return fields


def usual_signers(fields: Fields, chance: Random) -> tuple[SoftwareKey, ...]:
    if isinstance(fields, ReportDailyEnergy | RotateDeviceKey):
        return (chance.choice((METER, METER, OLD_METER, NEW_METER)),)
    named = {
        RotateParticipantKey: ("participant",),
        TransferPlant: ("owner", "next_owner"),
        TransferDevice: ("owner", "next_owner"),
        PublishOffer: ("seller",),
        WithdrawOffer: ("seller",),
        CommitPurchase: ("buyer",),
        PlaceOrder: ("bidder",),
    }.get(type(fields), ())
    return tuple(PEOPLE.get(getattr(fields, name), ALICE) for name in named)


def random_command(market: Market, chance: Random, known: Sequence[bytes]) -> Command:
    """A command of any kind, signed mostly by those who should; `known` are ids that it may name as predecessor."""
    fields: Any = chance.choice(SUCCEEDING)[0]
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        fields = changed(fields, chance)
    after = chance.choice(known) if known and chance.random() < 0.1 else ZERO
    until = chance.choice((0, 0, 0, 0, NOW, NOW + 2 * HOUR))
    sent = Command(MARKET, chance.randbytes(32), fields, after, until)
    signers = usual_signers(fields, chance)
    if chance.random() < 0.05:
        signers = signers[1:] or (CAROL,)
    return market.signed(sent, *signers)
