"""What a dishonest operator can try: bundles that are hashed, signed and logged as they should be, and still wrong.

The operator of an embedded ledger holds its checkpoint key and can log what the contract would refuse. So everything is
forged here from the ground up, without a contract in between.
"""

import datetime as dt
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import canonical, merkle, sumtree
from evidence.bundle import (
    Bundle,
    EmbeddedLog,
    Log,
    LoggedCommand,
    SettledDay,
    ShownAllotment,
    ShownReading,
    ShownRow,
    dump,
)
from evidence.bundle import SignedBatch as Batch
from evidence.canonical import encode_bytes, encode_int
from evidence.checkpoint import Checkpoint, origin, sign
from evidence.commands import Command, Fields
from evidence.commands.kinds import (
    AnchorReadings,
    CommitPurchase,
    DeclareSurplus,
    PublishOffer,
    RecordInvoice,
    RecordSettlement,
    RegisterDevice,
    RegisterParticipant,
    RegisterPlant,
    RevokeDeviceKey,
    RotateDeviceKey,
)
from evidence.contents import document_digest
from evidence.hashing import ZERO
from evidence.invoice import compute
from evidence.journal import Entry, envelope_digest
from evidence.keys import Algorithm, SoftwareKey
from evidence.readings import LeafId, LeafValue, Quality, Register, Statement, anchor_leaf, leaf
from evidence.settlement import Allotment, Scheme
from evidence.sumtree import Node, Row
from evidence.verify import Report, VerificationError, verify


