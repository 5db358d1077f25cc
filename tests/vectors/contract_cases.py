"""What becomes of commands: at least one case per outcome, and one per reason that a kind can fail for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evidence.accumulators import chain_of
from evidence.commands import Command, Fields, sign_digest
from evidence.commands.kinds import (
    AnchorReadings,
    ChangeDeviceState,
    ChangeParticipantState,
    ChangePlantState,
    ClearAuction,
    CloseLedger,
    CloseOffer,
    CommitPurchase,
    DeclareSurplus,
    OpenAuction,
    OpenImport,
    PlaceOrder,
    PublishOffer,
    RecordInvoice,
    RecordSettlement,
    RegisterDevice,
    RegisterParticipant,
    RegisterPlant,
    ReportDailyEnergy,
    RevokeDeviceKey,
    RotateDeviceKey,
    RotateParticipantKey,
    SealImport,
    TransferDevice,
    TransferPlant,
    WithdrawOffer,
)
from evidence.hashing import ZERO
from evidence.keys import ORDERS, SoftwareKey
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import (
    AppliedId,
    Closing,
    Custody,
    Declaration,
    Device,
    Domain,
    Import,
    Mode,
    Participant,
    Plant,
    Pricing,
    Role,
    State,
)
from tests.vectors.market import (
    ALICE,
    AREA,
    BASIS,
    BOB,
    CAROL,
    COMMUNITY,
    CONTENTS,
    DAY,
    HOUR,
    LEDGER,
    MARKET,
    METER,
    NEW_METER,
    NOW,
    OLD_METER,
    POINT,
    UTILITY,
    WORLD,
    auction,
    command,
    device,
    ident,
    p256,
    records,
    secp256k1,
    sign,
)

LARGEST_U64 = 2**64 - 1


@dataclass(frozen=True)
class Case:
    """A batch that meets `state` at ledger time `now`; `expected` is the outcome of each of its commands.

    `signed` is what the operator signed, where that is something else.
    """

    name: str
    expected: tuple[Code, ...]
    commands: tuple[Command | bytes, ...]
    now: int = NOW
    state: Mapping[bytes, bytes] = field(default_factory=lambda: WORLD)
    operator: SoftwareKey | None = UTILITY
    signed: tuple[Command, ...] | None = None


def one(name: str, expected: Code, sent: Command | bytes, **options: Any) -> Case:
    return Case(name, (expected,), (sent,), **options)


def world(*rows: tuple[Any, *tuple[bytes | int, ...]]) -> dict[bytes, bytes]:
    """The usual state with some records replaced or added."""
    return {**WORLD, **records(*rows)}


# A command of each kind that succeeds, with those who have to sign it.

_new_person, _new_wallet, _new_device = p256("new person"), secp256k1("new wallet"), p256("new device")


def _key(key: SoftwareKey) -> dict[str, Any]:
    public = key.public_key
    return {"algorithm": public.algorithm, "x": public.x, "y": public.y}


REGISTER_PARTICIPANT = RegisterParticipant(
    participant=ident("new participant"),
    role=Role.CUSTOMER,
    custody=Custody.CUSTODIAL,
    contents=CONTENTS,
    **_key(_new_person),
)
CHANGE_PARTICIPANT = ChangeParticipantState(ident("alice"), State.SUSPENDED)
ROTATE_PARTICIPANT = RotateParticipantKey(participant=ident("alice"), custody=Custody.OWN, **_key(_new_wallet))
REGISTER_PLANT = RegisterPlant(ident("new plant"), AREA, ident("alice"), POINT, 9_900, DAY, CONTENTS)
TRANSFER_PLANT = TransferPlant(ident("plant"), ident("alice"), ident("bob"))
CHANGE_PLANT = ChangePlantState(ident("plant"), State.CLOSED)
REGISTER_DEVICE = RegisterDevice(
    device=ident("new device"),
    owner=ident("alice"),
    contents=CONTENTS,
    points=tuple(sorted((POINT, ident("second point")))),
    **_key(_new_device),
)
TRANSFER_DEVICE = TransferDevice(ident("device"), ident("alice"), ident("bob"))
CHANGE_DEVICE = ChangeDeviceState(ident("device"), State.SUSPENDED)
ROTATE_DEVICE = RotateDeviceKey(device=ident("device"), day=DAY, grace_days=30, **_key(NEW_METER))
REVOKE_DEVICE = RevokeDeviceKey(ident("device"), METER.public_key.id)
ANCHOR = AnchorReadings(AREA, DAY, NOW - 2 * HOUR, NOW - HOUR, 7, ident("root"))
REPORT = ReportDailyEnergy(ident("device"), DAY, 5_200, 400, 3_300, ZERO)
DECLARE = DeclareSurplus(
    ident("new declaration"), AREA, ident("plant"), ident("alice"), Mode.METERED,
    NOW - 2 * HOUR, NOW - HOUR, 10_000, BASIS,
)  # fmt: skip
PUBLISH = PublishOffer(ident("new offer"), ident("metered"), ident("alice"), 2_000, 110_000, NOW + HOUR)
COMMIT = CommitPurchase(ident("new purchase"), ident("offer"), ident("metered"), ident("bob"), POINT, 3_000)
WITHDRAW = WithdrawOffer(ident("offer"), ident("metered"), ident("alice"))
CLOSE = CloseOffer(ident("offer that is over"), ident("metered"))
OPEN = OpenAuction(
    ident("new auction"), AREA, Pricing.PAY_AS_BID, NOW + 24 * HOUR, NOW + 25 * HOUR, NOW + HOUR, NOW + 2 * HOUR,
    ident("terms"),
)  # fmt: skip
PLACE = PlaceOrder(ident("new order"), ident("auction"), ident("bob"), ident("commitment"))
CLEAR = ClearAuction(
    ident("auction that is over"), 95_000, 40_000, 1, chain_of([ident("order")]), ident("book"), ident("awards")
)
SETTLE = RecordSettlement(AREA, DAY, 2, 7, ident("second root"), ident("first root"), 9_000, 8_000, 3_000, 6_000, 5_000)
INVOICE = RecordInvoice(ident("issuer"), ident("series"), 2, ident("document"), ZERO)
OPEN_IMPORT = OpenImport((ident("older ledger"), ident("old ledger")), (ident("older domain"), ident("old domain")))
SEAL_IMPORT = SealImport(2, ident("head of entries"), ident("state root"))
CLOSE_LEDGER = CloseLedger(ident("next ledger"))

SUCCEEDING: tuple[tuple[Fields, tuple[SoftwareKey, ...]], ...] = (
    (REGISTER_PARTICIPANT, ()),
    (CHANGE_PARTICIPANT, ()),
    (ROTATE_PARTICIPANT, (ALICE,)),
    (REGISTER_PLANT, ()),
    (TRANSFER_PLANT, (ALICE, BOB)),
    (CHANGE_PLANT, ()),
    (REGISTER_DEVICE, ()),
    (TRANSFER_DEVICE, (ALICE, BOB)),
    (CHANGE_DEVICE, ()),
    (ROTATE_DEVICE, (METER,)),
    (REVOKE_DEVICE, ()),
    (ANCHOR, ()),
    (REPORT, (METER,)),
    (DECLARE, ()),
    (PUBLISH, (ALICE,)),
    (COMMIT, (BOB,)),
    (WITHDRAW, (ALICE,)),
    (CLOSE, ()),
    (OPEN, ()),
    (PLACE, (BOB,)),
    (CLEAR, ()),
    (SETTLE, ()),
    (INVOICE, ()),
    (OPEN_IMPORT, (UTILITY, COMMUNITY)),
    (SEAL_IMPORT, (UTILITY, COMMUNITY)),
    (CLOSE_LEDGER, (UTILITY, COMMUNITY)),
)
_SIGNERS = {type(fields): signers for fields, signers in SUCCEEDING}

IMPORTING = world((Import(ident("old ledger"), 2, ident("head of entries"), 0, ZERO),))


def state_for(fields: Fields) -> Mapping[bytes, bytes]:
    """Where the command of a kind succeeds."""
    return IMPORTING if isinstance(fields, SealImport) else WORLD


def of(fields: Any, *signers: SoftwareKey, **changes: Any) -> Command:
    """A command with some fields changed, signed by its usual signers unless others are named."""
    return command(replace(fields, **changes), *(signers or _SIGNERS[type(fields)]))


def with_envelope(sent: Command, **changes: Any) -> bytes:
    return replace(sent.envelope, **changes).encode()


# Checks that are the same for every kind


def _encoding() -> Iterator[Case]:
    good = of(COMMIT)
    wire = good.envelope.encode()
    fields = good.fields.encode()
    bad: dict[str, bytes] = {
        "no bytes at all": b"",
        "last byte missing": wire[:-1],
        "a word too many": wire + ZERO,
        "version 2": with_envelope(good, version=2),
        "unknown kind": with_envelope(good, kind=999),
        "fields of another kind": with_envelope(good, kind=WithdrawOffer.KIND),
        "a byte too many in the fields": with_envelope(good, fields=fields + b"\x00"),
        "a field out of range": with_envelope(good, fields=fields[:-32] + (2**64).to_bytes(32, "big")),
        "more signers than signatures": with_envelope(good, signers=(ZERO, ZERO)),
    }
    for name, content in bad.items():
        yield one(f"encoding: {name}", Code.BAD_ENCODING, content)
    stray = bytearray(wire)
    stray[31 + 32 * 4] ^= 32
    yield one("encoding: offset of the fields moved", Code.BAD_ENCODING, bytes(stray))


def _encoding_of_lists() -> Iterator[Case]:
    good = of(REGISTER_DEVICE)
    fields = good.fields.encode()
    count = fields.index((2).to_bytes(32, "big"), 32 * 7)
    crowd = fields[:count] + (65).to_bytes(32, "big") + bytes(65 * 32)
    bad = {
        "list of 65": crowd,
        "list a word short": fields[:-32],
        "a word behind the list": fields + ZERO,
        "list that is moved": fields[: 32 * 6] + (256).to_bytes(32, "big") + ZERO + fields[32 * 7 :],
        "list of a giant's length": fields[:count] + b"\xff" * 32 + fields[count + 32 :],
    }
    for name, content in bad.items():
        yield one(f"encoding: {name}", Code.BAD_ENCODING, with_envelope(good, fields=content))


def _known() -> Iterator[Case]:
    good = of(COMMIT)
    first = NOW - 2 * HOUR
    known = world((AppliedId(good.fields.KIND, first), good.id))
    yield one("known id", Code.ALREADY_APPLIED, good, state=known)
    late = Command(MARKET, good.nonce, good.fields, ident("never seen"), 1, ())
    yield one("known id comes before everything else", Code.ALREADY_APPLIED, late, state=known, operator=None)
    yield one("another market", Code.WRONG_MARKET, command(COMMIT, BOB, market=ident("other market")))
    elsewhere = command(COMMIT, BOB, market=ident("other market"))
    yield one(
        "another market comes before the known id",
        Code.WRONG_MARKET,
        elsewhere,
        state=world((AppliedId(elsewhere.fields.KIND, first), elsewhere.id)),
    )


def _time_and_order() -> Iterator[Case]:
    domain = Domain.key(Declaration.TABLE, ident("metered"))
    yield one("valid_until is now", Code.APPLIED, command(COMMIT, BOB, valid_until=NOW))
    yield one("valid_until was a second ago", Code.EXPIRED, command(COMMIT, BOB, valid_until=NOW - 1))
    ahead: dict[bytes, bytes] = {**WORLD, domain: Domain(NOW + 60).encode()}
    yield one("the domain's last time is later than now", Code.APPLIED, of(COMMIT), state=ahead)
    yield one("expired by the domain's time", Code.EXPIRED, command(COMMIT, BOB, valid_until=NOW + 59), state=ahead)
    before = ident("predecessor")
    follows = command(COMMIT, BOB, after=before)
    yield one("predecessor never applied", Code.PREDECESSOR_MISSING, follows)
    applied = world((AppliedId(PUBLISH.KIND, NOW - HOUR), before))
    yield one("predecessor applied", Code.APPLIED, follows, state=applied)


def _signatures() -> Iterator[Case]:
    yield one("batch not signed", Code.OPERATOR_SIGNATURE, of(ANCHOR), operator=None)
    yield one("batch signed by another", Code.OPERATOR_SIGNATURE, of(ANCHOR), operator=ALICE)
    yield one("batch not signed, not needed", Code.APPLIED, of(COMMIT), operator=None)
    yield one("no signature", Code.SIGNATURE_COUNT, command(COMMIT))
    yield one("a signature too many", Code.SIGNATURE_COUNT, of(COMMIT, BOB, ALICE))
    yield one("a signature that is not asked for", Code.SIGNATURE_COUNT, of(ANCHOR, ALICE))
    yield one("signed by another person", Code.WRONG_SIGNER, of(COMMIT, ALICE))
    yield one("signers in the wrong order", Code.WRONG_SIGNER, of(TRANSFER_PLANT, BOB, ALICE))

    custodial, wallet = of(PUBLISH), of(COMMIT)
    key, (r, s) = ALICE.public_key.id, _halves(custodial)
    order = ORDERS[ALICE.algorithm]

    def signed(r: int, s: int) -> Command:
        return replace(custodial, signatures=((key, r.to_bytes(32, "big") + s.to_bytes(32, "big")),))

    yield one("one bit of the signature changed", Code.BAD_SIGNATURE, signed(r ^ 1, s))
    yield one("high s", Code.BAD_SIGNATURE, signed(r, order - s))
    yield one("r and s zero", Code.BAD_SIGNATURE, signed(0, 0))
    yield one("signed for another ledger", Code.BAD_SIGNATURE, command(PUBLISH).signed_by(ident("other"), ALICE))
    later = replace(custodial, valid_until=NOW + HOUR)
    yield one("valid_until changed after signing", Code.BAD_SIGNATURE, later)
    yield one("wallet signed as a device does", Code.BAD_SIGNATURE, command(COMMIT).signed_by(LEDGER, BOB))
    bob = BOB.public_key.id
    r, s = _halves(wallet)
    high = r.to_bytes(32, "big") + (ORDERS[BOB.algorithm] - s).to_bytes(32, "big")
    yield one("wallet with high s", Code.BAD_SIGNATURE, replace(wallet, signatures=((bob, high),)))


def _halves(sent: Command) -> tuple[int, int]:
    signature = sent.signatures[0][1]
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


# Kind by kind: the field that is wrong, and what comes of it.

_UNKNOWN = ident("nobody")
_OFF_CURVE = {"algorithm": 1, "x": ident("x"), "y": ident("y")}


def _registry() -> Iterator[Case]:
    wallet = of(REGISTER_PARTICIPANT, custody=Custody.OWN, **_key(_new_wallet))
    yield one("register participant with a wallet", Code.APPLIED, wallet)
    yield one("participant's id taken", Code.ALREADY_REGISTERED, of(REGISTER_PARTICIPANT, participant=ident("alice")))
    yield one("role 0", Code.BAD_ROLE, of(REGISTER_PARTICIPANT, role=0))
    yield one("role 7", Code.BAD_ROLE, of(REGISTER_PARTICIPANT, role=7))
    yield one("custody 2", Code.BAD_CUSTODY, of(REGISTER_PARTICIPANT, custody=2))
    yield one("participant's key off the curve", Code.BAD_KEY, of(REGISTER_PARTICIPANT, **_OFF_CURVE))
    yield one("participant's key of algorithm 3", Code.BAD_KEY, of(REGISTER_PARTICIPANT, algorithm=3))
    yield one("participant's key zero", Code.BAD_KEY, of(REGISTER_PARTICIPANT, x=ZERO, y=ZERO))

    carol = ChangeParticipantState(ident("carol"), State.ACTIVE)
    yield one("suspended participant becomes active", Code.APPLIED, of(carol))
    yield one("change unknown participant", Code.PARTICIPANT_UNKNOWN, of(CHANGE_PARTICIPANT, participant=_UNKNOWN))
    yield one("participant's state stays", Code.BAD_STATE, of(CHANGE_PARTICIPANT, state=State.ACTIVE))
    yield one("participant's state 0", Code.BAD_STATE, of(CHANGE_PARTICIPANT, state=0))
    yield one("participant's state 4", Code.BAD_STATE, of(CHANGE_PARTICIPANT, state=4))
    closed = Participant.decode(WORLD[Participant.key(ident("carol"))])
    gone = world((replace(closed, state=State.CLOSED), ident("carol")))
    yield one("closed participant stays closed", Code.BAD_STATE, of(carol), state=gone)

    rotate = ROTATE_PARTICIPANT
    yield one("rotate key of unknown participant", Code.PARTICIPANT_UNKNOWN, of(rotate, participant=_UNKNOWN))
    suspended = of(rotate, CAROL, participant=ident("carol"))
    yield one("rotate key of suspended participant", Code.PARTICIPANT_INACTIVE, suspended)
    yield one("rotate to custody 2", Code.BAD_CUSTODY, of(rotate, custody=2))
    yield one("rotate to a key off the curve", Code.BAD_KEY, of(rotate, **_OFF_CURVE))
    yield one("rotate to the same key", Code.SAME_KEY, of(rotate, **_key(ALICE)))

    yield one("plant of unknown owner", Code.PARTICIPANT_UNKNOWN, of(REGISTER_PLANT, owner=_UNKNOWN))
    yield one("plant of suspended owner", Code.PARTICIPANT_INACTIVE, of(REGISTER_PLANT, owner=ident("carol")))
    yield one("plant's id taken", Code.ALREADY_REGISTERED, of(REGISTER_PLANT, plant=ident("plant")))
    yield one("transfer unknown plant", Code.PLANT_UNKNOWN, of(TRANSFER_PLANT, plant=_UNKNOWN))
    yield one("transfer idle plant", Code.PLANT_INACTIVE, of(TRANSFER_PLANT, plant=ident("idle plant")))
    back = of(TRANSFER_PLANT, BOB, ALICE, owner=ident("bob"), next_owner=ident("alice"))
    yield one("transfer another's plant", Code.NOT_THE_OWNER, back)
    to_nobody = of(TRANSFER_PLANT, next_owner=_UNKNOWN)
    yield one("transfer plant to nobody", Code.PARTICIPANT_UNKNOWN, to_nobody)
    to_carol = of(TRANSFER_PLANT, ALICE, CAROL, next_owner=ident("carol"))
    yield one("transfer plant to suspended participant", Code.PARTICIPANT_INACTIVE, to_carol)
    yield one("change unknown plant", Code.PLANT_UNKNOWN, of(CHANGE_PLANT, plant=_UNKNOWN))
    yield one("plant's state stays", Code.BAD_STATE, of(CHANGE_PLANT, state=State.ACTIVE))
    closed_plant = Plant(AREA, ident("alice"), POINT, State.CLOSED, 9_900, DAY - 30, CONTENTS)
    yield one(
        "closed plant stays closed",
        Code.BAD_STATE,
        of(CHANGE_PLANT, state=State.ACTIVE),
        state=world((closed_plant, ident("plant"))),
    )


def _devices() -> Iterator[Case]:
    yield one("device of unknown owner", Code.PARTICIPANT_UNKNOWN, of(REGISTER_DEVICE, owner=_UNKNOWN))
    yield one("device of suspended owner", Code.PARTICIPANT_INACTIVE, of(REGISTER_DEVICE, owner=ident("carol")))
    yield one("device's id taken", Code.ALREADY_REGISTERED, of(REGISTER_DEVICE, device=ident("device")))
    yield one("device's key off the curve", Code.BAD_KEY, of(REGISTER_DEVICE, **_OFF_CURVE))
    yield one("device with the key of another device", Code.APPLIED, of(REGISTER_DEVICE, **_key(METER)))
    second = ident("second point")
    descending = tuple(sorted((second, POINT), reverse=True))
    yield one("device's points given twice", Code.NOT_ASCENDING, of(REGISTER_DEVICE, points=(second, second)))
    yield one("device's points in another order", Code.NOT_ASCENDING, of(REGISTER_DEVICE, points=descending))
    yield one("device of no point", Code.APPLIED, of(REGISTER_DEVICE, points=()))
    crowd = tuple(sorted(ident(f"point {i}") for i in range(64)))
    yield one("device of 64 points", Code.APPLIED, of(REGISTER_DEVICE, points=crowd))
    yield one("transfer unknown device", Code.DEVICE_UNKNOWN, of(TRANSFER_DEVICE, device=_UNKNOWN))
    yield one("transfer idle device", Code.DEVICE_INACTIVE, of(TRANSFER_DEVICE, device=ident("idle device")))
    back = of(TRANSFER_DEVICE, BOB, ALICE, owner=ident("bob"), next_owner=ident("alice"))
    yield one("transfer another's device", Code.NOT_THE_OWNER, back)
    to_carol = of(TRANSFER_DEVICE, ALICE, CAROL, next_owner=ident("carol"))
    yield one("transfer device to suspended participant", Code.PARTICIPANT_INACTIVE, to_carol)
    yield one("change unknown device", Code.DEVICE_UNKNOWN, of(CHANGE_DEVICE, device=_UNKNOWN))
    yield one("device's state stays", Code.BAD_STATE, of(CHANGE_DEVICE, state=State.ACTIVE))
    closed = world((device(state=State.CLOSED), ident("device")))
    yield one("closed device stays closed", Code.BAD_STATE, of(CHANGE_DEVICE), state=closed)

    rotate = ROTATE_DEVICE
    yield one("rotate key of unknown device", Code.DEVICE_UNKNOWN, of(rotate, device=_UNKNOWN))
    yield one("rotate key of idle device", Code.DEVICE_INACTIVE, of(rotate, device=ident("idle device")))
    yield one("rotate a revoked key", Code.KEY_REVOKED, of(rotate, device=ident("revoked device")))
    yield one("rotate device to a key off the curve", Code.BAD_KEY, of(rotate, **_OFF_CURVE))
    yield one("rotate device to the same key", Code.SAME_KEY, of(rotate, **_key(METER)))
    yield one("rotate device to a key that another device had", Code.APPLIED, of(rotate, **_key(OLD_METER)))
    end_of_time = of(rotate, grace_days=1)
    yield one("grace ends after the last instant", Code.OVERFLOW, end_of_time, now=LARGEST_U64)

    rotated = ident("rotated device")
    again = of(rotate, device=rotated, day=DAY + 1)
    yield one("rotate while the grace runs", Code.GRACE_RUNNING, again)
    yield one("rotate in the last second of the grace", Code.GRACE_RUNNING, again, now=NOW + HOUR)
    yield one("rotate after the grace", Code.APPLIED, again, now=NOW + HOUR + 1)
    to_used, old_revoked = replace(rotate, day=DAY + 1, **_key(OLD_METER)), ident("device with old key revoked")
    to_old = of(to_used, device=rotated)
    yield one("rotate back to the old key", Code.SAME_KEY, to_old, now=NOW + HOUR + 1)
    yield one("a used key comes before the running grace", Code.SAME_KEY, to_old)
    yield one("rotate back to the revoked old key", Code.SAME_KEY, of(to_used, device=old_revoked))
    at_once = of(rotate, device=old_revoked, day=DAY + 1)
    yield one("rotate while the old key is revoked in its grace", Code.APPLIED, at_once)

    old = of(REVOKE_DEVICE, device=rotated, key=OLD_METER.public_key.id)
    yield one("revoke the old key", Code.APPLIED, old)
    yield one("revoke key of unknown device", Code.DEVICE_UNKNOWN, of(REVOKE_DEVICE, device=_UNKNOWN))
    yield one("revoke a key that is not the device's", Code.KEY_UNKNOWN, of(REVOKE_DEVICE, key=ALICE.public_key.id))
    again = of(REVOKE_DEVICE, device=ident("revoked device"))
    yield one("revoke a key twice", Code.KEY_ALREADY_REVOKED, again)
    old_again = of(REVOKE_DEVICE, device=old_revoked, key=OLD_METER.public_key.id)
    yield one("revoke an old key twice", Code.KEY_ALREADY_REVOKED, old_again)


def _metering() -> Iterator[Case]:
    yield one("anchor of an empty window", Code.EMPTY_WINDOW, of(ANCHOR, end=NOW - 2 * HOUR))
    yield one("anchor of nothing", Code.NOTHING_ANCHORED, of(ANCHOR, count=0))
    yield one("root anchored before", Code.ALREADY_ANCHORED, of(ANCHOR, root=ident("anchored root")))

    stands = {"day": DAY - 1, "corrects": ident("report")}
    yield one("correct a report", Code.APPLIED, of(REPORT, **stands))
    yield one("second report of a day", Code.ALREADY_REPORTED, of(REPORT, day=DAY - 1))
    yield one("correct where nothing stands", Code.NOTHING_TO_CORRECT, of(REPORT, corrects=ident("report")))
    other = of(REPORT, day=DAY - 1, corrects=ident("other report"))
    yield one("correct a report that does not stand", Code.NOTHING_TO_CORRECT, other)
    yield one("report of unknown device", Code.DEVICE_UNKNOWN, of(REPORT, device=_UNKNOWN))
    yield one("report of idle device", Code.DEVICE_INACTIVE, of(REPORT, device=ident("idle device")))
    yield one("report with a revoked key", Code.KEY_REVOKED, of(REPORT, device=ident("revoked device")))

    rotated = ident("rotated device")
    before = of(REPORT, OLD_METER, device=rotated, day=DAY - 1)
    yield one("old key about the day before", Code.APPLIED, before)
    yield one("old key at the end of its grace", Code.APPLIED, before, now=NOW + HOUR)
    yield one("old key after its grace", Code.OUTSIDE_KEY_TIME, before, now=NOW + HOUR + 1)
    yield one("old key about the new key's day", Code.OUTSIDE_KEY_TIME, of(REPORT, OLD_METER, device=rotated, day=DAY))
    first, too_early = (of(REPORT, OLD_METER, device=rotated, day=day) for day in (DAY - 10, DAY - 11))
    yield one("old key about its first day", Code.APPLIED, first)
    yield one("old key about the day before its first", Code.OUTSIDE_KEY_TIME, too_early)
    yield one("new key about its first day", Code.APPLIED, of(REPORT, device=rotated, day=DAY))
    yield one("new key about the day before", Code.OUTSIDE_KEY_TIME, of(REPORT, device=rotated, day=DAY - 1))
    revoked = of(REPORT, OLD_METER, device=ident("device with old key revoked"), day=DAY - 1)
    yield one("report with a revoked old key", Code.KEY_REVOKED, revoked)
    once = Device.decode(WORLD[Device.key(rotated)])
    no_days = world((replace(once, old_since_day=DAY), rotated))
    yield one("old key that never had a day", Code.OUTSIDE_KEY_TIME, before, state=no_days)
    box = secp256k1("box")
    on_wallet_curve = command(replace(REPORT, device=ident("box"))).signed_by(LEDGER, box)
    with_box = world((device(box), ident("box")))
    yield one("a device on secp256k1 signs as devices do", Code.APPLIED, on_wallet_curve, state=with_box)


def _declarations() -> Iterator[Case]:
    ahead = {"mode": Mode.FORECAST, "start": NOW + 1, "end": NOW + HOUR}
    yield one("declare a forecast", Code.APPLIED, of(DECLARE, **ahead))
    yield one("forecast that starts now", Code.DELIVERY_STARTED, of(DECLARE, **{**ahead, "start": NOW}))
    yield one("metered until now", Code.APPLIED, of(DECLARE, end=NOW))
    yield one("metered until a second from now", Code.NOT_YET_MEASURED, of(DECLARE, end=NOW + 1))
    yield one("declared by nobody", Code.PARTICIPANT_UNKNOWN, of(DECLARE, seller=_UNKNOWN))
    yield one("declared by suspended participant", Code.PARTICIPANT_INACTIVE, of(DECLARE, seller=ident("carol")))
    yield one("surplus of unknown plant", Code.PLANT_UNKNOWN, of(DECLARE, plant=_UNKNOWN))
    yield one("surplus of idle plant", Code.PLANT_INACTIVE, of(DECLARE, plant=ident("idle plant")))
    yield one("surplus of another's plant", Code.NOT_OF_THIS_RECORD, of(DECLARE, seller=ident("bob")))
    yield one("surplus in another area", Code.NOT_OF_THIS_RECORD, of(DECLARE, area=ident("other area")))
    yield one("declaration's id taken", Code.ALREADY_REGISTERED, of(DECLARE, declaration=ident("metered")))
    yield one("mode 3", Code.BAD_MODE, of(DECLARE, mode=3))
    yield one("surplus of an empty window", Code.EMPTY_WINDOW, of(DECLARE, end=NOW - 2 * HOUR))
    yield one("surplus of nothing", Code.NO_ENERGY, of(DECLARE, energy=0))


def _offers() -> Iterator[Case]:
    ahead = {"declaration": ident("forecast")}
    started = {"now": NOW + HOUR}
    yield one("offer of a forecast", Code.APPLIED, of(PUBLISH, **ahead))
    late = of(PUBLISH, open_until=NOW + 3 * HOUR, **ahead)
    yield one("offer of a forecast when delivery starts", Code.DELIVERY_STARTED, late, **started)
    yield one("offer of nobody", Code.PARTICIPANT_UNKNOWN, of(PUBLISH, seller=_UNKNOWN))
    suspended = of(PUBLISH, CAROL, seller=ident("carol"))
    yield one("offer of suspended participant", Code.PARTICIPANT_INACTIVE, suspended)
    yield one("offer on unknown declaration", Code.DECLARATION_UNKNOWN, of(PUBLISH, declaration=_UNKNOWN))
    yield one("offer of another's energy", Code.NOT_THE_OWNER, of(PUBLISH, BOB, seller=ident("bob")))
    yield one("offer's id taken", Code.ALREADY_REGISTERED, of(PUBLISH, offer=ident("offer")))
    yield one("offer of nothing", Code.NO_ENERGY, of(PUBLISH, energy=0))
    yield one("one Wh more than declared", Code.MORE_THAN_DECLARED, of(PUBLISH, energy=2_001))
    yield one("offer that would wrap round", Code.MORE_THAN_DECLARED, of(PUBLISH, energy=LARGEST_U64))
    yield one("offer until now", Code.OFFER_OVER, of(PUBLISH, open_until=NOW))

    bob_buys = {"offer": ident("forecast offer"), **ahead}
    yield one("buy a forecast", Code.APPLIED, of(COMMIT, **bob_buys))
    yield one("buy a forecast when delivery starts", Code.DELIVERY_STARTED, of(COMMIT, **bob_buys), **started)
    yield one("buy in the last second", Code.APPLIED, of(COMMIT), now=NOW + 3 * HOUR)
    yield one("buy a second too late", Code.OFFER_OVER, of(COMMIT), now=NOW + 3 * HOUR + 1)
    yield one("buyer unknown", Code.PARTICIPANT_UNKNOWN, of(COMMIT, buyer=_UNKNOWN))
    yield one("buyer suspended", Code.PARTICIPANT_INACTIVE, of(COMMIT, CAROL, buyer=ident("carol")))
    yield one("buy on unknown declaration", Code.DECLARATION_UNKNOWN, of(COMMIT, declaration=_UNKNOWN))
    yield one("buy unknown offer", Code.OFFER_UNKNOWN, of(COMMIT, offer=_UNKNOWN))
    yield one("buy offer of another declaration", Code.NOT_OF_THIS_RECORD, of(COMMIT, offer=ident("forecast offer")))
    yield one("buy a withdrawn offer", Code.OFFER_NOT_OPEN, of(COMMIT, offer=ident("withdrawn offer")))
    yield one("purchase's id taken", Code.ALREADY_REGISTERED, of(COMMIT, purchase=ident("purchase")))
    yield one("buy one's own offer", Code.OWN_OFFER, of(COMMIT, ALICE, buyer=ident("alice")))
    yield one("buy nothing", Code.NO_ENERGY, of(COMMIT, energy=0))
    yield one("one Wh more than offered", Code.MORE_THAN_OFFERED, of(COMMIT, energy=3_001))
    yield one("purchase that would wrap round", Code.MORE_THAN_OFFERED, of(COMMIT, energy=LARGEST_U64))


def _ends_of_offers() -> Iterator[Case]:
    yield one("withdraw by another", Code.NOT_THE_OWNER, of(WITHDRAW, BOB, seller=ident("bob")))
    yield one("withdraw by nobody", Code.PARTICIPANT_UNKNOWN, of(WITHDRAW, seller=_UNKNOWN))
    yield one("withdraw on unknown declaration", Code.DECLARATION_UNKNOWN, of(WITHDRAW, declaration=_UNKNOWN))
    yield one("withdraw unknown offer", Code.OFFER_UNKNOWN, of(WITHDRAW, offer=_UNKNOWN))
    yield one("withdraw twice", Code.OFFER_NOT_OPEN, of(WITHDRAW, offer=ident("withdrawn offer")))
    elsewhere = of(WITHDRAW, offer=ident("forecast offer"))
    yield one("withdraw offer of another declaration", Code.NOT_OF_THIS_RECORD, elsewhere)

    yield one("close a sold offer", Code.APPLIED, of(CLOSE, offer=ident("sold offer")))
    yield one("close in the last second", Code.STILL_OPEN, of(CLOSE, offer=ident("offer")), now=NOW + 3 * HOUR)
    yield one("close unknown offer", Code.OFFER_UNKNOWN, of(CLOSE, offer=_UNKNOWN))
    yield one("close a withdrawn offer", Code.OFFER_NOT_OPEN, of(CLOSE, offer=ident("withdrawn offer")))
    yield one("close offer of another declaration", Code.NOT_OF_THIS_RECORD, of(CLOSE, declaration=ident("forecast")))


def _auctions() -> Iterator[Case]:
    yield one("auction's id taken", Code.ALREADY_REGISTERED, of(OPEN, auction=ident("auction")))
    yield one("pricing 0", Code.BAD_PRICING, of(OPEN, pricing=0))
    yield one("pricing 4", Code.BAD_PRICING, of(OPEN, pricing=4))
    yield one("auction of an empty window", Code.EMPTY_WINDOW, of(OPEN, end=NOW + 24 * HOUR))
    yield one("own orders until now", Code.BAD_DEADLINES, of(OPEN, own_orders_until=NOW))
    yield one("own orders as long as the others'", Code.BAD_DEADLINES, of(OPEN, own_orders_until=NOW + 2 * HOUR))

    yield one("order of nobody", Code.PARTICIPANT_UNKNOWN, of(PLACE, bidder=_UNKNOWN))
    yield one("order of suspended participant", Code.PARTICIPANT_INACTIVE, of(PLACE, CAROL, bidder=ident("carol")))
    yield one("order in unknown auction", Code.AUCTION_UNKNOWN, of(PLACE, auction=_UNKNOWN))
    yield one("order's id taken", Code.ALREADY_REGISTERED, of(PLACE, order=ident("order")))
    yield one("order in the last second", Code.APPLIED, of(PLACE), now=NOW + HOUR)
    yield one("order a second too late", Code.ORDERS_OVER, of(PLACE), now=NOW + HOUR + 1)
    own = of(PLACE, UTILITY, bidder=ident("issuer"))
    yield one("own order in its last second", Code.APPLIED, own, now=NOW + HOUR // 2)
    yield one("own order after its deadline", Code.ORDERS_OVER, own, now=NOW + HOUR // 2 + 1)
    yield one("order in a cleared auction", Code.ORDERS_OVER, of(PLACE, auction=ident("cleared auction")))
    full = world((replace(auction(), count=LARGEST_U64), ident("auction")))
    yield one("one order more than can be counted", Code.OVERFLOW, of(PLACE), state=full)

    yield one("clear unknown auction", Code.AUCTION_UNKNOWN, of(CLEAR, auction=_UNKNOWN))
    yield one("clear twice", Code.ALREADY_CLEARED, of(CLEAR, auction=ident("cleared auction")))
    yield one("clear a second too early", Code.ORDERS_STILL_OPEN, of(CLEAR), now=NOW - 1)
    yield one("clear with an order too few", Code.OTHER_ORDERS, of(CLEAR, count=0))
    yield one("clear with other orders", Code.OTHER_ORDERS, of(CLEAR, head=chain_of([ident("other order")])))
    endless = world((auction(LARGEST_U64), ident("auction that is over")))
    yield one("clear what takes orders for ever", Code.ORDERS_STILL_OPEN, of(CLEAR), state=endless)


def _settlement() -> Iterator[Case]:
    first = {"day": DAY + 1, "version": 1, "previous": ZERO}
    yield one("first version of a day", Code.APPLIED, of(SETTLE, **first))
    yield one("first version is 2", Code.VERSION_NOT_NEXT, of(SETTLE, **{**first, "version": 2}))
    yield one("version recorded before", Code.VERSION_NOT_NEXT, of(SETTLE, version=1))
    yield one("version left out", Code.VERSION_NOT_NEXT, of(SETTLE, version=3))
    yield one("previous root is another", Code.OTHER_PREVIOUS_ROOT, of(SETTLE, previous=ident("other root")))
    named = of(SETTLE, **{**first, "previous": ident("first root")})
    yield one("previous root of a first version", Code.OTHER_PREVIOUS_ROOT, named)
    yield one("produced by 1 Wh too much", Code.DOES_NOT_ADD_UP, of(SETTLE, produced=9_001))
    yield one("consumed by 1 Wh too much", Code.DOES_NOT_ADD_UP, of(SETTLE, consumed=8_001))
    wraps = of(SETTLE, allocated=LARGEST_U64, produced=5_999, consumed=4_999)
    yield one("totals that would wrap round", Code.DOES_NOT_ADD_UP, wraps)

    yield one("invoice of nobody", Code.PARTICIPANT_UNKNOWN, of(INVOICE, issuer=_UNKNOWN))
    yield one("invoice of suspended participant", Code.PARTICIPANT_INACTIVE, of(INVOICE, issuer=ident("carol")))
    yield one("number 0", Code.NUMBER_ZERO, of(INVOICE, number=0))
    yield one("number taken", Code.NUMBER_TAKEN, of(INVOICE, number=1))
    correction = of(INVOICE, number=3, corrects=ident("first document"))
    yield one("correcting document", Code.APPLIED, correction)


def _what_the_operator_signed() -> Iterator[Case]:
    """The signature over a batch covers the terms of its commands, which are outside of their ids."""
    anchor = of(ANCHOR)
    with_terms = {
        "deadline": replace(anchor, valid_until=NOW - 1),
        "predecessor": replace(anchor, after=ident("never seen")),
    }
    for name, signed in with_terms.items():
        yield one(f"{name} taken from what the operator signed", Code.OPERATOR_SIGNATURE, anchor, signed=(signed,))
        yield one(f"{name} added to what the operator signed", _WITHOUT[name], signed, signed=(anchor,))
    yield one("another command than the operator signed", Code.OPERATOR_SIGNATURE, anchor, signed=(of(SETTLE),))


# The first check that fails comes before that of the operator's signature.
_WITHOUT = {"deadline": Code.EXPIRED, "predecessor": Code.PREDECESSOR_MISSING}


def _batches() -> Iterator[Case]:
    yield Case("empty batch", (), ())
    publish, buy = of(PUBLISH), of(COMMIT, offer=ident("new offer"), energy=2_000)
    after = sign(replace(buy, after=publish.id), BOB)
    yield Case("buy what the same batch offers", (Code.APPLIED,) * 2, (publish, after))
    yield Case("the same command twice", (Code.APPLIED, Code.ALREADY_APPLIED), (publish, publish))
    greedy, fits = of(COMMIT, energy=3_001), of(COMMIT)
    codes = (Code.MORE_THAN_OFFERED, Code.APPLIED, Code.BAD_ENCODING, Code.ALREADY_REGISTERED)
    yield Case("each command has its own outcome", codes, (greedy, fits, b"junk", command(COMMIT, BOB, nonce="2")))
    yield Case("rejected predecessor", (Code.MORE_THAN_OFFERED, Code.PREDECESSOR_MISSING), (
        greedy, command(COMMIT, BOB, after=greedy.id),
    ))  # fmt: skip
    domain = Domain.key(Declaration.TABLE, ident("metered"))
    ahead = {**WORLD, domain: Domain(NOW + 60).encode()}
    yield Case("known id answers with its first time", (Code.APPLIED, Code.ALREADY_APPLIED), (fits, fits), state=ahead)
    end = replace(publish, signatures=((ALICE.public_key.id, ALICE.sign(sign_digest(ident("other"), publish))),))
    yield Case("rejected, then signed rightly", (Code.BAD_SIGNATURE, Code.APPLIED), (end, publish))


def _batches_of_orders() -> Iterator[Case]:
    orders = tuple(of(PLACE, order=ident(name)) for name in ("second order", "third order"))
    known = of(PLACE, order=ident("third order"), commitment=ident("other commitment"))
    yield Case("orders are chained", (Code.APPLIED, Code.APPLIED, Code.ALREADY_REGISTERED), (*orders, known))


def _batches_of_rotations() -> Iterator[Case]:
    first = of(ROTATE_DEVICE, grace_days=0)
    third = p256("third meter")
    second = of(ROTATE_DEVICE, NEW_METER, day=DAY + 1, **_key(third))
    revoke = of(REVOKE_DEVICE, key=METER.public_key.id)
    back = command(replace(ROTATE_DEVICE, day=DAY + 2, **_key(METER)), third)
    yield Case("a grace of no days lasts to the end of its second", (Code.APPLIED, Code.GRACE_RUNNING), (first, second))
    codes = (Code.APPLIED, Code.APPLIED, Code.APPLIED, Code.SAME_KEY)
    yield Case("revoking the old key ends its grace, and it never comes back", codes, (first, revoke, second, back))


def _moving() -> Iterator[Case]:
    for name, fields in {
        "no old ledger": replace(OPEN_IMPORT, ledgers=(), separators=()),
        "an old ledger without its domain": replace(OPEN_IMPORT, separators=(ident("old domain"),)),
        "an old ledger twice": replace(OPEN_IMPORT, ledgers=(ident("old ledger"),) * 2),
        "an old ledger without an id": replace(OPEN_IMPORT, ledgers=(ident("old ledger"), ZERO)),
    }.items():
        yield one(f"import from {name}", Code.BAD_OLD_LEDGERS, of(fields))
    yield one("import opened while one is open", Code.IMPORT_OPEN, of(OPEN_IMPORT), state=IMPORTING)
    yield one("another command while an import is open", Code.IMPORT_OPEN, of(PUBLISH), state=IMPORTING)
    yield one("closing while an import is open", Code.IMPORT_OPEN, of(CLOSE_LEDGER), state=IMPORTING)
    yield one("seal without an import", Code.IMPORT_NOT_OPEN, of(SEAL_IMPORT))
    yield one("seal with an entry too many", Code.OTHER_ENTRIES, of(SEAL_IMPORT, count=3), state=IMPORTING)
    yield one("seal with another head", Code.OTHER_ENTRIES, of(SEAL_IMPORT, head=ident("head")), state=IMPORTING)
    over = Import(ident("old ledger"), 2, ident("head of entries"), NOW - HOUR, ident("state root"))
    sealed = world((over,))
    yield one("seal twice", Code.IMPORT_OVER, of(SEAL_IMPORT), state=sealed)
    yield one("import opened after the seal", Code.IMPORT_OVER, of(OPEN_IMPORT), state=sealed)
    yield one("command after the seal", Code.APPLIED, of(PUBLISH), state=sealed)
    closed = world((Closing(ident("next ledger"), NOW - HOUR),))
    yield one("command on a closed ledger", Code.LEDGER_CLOSED, of(PUBLISH), state=closed)
    yield one("closed is told before expired", Code.LEDGER_CLOSED, command(COMMIT, BOB, valid_until=1), state=closed)
    known: dict[bytes, bytes] = {**closed, **records((AppliedId(PUBLISH.KIND, NOW - 2 * HOUR), of(PUBLISH).id))}
    yield one("known id on a closed ledger", Code.ALREADY_APPLIED, of(PUBLISH), state=known)
    yield one("closing twice", Code.LEDGER_CLOSED, of(CLOSE_LEDGER), state=closed)
    yield one("closing by the utility alone", Code.SIGNATURE_COUNT, command(CLOSE_LEDGER, UTILITY))
    yield one("closing by the utility twice", Code.WRONG_SIGNER, command(CLOSE_LEDGER, UTILITY, UTILITY))
    yield one("closing with the parties' places changed", Code.WRONG_SIGNER, command(CLOSE_LEDGER, COMMUNITY, UTILITY))


def _batches_that_move() -> Iterator[Case]:
    closed = (Code.APPLIED, Code.APPLIED, Code.LEDGER_CLOSED)
    yield Case("nothing behind the closing", closed, (of(PUBLISH), of(CLOSE_LEDGER), of(COMMIT)))
    codes = (Code.APPLIED, Code.IMPORT_OPEN, Code.OTHER_ENTRIES, Code.APPLIED, Code.APPLIED)
    seals = (of(SEAL_IMPORT), command(replace(SEAL_IMPORT, count=0, head=ZERO), UTILITY, COMMUNITY, nonce="2"))
    yield Case("an import of nothing", codes, (of(OPEN_IMPORT), of(PUBLISH), *seals, of(COMMIT)))


def cases() -> Sequence[Case]:
    succeeding = [
        one(f"{type(fields).__name__} succeeds", Code.APPLIED, of(fields), state=state_for(fields))
        for fields, _ in SUCCEEDING
    ]
    sections = (
        _encoding, _encoding_of_lists, _known, _time_and_order, _signatures, _registry, _devices, _metering,
        _declarations, _offers, _ends_of_offers, _auctions, _settlement, _what_the_operator_signed,
        _batches, _batches_of_orders, _batches_of_rotations, _moving, _batches_that_move,
    )  # fmt: skip
    return [*succeeding, *(case for section in sections for case in section())]