def name(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def key_of(text: str) -> SoftwareKey:
    return SoftwareKey(Algorithm.P256, name(f"key of {text}"))


DAY = dt.date(2026, 6, 1)
NUMBER = (DAY - dt.date(1970, 1, 1)).days
START = NUMBER * 86_400
NOON, AFTER = START + 12 * 3600, START + 13 * 3600
SLOTS = range(START, START + 86_400, 3600)
LEDGER, MARKET, AREA = name("ledger"), name("market"), name("area")
PRICES = {Scheme.SUPPLY: 320_000, Scheme.PURCHASE: 200_000, Scheme.FEED_IN: 80_000}
CHECKPOINT_KEY = Ed25519PrivateKey.from_private_bytes(name("checkpoint key"))
TRUST = canonical.dumps(
    {
        "type": "energymarket/trust/1",
        "kind": "embedded",
        "ledger": encode_bytes(LEDGER),
        "market": encode_bytes(MARKET),
        "checkpoint_key": encode_bytes(CHECKPOINT_KEY.public_key().public_bytes_raw()),
    }
)


@dataclass
class SignedReadings:
    """A statement to come. `hidden` are readings that are signed but not shown."""

    signer: str
    readings: dict[tuple[Register, int], int]
    point: bytes
    key: SoftwareKey | None = None
    quality: int = Quality.TRUE_VALUE
    unit: int = 1
    hidden: set[tuple[Register, int]] = field(default_factory=set)


@dataclass
class Given:
    """An allotment to come."""

    plant: bytes
    slot: int
    scheme: Scheme
    available: int
    rows: list[Row]


@dataclass
class Forgery:
    """A document about a day, and all that it rests on, to be changed by a test before it is bound together.

    Alice has a roof, bob buys. Commands are (fields, who signs). `hidden` commands are logged but not shown.
    """

    kind: str
    customer: str
    energy: dict[tuple[Scheme, int], int]
    batches: list[SignedReadings]
    given: list[Given]
    commands: list[tuple[Fields, str]] = field(default_factory=list)
    late: list[tuple[Fields, str]] = field(default_factory=list)
    hidden: list[Fields] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    grades: dict[int, int] = field(default_factory=dict)
    anchored_late: bool = False

    @property
    def point(self) -> bytes:
        return name(f"point of {self.customer}")

    def document(self) -> dict[str, Any]:
        rates = dict.fromkeys(PRICES, 190_000)
        figures = compute(self.energy, rates, "EUR")

        def party(who: str) -> dict[str, str]:
            members = ("name", "street", "postal_code", "city", "country", "tax_id")
            return {"id": encode_bytes(name(who)), **dict.fromkeys(members, "")}

        lines = [
            {
                "scheme": encode_int(line.scheme) if line.scheme is not None else "rounding",
                "energy_wh": encode_int(line.energy_wh),
                "price_micro": encode_int(line.price_micro),
                "amount_minor": encode_int(line.amount_minor),
                "vat_ppm": encode_int(line.vat_ppm),
            }
            for line in figures.lines
        ]
        vat = [{"ppm": g.ppm, "net_minor": g.net_minor, "vat_minor": g.vat_minor} for g in figures.vat]
        return {
            "type": "energymarket/invoice/1",
            "kind": self.kind,
            "series": "R-",
            "number": "1",
            "issued": "2026-06-02T00:00:00+00:00",
            "issuer": party("utility"),
            "customer": party(self.customer),
            "point": {"id": encode_bytes(self.point), "code": "1", "name": ""},
            "area": encode_bytes(AREA),
            "time_zone": "UTC",
            "slot_seconds": "3600",
            "start": DAY.isoformat(),
            "end": (DAY + dt.timedelta(days=1)).isoformat(),
            "currency": "EUR",
            "lines": lines,
            "vat": [{member: encode_int(number) for member, number in group.items()} for group in vat],
            "net_minor": encode_int(figures.net_minor),
            "vat_minor": encode_int(figures.vat_minor),
            "total_minor": encode_int(figures.total_minor),
            "grades": [{"grade": str(g), "energy_wh": str(wh)} for g, wh in sorted(self.grades.items())],
            **self.changes,
        }

    def verified(self, trust: bytes = TRUST) -> Report:
        """Bind everything together as an operator would, and verify it."""
        return verify(self.bundle(), trust)

    def bundle(self) -> bytes:
        batches, anchor = self._batches()
        day, settlement = self._day()
        document, salt = self.document(), name("salt")
        invoice = RecordInvoice(
            name("utility"), name("series"), 1, document_digest(salt, canonical.dumps(document)), ZERO
        )
        ends: list[tuple[Fields, str]] = [(anchor, ""), (settlement, ""), *self.late, (invoice, "")]
        if self.anchored_late:
            ends[:2] = reversed(ends[:2])
        log = self._log([*self.commands, *ends])
        return dump(Bundle(document, salt, log, (day,), tuple(batches)))

    def _log(self, wanted: list[tuple[Fields, str]]) -> Log:
        logged, hashes, shown = [], [], []
        for index, (fields, signer) in enumerate(wanted):
            command = Command(MARKET, name(f"nonce {index}"), fields)
            if signer:
                command = command.signed_by(LEDGER, key_of(signer))
            envelope = command.envelope.encode()
            time = START + 100_000 + index
            hashes.append(Entry(index, time, 0, command.id, envelope_digest(envelope)).leaf_hash)
            if fields not in self.hidden:
                logged.append(LoggedCommand(index, time, envelope))
                shown.append(index)
        checkpoint = Checkpoint(origin(LEDGER), len(hashes), merkle.root_of_hashes(hashes))
        return EmbeddedLog(sign(checkpoint, CHECKPOINT_KEY), merkle.path(hashes, shown), tuple(logged))

    def _batches(self) -> tuple[list[Batch], AnchorReadings]:
        signed = []
        for number, wanted in enumerate(self.batches, 1):
            readings = sorted(wanted.readings.items(), key=lambda item: LeafId(wanted.point, *item[0]).encode())
            shown, hashes = [], []
            for index, (which, wh) in enumerate(readings):
                identity, value = LeafId(wanted.point, *which), LeafValue(wh, wanted.quality)
                salt = hmac.digest(name("K"), identity.encode(), "sha256")
                hashes.append(merkle.leaf_hash(leaf(salt, identity.encode(), value.encode())))
                if which not in wanted.hidden:
                    shown.append(ShownReading(index, salt, identity, value))
            key = wanted.key or key_of(wanted.signer)
            root = merkle.root_of_hashes(hashes)
            statement = Statement(
                name(wanted.signer), key.public_key.id, number, START, SLOTS.stop, wanted.unit, len(hashes), root
            )
            path = merkle.path(hashes, [reading.index for reading in shown])
            signed.append((statement, key.sign(statement.digest), path, tuple(shown)))
            self._grade(wanted)
        leaves = [merkle.leaf_hash(anchor_leaf(statement.digest, mark)) for statement, mark, _, _ in signed]
        anchor = AnchorReadings(AREA, NUMBER, START, SLOTS.stop, len(leaves), merkle.root_of_hashes(leaves))
        batches = [
            Batch(statement, mark, index, merkle.path(leaves, [index]), path, shown)
            for index, (statement, mark, path, shown) in enumerate(signed)
        ]
        return batches, anchor

    def _grade(self, wanted: SignedReadings) -> None:
        grade = 3 if wanted.quality == Quality.SUBSTITUTE else 2 if wanted.signer == "utility" else 1
        wh = sum(wh for which, wh in wanted.readings.items() if which not in wanted.hidden)
        self.grades[grade] = self.grades.get(grade, 0) + wh

    def _day(self) -> tuple[SettledDay, RecordSettlement]:
        shown, hashes = [], []
        ordered = sorted(self.given, key=lambda given: (given.plant, given.slot, given.scheme))
        for index, given in enumerate(ordered):
            nodes = []
            for number, row in enumerate(given.rows):
                nodes.append((Node(row.hash(name(f"row {number}")), row.sums), name(f"row {number}"), row))
            nodes.sort(key=lambda item: item[0].hash)
            tree = sumtree.root([node for node, _, _ in nodes])
            allotment = Allotment(
                given.plant,
                given.slot,
                given.scheme,
                given.available,
                len(nodes),
                tree.sums.weight,
                tree.sums.limit,
                tree.sums.allocated,
                tree.hash,
            )
            rows = tuple(
                ShownRow(i, salt, row, sumtree.path([node for node, _, _ in nodes], i))
                for i, (_, salt, row) in enumerate(nodes)
            )
            shown.append(ShownAllotment(index, allotment, rows))
            hashes.append(allotment.leaf_hash)
        root = merkle.root_of_hashes(hashes)
        settlement = RecordSettlement(AREA, NUMBER, 1, len(hashes), root, ZERO, 0, 0, 0, 0, 0)
        return SettledDay(merkle.path(hashes, list(range(len(hashes)))), tuple(shown)), settlement


def supply(wh: int, slot: int = NOON, who: str = "bob") -> Given:
    row = Row(name(f"point of {who}"), Scheme.SUPPLY, name("supply"), 0, wh, wh, PRICES[Scheme.SUPPLY])
    return Given(name("utility"), slot, Scheme.SUPPLY, wh, [row])


def own_use(wh: int, slot: int = NOON) -> Given:
    row = Row(name("point of alice"), Scheme.OWN_USE, name("point of alice"), 0, wh, wh, 0)
    return Given(name("roof"), slot, Scheme.OWN_USE, wh, [row])


def fed_in(wh: int, slot: int = NOON) -> Given:
    row = Row(name("point of alice"), Scheme.FEED_IN, name("feed-in"), 0, wh, wh, PRICES[Scheme.FEED_IN])
    return Given(name("roof"), slot, Scheme.FEED_IN, wh, [row])


def full(wh: int, who: str = "bob") -> Row:
    """A row of who's purchase that is served in full."""
    claim = name(f"purchase of {who}")
    return Row(name(f"point of {who}"), Scheme.PURCHASE, claim, 0, wh, wh, PRICES[Scheme.PURCHASE])


def sold(available: int, *rows: Row, slot: int = NOON) -> Given:
    return Given(name("roof"), slot, Scheme.PURCHASE, available, list(rows))


def used(**at: int) -> dict[tuple[Register, int], int]:
    """Consumption of every slot: nothing but what is named `noon` and `after`."""
    energy = {(Register.CONSUMPTION, slot): 0 for slot in SLOTS}
    return energy | {(Register.CONSUMPTION, {"noon": NOON, "after": AFTER}[when]): wh for when, wh in at.items()}


def made(**at: int) -> dict[tuple[Register, int], int]:
    return {(Register.GENERATION, slot): wh for (_, slot), wh in used(**at).items()}


def participant(who: str, role: int = 3) -> tuple[Fields, str]:
    key = key_of(who).public_key
    return RegisterParticipant(name(who), role, key.algorithm, key.x, key.y, 1, ZERO), ""


def device(who: str, owner: str) -> tuple[Fields, str]:
    key = key_of(who).public_key
    points = (name(f"point of {owner}"),)
    return RegisterDevice(name(who), name(owner), key.algorithm, key.x, key.y, ZERO, points), ""


def plant(of: str, which: str, since: int = NUMBER) -> RegisterPlant:
    return RegisterPlant(name(which), AREA, name(of), name(f"point of {of}"), 10_000, since, ZERO)


ROOF = plant("alice", "roof")
DECLARED = DeclareSurplus(name("declared"), AREA, name("roof"), name("alice"), 1, START, SLOTS.stop, 1000, ZERO)
OFFER = PublishOffer(name("offer"), name("declared"), name("alice"), 1000, PRICES[Scheme.PURCHASE], SLOTS.stop * 2)


def purchase(who: str, wh: int) -> tuple[Fields, str]:
    point = name(f"point of {who}")
    fields = CommitPurchase(name(f"purchase of {who}"), name("offer"), name("declared"), name(who), point, wh)
    return fields, who


def market(*purchases: tuple[Fields, str]) -> list[tuple[Fields, str]]:
    people = [participant("utility", 1), *(participant(who) for who in ("alice", "bob", "carol", "mallory"))]
    devices = [device("meter of bob", "bob"), device("meter of alice", "alice")]
    return [*people, *devices, (ROOF, ""), (DECLARED, ""), (OFFER, "alice"), *purchases]


def bobs_invoice() -> Forgery:
    """Bob used 300 Wh at noon and 50 Wh after; 100 Wh of that come from alice's roof, all that bob bought."""
    return Forgery(
        "invoice",
        "bob",
        {(Scheme.PURCHASE, PRICES[Scheme.PURCHASE]): 100, (Scheme.SUPPLY, PRICES[Scheme.SUPPLY]): 250},
        [SignedReadings("meter of bob", used(noon=300, after=50), name("point of bob"))],
        [sold(500, full(100)), supply(200), supply(50, AFTER)],
        market(purchase("bob", 100)),
    )


def alices_invoice() -> Forgery:
    """Alice used 300 Wh at noon, all from the roof, and 50 Wh after, of which the roof gave 20 Wh."""
    readings = used(noon=300, after=50) | made(noon=700, after=20)
    return Forgery(
        "invoice",
        "alice",
        {(Scheme.SUPPLY, PRICES[Scheme.SUPPLY]): 30},
        [SignedReadings("meter of alice", readings, name("point of alice"))],
        [own_use(300), own_use(20, AFTER), supply(30, AFTER, "alice")],
        market(),
    )


def alices_credit() -> Forgery:
    """Alice's roof had 400 Wh left at noon: 100 Wh went to bob, 300 Wh to the utility."""
    readings = used(noon=300) | made(noon=700)
    return Forgery(
        "credit_note",
        "alice",
        {(Scheme.PURCHASE, PRICES[Scheme.PURCHASE]): 100, (Scheme.FEED_IN, PRICES[Scheme.FEED_IN]): 300},
        [SignedReadings("meter of alice", readings, name("point of alice"))],
        [sold(400, full(100)), fed_in(300)],
        market(purchase("bob", 100)),
    )


def refusal_of(forgery: Forgery) -> str:
    with pytest.raises(VerificationError) as refusal:
        forgery.verified()
    return str(refusal.value)


@pytest.mark.parametrize("forge", [bobs_invoice, alices_invoice, alices_credit])
def test_the_honest_documents_verify(forge: Callable[[], Forgery]) -> None:
    assert forge().verified().grades[1] > 0


# Readings


def without_generation(forgery: Forgery, *slots: int) -> Forgery:
    """Generation is signed and not shown; what the roof gave is billed as supply."""
    forgery.batches[0].hidden |= {(Register.GENERATION, slot) for slot in slots}
    return forgery


def test_generation_that_is_not_shown_is_missed() -> None:
    """Own use would go to zero, and all of the consumption be billed."""
    forgery = without_generation(alices_invoice(), NOON)
    forgery.given = [own_use(20, AFTER), supply(300, NOON, "alice"), supply(30, AFTER, "alice")]
    forgery.energy = {(Scheme.SUPPLY, PRICES[Scheme.SUPPLY]): 330}
    assert "generation" in refusal_of(forgery)


def test_generation_of_a_registered_plant_is_missed_when_none_of_it_is_shown() -> None:
    forgery = without_generation(alices_invoice(), *SLOTS)
    forgery.given = [supply(300, NOON, "alice"), supply(50, AFTER, "alice")]
    forgery.energy = {(Scheme.SUPPLY, PRICES[Scheme.SUPPLY]): 350}
    assert "generation" in refusal_of(forgery)


def test_generation_is_missed_even_when_the_plant_is_kept_quiet() -> None:
    forgery = without_generation(alices_invoice(), NOON)
    forgery.given = [own_use(20, AFTER), supply(300, NOON, "alice"), supply(30, AFTER, "alice")]
    forgery.energy = {(Scheme.SUPPLY, PRICES[Scheme.SUPPLY]): 330}
    forgery.hidden = [ROOF]
    assert "generation" in refusal_of(forgery)


def test_a_plant_that_came_later_needs_no_readings_of_days_before() -> None:
    """Bob's own roof is registered after the day was settled."""
    forgery = bobs_invoice()
    forgery.late = [(plant("bob", "new"), "")]
    forgery.verified()


def test_a_plant_needs_no_readings_of_days_before_it_stood_there() -> None:
    """It is registered before the day is settled, and stands behind the meter from the next day on."""
    forgery = bobs_invoice()
    forgery.commands.append((plant("bob", "new", NUMBER + 1), ""))
    forgery.verified()
    forgery = bobs_invoice()
    forgery.commands.append((plant("bob", "new", NUMBER), ""))
    assert "generation" in refusal_of(forgery)


def test_a_device_speaks_for_its_own_metering_points_only() -> None:
    """Carol's box, which the operator holds, signs what bob is said to have used."""
    forgery = bobs_invoice()
    forgery.commands.append(device("meter of carol", "carol"))
    forgery.batches[0].signer = "meter of carol"
    assert "not registered for this metering point" in refusal_of(forgery)


def test_a_settlement_rests_on_what_was_anchored_before_it() -> None:
    forgery = bobs_invoice()
    forgery.anchored_late = True
    assert "before its readings were anchored" in refusal_of(forgery)


def test_readings_in_another_unit_are_refused() -> None:
    forgery = bobs_invoice()
    forgery.batches[0].unit = 2
    assert "unit" in refusal_of(forgery)


def test_a_quality_that_nobody_knows_is_no_true_value() -> None:
    forgery = bobs_invoice()
    forgery.batches[0].quality = 3
    assert "quality" in refusal_of(forgery)


def test_substitutes_do_not_pass_as_true_values() -> None:
    forgery = bobs_invoice()
    forgery.batches[0].quality = Quality.SUBSTITUTE
    forgery.changes = {"grades": [{"grade": "1", "energy_wh": "350"}]}
    assert refusal_of(forgery).startswith("document.grades")


def test_a_slot_in_two_batches_is_refused() -> None:
    forgery = bobs_invoice()
    forgery.batches.append(SignedReadings("meter of bob", {(Register.CONSUMPTION, NOON): 900}, name("point of bob")))
    assert "given twice" in refusal_of(forgery)


def test_what_a_customer_signs_is_no_reading() -> None:
    forgery = bobs_invoice()
    forgery.batches[0].signer = "bob"
    assert "only operators" in refusal_of(forgery)


def test_a_batch_anchored_after_its_key_was_revoked_is_refused() -> None:
    forgery = bobs_invoice()
    forgery.commands.append((RevokeDeviceKey(name("meter of bob"), key_of("meter of bob").public_key.id), ""))
    assert "revoked" in refusal_of(forgery)


def test_a_batch_anchored_before_its_key_was_revoked_stays_valid() -> None:
    forgery = bobs_invoice()
    forgery.late = [(RevokeDeviceKey(name("meter of bob"), key_of("meter of bob").public_key.id), "")]
    forgery.verified()


@pytest.mark.parametrize("signer", ["", "mallory", "meter of bob"])
def test_a_key_that_the_device_did_not_agree_to_signs_nothing(signer: str) -> None:
    """The operator gives bob's meter a key of its own, to sign in its name."""
    forgery = bobs_invoice()
    new = key_of("operator").public_key
    rotation = RotateDeviceKey(name("meter of bob"), new.algorithm, new.x, new.y, NUMBER, 0)
    forgery.commands.append((rotation, signer))
    forgery.batches[0].key = key_of("operator")
    if signer == "meter of bob":
        forgery.verified()
    else:
        assert "signature" in refusal_of(forgery)


def test_a_batch_anchored_before_its_key_was_the_devices_is_refused() -> None:
    """The device hands over to a key with which others have signed before."""
    forgery = bobs_invoice()
    new = key_of("operator").public_key
    forgery.late = [(RotateDeviceKey(name("meter of bob"), new.algorithm, new.x, new.y, NUMBER, 0), "meter of bob")]
    forgery.batches[0].key = key_of("operator")
    assert "only after the batch was anchored" in refusal_of(forgery)


@pytest.mark.parametrize("signer", ["meter of bob", "second", "third"])
def test_a_device_that_rotated_twice_is_followed_and_each_of_its_keys_is_good(signer: str) -> None:
    forgery = bobs_invoice()
    for signer, following in (("meter of bob", "second"), ("second", "third")):
        new = key_of(following).public_key
        rotation = RotateDeviceKey(name("meter of bob"), new.algorithm, new.x, new.y, NUMBER, 30)
        forgery.commands.append((rotation, signer))
    forgery.batches[0].key = key_of(signer)
    forgery.verified()


def test_a_device_registered_again_with_another_key_is_refused() -> None:
    forgery = bobs_invoice()
    key = key_of("operator")
    first, _ = device("meter of bob", "bob")
    assert isinstance(first, RegisterDevice)
    forgery.commands.append((replace(first, x=key.public_key.x, y=key.public_key.y), ""))
    forgery.batches[0].key = key
    assert "registered twice" in refusal_of(forgery)


# What was bought


def test_an_allotment_given_twice_is_refused() -> None:
    """One for the buyer's eyes, one for the seller's."""
    forgery = bobs_invoice()
    forgery.given.append(supply(7))
    assert "given twice" in refusal_of(forgery)


def test_a_purchase_served_twice_in_a_slot_is_refused() -> None:
    """A part in full and a part by weight would be more than its share."""
    forgery = bobs_invoice()
    forgery.given[0] = sold(500, full(60), full(40))
    assert "two rows" in refusal_of(forgery)


def test_two_weights_for_one_purchase_are_refused() -> None:
    """100 Wh undelivered, then 70 Wh: each row follows from what is left, but together they are more than a share."""
    first, second = replace(full(30), weight=100, limit=0), replace(full(21), weight=70, limit=0)
    others = Row(name("point of bob"), Scheme.PURCHASE, name("purchase of bob 2"), 100, 0, 29, 200_000)
    forgery = bobs_invoice()
    forgery.given = [sold(80, first, second, others), supply(220), supply(50, AFTER)]
    forgery.energy = {(Scheme.PURCHASE, 200_000): 80, (Scheme.SUPPLY, 320_000): 270}
    fields, signer = purchase("bob", 100)
    assert isinstance(fields, CommitPurchase)
    forgery.commands.append((replace(fields, purchase=name("purchase of bob 2")), signer))
    assert "two rows" in refusal_of(forgery)


def test_another_persons_offer_on_a_declaration_is_refused() -> None:
    """The buyer would pay a price that the seller never asked for."""
    forgery = bobs_invoice()
    forgery.commands = [
        (replace(OFFER, seller=name("mallory")), "mallory") if fields is OFFER else (fields, signer)
        for fields, signer in forgery.commands
    ]
    assert "seller" in refusal_of(forgery)


def test_a_purchase_on_another_declaration_than_its_offers_is_refused() -> None:
    forgery = bobs_invoice()
    fields, signer = forgery.commands.pop()
    assert isinstance(fields, CommitPurchase)
    forgery.commands.append((replace(fields, declaration=name("yesterday")), signer))
    assert "declaration" in refusal_of(forgery)


def test_a_surplus_of_another_area_is_refused() -> None:
    forgery = bobs_invoice()
    elsewhere = replace(DECLARED, area=name("elsewhere"))
    forgery.commands = [(elsewhere if fields is DECLARED else fields, signer) for fields, signer in forgery.commands]
    assert "area" in refusal_of(forgery)


def test_a_purchase_of_another_day_is_refused() -> None:
    forgery = bobs_invoice()
    tomorrow = replace(DECLARED, start=SLOTS.stop, end=SLOTS.stop + 86_400)
    forgery.commands = [(tomorrow if fields is DECLARED else fields, signer) for fields, signer in forgery.commands]
    assert "another plant or time" in refusal_of(forgery)


@pytest.mark.parametrize(
    "again",
    [
        participant("bob"),
        (replace(ROOF, power_w=1), ""),
        (replace(DECLARED, energy=5), ""),
        (replace(OFFER, price=900_000), "alice"),
        purchase("bob", 200),
    ],
    ids=lambda again: type(again[0]).__name__,
)
def test_nothing_is_registered_twice(again: tuple[Fields, str]) -> None:
    """What came first would be forgotten, such as the price that the buyer saw."""
    forgery = bobs_invoice()
    forgery.commands.append(again)
    assert "registered twice" in refusal_of(forgery)


# What was sold


def test_a_credit_note_does_not_deliver_more_than_was_bought() -> None:
    """Bob bought 100 Wh; all of alice's surplus would go at that price, were it a low one."""
    forgery = alices_credit()
    forgery.given = [sold(400, full(400))]
    forgery.energy = {(Scheme.PURCHASE, PRICES[Scheme.PURCHASE]): 400}
    assert "100 Wh" in refusal_of(forgery)


def test_a_credit_note_does_not_sell_at_somebody_elses_price() -> None:
    """An accomplice offers alice's surplus at next to nothing, and another one buys it."""
    forgery = alices_credit()
    cheap = replace(OFFER, seller=name("mallory"), price=1)
    forgery.commands = [
        (cheap, "mallory") if fields is OFFER else (fields, signer) for fields, signer in forgery.commands
    ]
    forgery.given[0].rows[0] = replace(full(100), price=1)
    forgery.energy = {(Scheme.PURCHASE, 1): 100, (Scheme.FEED_IN, PRICES[Scheme.FEED_IN]): 300}
    assert "seller" in refusal_of(forgery)


def test_a_credit_note_does_not_sell_for_somebody_who_has_no_plant() -> None:
    forgery = alices_credit()
    theirs = replace(DECLARED, seller=name("mallory"))
    cheap = replace(OFFER, seller=name("mallory"), price=1)
    swapped: dict[Fields, tuple[Fields, str]] = {DECLARED: (theirs, ""), OFFER: (cheap, "mallory")}
    forgery.commands = [swapped.get(fields, (fields, signer)) for fields, signer in forgery.commands]
    forgery.given[0].rows[0] = replace(full(100), price=1)
    forgery.energy = {(Scheme.PURCHASE, 1): 100, (Scheme.FEED_IN, PRICES[Scheme.FEED_IN]): 300}
    assert "owner" in refusal_of(forgery)


def test_a_credit_note_goes_to_the_plants_owner() -> None:
    forgery = alices_credit()
    changed = forgery.document()["customer"] | {"id": encode_bytes(name("mallory"))}
    forgery.changes = {"customer": changed}
    assert "owner" in refusal_of(forgery)


def test_a_credit_note_does_not_sell_to_a_point_that_did_not_buy() -> None:
    forgery = alices_credit()
    forgery.given[0].rows[0] = replace(full(100), point=name("point of carol"))
    assert "point" in refusal_of(forgery)


def test_a_credit_note_does_not_leave_surplus_over_while_buyers_share() -> None:
    forgery = alices_credit()
    forgery.given[0] = sold(400, replace(full(90), weight=100, limit=0))
    forgery.given[1] = fed_in(310)
    forgery.energy = {(Scheme.PURCHASE, 200_000): 90, (Scheme.FEED_IN, 80_000): 310}
    assert "left over" in refusal_of(forgery)


def test_a_row_of_a_credit_note_that_is_not_shown_is_missed() -> None:
    forgery = alices_credit()
    forgery.given[0] = sold(400, full(100), full(50, "carol"))
    forgery.commands.append(purchase("carol", 50))
    forgery.given[1] = fed_in(250)
    forgery.energy = {(Scheme.PURCHASE, 200_000): 150, (Scheme.FEED_IN, 80_000): 250}
    forgery.verified()
    show = forgery._day

    def hide() -> tuple[SettledDay, RecordSettlement]:
        day, settlement = show()
        allotments = tuple(replace(shown, rows=shown.rows[:1]) for shown in day.allotments)
        return replace(day, allotments=allotments), settlement

    forgery._day = hide  # type: ignore[method-assign]
    assert "some are missing" in refusal_of(forgery)


# The document


@pytest.mark.parametrize("start, end", [("9999-12-30", "9999-12-31"), ("0001-01-01", "0001-01-02")])
@pytest.mark.parametrize("zone", ["UTC", "America/Bogota", "Pacific/Auckland"])
def test_the_ends_of_the_calendar_are_refused(start: str, end: str, zone: str) -> None:
    forgery = bobs_invoice()
    forgery.changes = {"start": start, "end": end, "time_zone": zone}
    assert "another metering point or time" in refusal_of(forgery)


@pytest.mark.parametrize("seconds", ["0", "-900", "59", "899", "901", "1000", "86400"])
def test_slots_of_another_length_are_refused(seconds: str) -> None:
    forgery = bobs_invoice()
    forgery.changes = {"slot_seconds": seconds}
    assert refusal_of(forgery).startswith("document")


@pytest.mark.parametrize(
    "changes",
    [
        {"surcharge_minor": "900"},
        {"type": "energymarket/invoice/2"},
        {"kind": "offer"},
        {"start": DAY.isoformat(), "end": DAY.isoformat()},
        {"currency": "XAU"},
        {"currency": True},
        {"time_zone": "../../etc/passwd"},
        {"time_zone": "Nowhere/City"},
        {"lines": [{"scheme": "77", "energy_wh": "1", "price_micro": "1", "amount_minor": "1", "vat_ppm": "0"}]},
        {"lines": [{"scheme": True, "energy_wh": "1", "price_micro": "1", "amount_minor": "1", "vat_ppm": "0"}]},
        {"lines": [], "vat": []},
        {"customer": {"id": encode_bytes(name("bob")), "name": "Bob"}},
        {"point": {"id": encode_bytes(name("point of bob")), "code": "1", "name": "", "deposit": "100"}},
    ],
    ids=str,
)
def test_documents_of_another_form_are_refused_by_name(changes: dict[str, Any]) -> None:
    forgery = bobs_invoice()
    forgery.changes = changes
    assert refusal_of(forgery).startswith("document")


def test_a_line_with_more_than_the_verifier_knows_is_refused() -> None:
    forgery = bobs_invoice()
    forgery.changes = {"lines": [line | {"text": "plus 5 EUR"} for line in forgery.document()["lines"]]}
    assert refusal_of(forgery).startswith("document.lines")


def test_what_cannot_be_proven_is_said() -> None:
    """That no purchase was kept back cannot be seen in a bundle; the reader is told which ones it knows."""
    texts = {check.name: check.text for check in bobs_invoice().verified().checks}
    assert "purchases shown: 1, bought 100 Wh, delivered 100 Wh" in texts["shares"]
    assert "no generation" in texts["readings"]
    texts = {check.name: check.text for check in alices_invoice().verified().checks}
    assert "no generation" not in texts["readings"]
