"""`energymarket-verify bundle.json --trust anchors.json`: recompute an invoice from what meters signed.

Nothing is compared that can be computed: readings lead to shares, shares to energies, energies to lines and totals. The
trust anchors must come from somewhere else than the bundle.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path as FilePath
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from evidence import canonical, eip712, merkle
from evidence.bundle import Bundle, BundleError, SettledDay, ShownRow, SignedBatch, load
from evidence.canonical import decode_bytes, decode_int
from evidence.checkpoint import CheckpointError, open_note, origin
from evidence.commands import Command, CommandError, sign_digest, wallet_digest
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
    RotateParticipantKey,
)
from evidence.contents import document_digest
from evidence.invoice import Figures, Line, compute
from evidence.journal import Entry, envelope_digest
from evidence.keys import Algorithm, PublicKey
from evidence.merkle import ProofError
from evidence.readings import Grade, Quality, Register, Unit, anchor_leaf, leaf
from evidence.settlement import Allotment, Scheme
from evidence.sumtree import Node, root_from_path
from market_math.money import MINOR_DIGITS
from market_math.slots import day_number, day_slots

TRUST = "energymarket/trust/1"
DOCUMENT = "energymarket/invoice/1"
SLOT_MINUTES = (5, 10, 15, 30, 60)
OPERATORS = (1, 4)  # roles whose signature makes imported readings grade 2: utility, metering operator
T = TypeVar("T")


class VerificationError(Exception):
    """The bundle proves nothing: `place` says where, the message why."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was verified, in words."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a valid bundle shows. `grades`: Wh of readings by grade of evidence."""

    checks: tuple[Check, ...]
    grades: dict[int, int]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Trust:
    """What the reader trusts: which ledger, which market, and the key that signs the ledger's checkpoints."""

    ledger: bytes
    market: bytes
    checkpoint_key: bytes

    @classmethod
    def from_bytes(cls, text: bytes) -> "Trust":
        """Raises `VerificationError`."""
        try:
            members = canonical.loads(text.strip())
            if members["type"] != TRUST:
                raise ValueError("another type of file")
            found = [decode_bytes(members[name]) for name in ("ledger", "market", "checkpoint_key")]
        except (ValueError, KeyError, TypeError) as error:
            raise VerificationError("trust", f"the trust anchors cannot be read: {error}") from None
        return cls(*found)


def verify(bundle_text: bytes, trust_text: bytes) -> Report:
    """Verify a bundle against trust anchors. Raises `VerificationError` with the place of the first thing wrong."""
    trust = Trust.from_bytes(trust_text)
    try:
        bundle = load(bundle_text)
    except BundleError as error:
        place, _, message = str(error).partition(": ")
        raise VerificationError(place, message) from None
    return _Verification(bundle, trust).run()


@dataclass
class _Records:
    """What the ledger's commands in the bundle say, by the ids in them.

    `measured`: the metering points of a device. `revoked` and `entries` (of plants, and of anchors and settlements by
    root) tell which came first in the log.
    """

    participants: dict[bytes, tuple[int, PublicKey]] = field(default_factory=dict)
    devices: dict[bytes, list[PublicKey]] = field(default_factory=dict)
    measured: dict[bytes, frozenset[bytes]] = field(default_factory=dict)
    revoked: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    plants: dict[bytes, RegisterPlant] = field(default_factory=dict)
    anchors: dict[bytes, AnchorReadings] = field(default_factory=dict)
    declarations: dict[bytes, DeclareSurplus] = field(default_factory=dict)
    offers: dict[bytes, PublishOffer] = field(default_factory=dict)
    purchases: dict[bytes, CommitPurchase] = field(default_factory=dict)
    settlements: dict[bytes, RecordSettlement] = field(default_factory=dict)
    invoices: list[RecordInvoice] = field(default_factory=list)
    entries: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Share:
    """A shown row under its allotment."""

    place: str
    allotment: Allotment
    shown: ShownRow


class _Verification:
    def __init__(self, bundle: Bundle, trust: Trust) -> None:
        self.bundle = bundle
        self.trust = trust
        self.records = _Records()
        self.checks: list[Check] = []
        self.readings: dict[tuple[bytes, int, int], int] = {}
        self.grades: Counter[int] = Counter()
        self.allotments: dict[tuple[bytes, int, int], tuple[str, Allotment, list[_Share]]] = {}
        self.rounded: Counter[str] = Counter()
        self.with_generation: set[int] = set()
        self.anchored: dict[int, int] = {}

    def run(self) -> Report:
        self._check_log()
        document = _Document(self.bundle.document)
        self._check_document(document)
        for i, batch in enumerate(self.bundle.batches):
            self._check_batch(f"batches[{i}]", batch, document)
        generated = any(register == Register.GENERATION for _, register, _ in self.readings)
        kinds = "" if generated else "; no generation is among them: right only without a plant behind the meter"
        self._passed("readings", f"{len(self.readings)} readings are signed and anchored on the ledger{kinds}")
        self._check_days(document)
        energy = self._bought(document) if document.kind == "invoice" else self._sold(document)
        figures = self._check_figures(document, energy)
        return Report(tuple(self.checks), dict(sorted(self.grades.items())), figures)

    def _passed(self, name: str, text: str) -> None:
        self.checks.append(Check(name, text))

    # The ledger

    def _check_log(self) -> None:
        log = self.bundle.log
        try:
            name = origin(self.trust.ledger)
            checkpoint = open_note(log.checkpoint, name, self.trust.checkpoint_key)
        except CheckpointError as error:
            raise VerificationError("ledger.checkpoint", str(error)) from None
        commands = []
        for i, logged in enumerate(log.commands):
            try:
                commands.append(Command.from_bytes(logged.envelope))
            except CommandError as error:
                raise VerificationError(f"ledger.commands[{i}]", str(error)) from None
        try:
            leaves = [
                (logged.index, Entry(logged.index, logged.time, 0, c.id, envelope_digest(logged.envelope)).leaf_hash)
                for logged, c in zip(log.commands, commands, strict=True)
            ]
            root = merkle.root_from_path(leaves, log.path)
        except ValueError as error:
            raise VerificationError("ledger.path", str(error)) from None
        if root != checkpoint.root or log.path.size != checkpoint.size:
            raise VerificationError("ledger", "the commands are not in the log that the checkpoint signs")
        for i, (logged, command) in enumerate(zip(log.commands, commands, strict=True)):
            self._record(f"ledger.commands[{i}]", command, logged.index)
        self._passed(
            "ledger",
            f"{len(commands)} commands are in the log of {checkpoint.size} entries, signed by its one operator",
        )

    def _record(self, place: str, command: Command, entry: int) -> None:
        if command.market != self.trust.market:
            raise VerificationError(place, "the command is of another market")
        records, fields = self.records, command.fields
        if isinstance(fields, RegisterParticipant):
            key = PublicKey(fields.algorithm, fields.x, fields.y)
            self._add(place, records.participants, fields.participant, (fields.role, key))
        elif isinstance(fields, RotateParticipantKey):
            role, _ = self._participant(place, fields.participant)
            self._check_person(place, command, fields.participant)
            records.participants[fields.participant] = role, PublicKey(fields.algorithm, fields.x, fields.y)
        elif isinstance(fields, RegisterDevice | RotateDeviceKey | RevokeDeviceKey):
            self._record_device(place, command, fields, entry)
        elif isinstance(fields, RegisterPlant):
            self._add(place, records.plants, fields.plant, fields)
            records.entries[fields.plant] = entry
        elif isinstance(fields, AnchorReadings):
            records.anchors[fields.root] = fields
            records.entries[fields.root] = entry
        elif isinstance(fields, DeclareSurplus):
            self._add(place, records.declarations, fields.declaration, fields)
        elif isinstance(fields, PublishOffer):
            self._check_person(place, command, fields.seller)
            self._add(place, records.offers, fields.offer, fields)
        elif isinstance(fields, CommitPurchase):
            self._check_person(place, command, fields.buyer)
            self._add(place, records.purchases, fields.purchase, fields)
        elif isinstance(fields, RecordSettlement):
            records.settlements[fields.root] = fields
            records.entries[fields.root] = entry
        elif isinstance(fields, RecordInvoice):
            records.invoices.append(fields)

    def _record_device(
        self, place: str, command: Command, fields: RegisterDevice | RotateDeviceKey | RevokeDeviceKey, entry: int
    ) -> None:
        if isinstance(fields, RevokeDeviceKey):
            self.records.revoked.setdefault((fields.device, fields.key), entry)
            return
        key = PublicKey(fields.algorithm, fields.x, fields.y)
        if isinstance(fields, RegisterDevice):
            self._add(place, self.records.devices, fields.device, [key])
            self.records.measured[fields.device] = frozenset(fields.points)
            return
        keys: list[PublicKey] = self._known(place, self.records.devices, fields.device, "device")
        self._check_signature(place, command, keys[-1], sign_digest(self.trust.ledger, command))
        keys.append(key)

    @staticmethod
    def _add(place: str, records: dict[bytes, T], key: bytes, record: T) -> None:
        """The log's operator may have let in what the contract refuses; what came first must not be replaced."""
        if key in records:
            raise VerificationError(place, "what it registers is registered twice")
        records[key] = record

    def _participant(self, place: str, participant: bytes) -> tuple[int, PublicKey]:
        found: tuple[int, PublicKey] = self._known(place, self.records.participants, participant, "participant")
        return found

    @staticmethod
    def _known(place: str, records: dict[bytes, Any], key: bytes, what: str) -> Any:
        if key not in records:
            raise VerificationError(place, f"the {what} it names is not in the bundle")
        return records[key]

    def _check_person(self, place: str, command: Command, participant: bytes) -> None:
        _, key = self._participant(place, participant)
        if key.algorithm == Algorithm.SECP256K1:
            digest = wallet_digest(eip712.Domain(self.trust.ledger), command)
        else:
            digest = sign_digest(self.trust.ledger, command)
        self._check_signature(place, command, key, digest)

    @staticmethod
    def _check_signature(place: str, command: Command, key: PublicKey, digest: bytes) -> None:
        signatures = command.signatures
        if len(signatures) != 1 or signatures[0][0] != key.id or not key.verifies(digest, signatures[0][1]):
            raise VerificationError(place, "the signature of the one who asked for it does not fit")

    # The document

    def _check_document(self, document: "_Document") -> None:
        digest = document_digest(self.bundle.salt, canonical.dumps(self.bundle.document))
        for recorded in self.records.invoices:
            if recorded.document == digest:
                break
        else:
            raise VerificationError("document", "its hash is not on the ledger")
        if (recorded.issuer, recorded.number) != (document.issuer, document.number):
            raise VerificationError("document", "it is on the ledger under another issuer or number")
        self._passed("document", f"document {document.series}{document.number} is on the ledger as it stands here")

    # Readings

    def _check_batch(self, place: str, batch: SignedBatch, document: "_Document") -> None:
        statement = batch.statement
        if statement.unit != Unit.WH:
            raise VerificationError(f"{place}.statement", f"the readings are in unit {statement.unit}, not in Wh")
        grade = self._grade_of_signer(place, batch)
        try:
            content = anchor_leaf(statement.digest, batch.signature)
            anchored = merkle.root_from_path([(batch.anchor_index, merkle.leaf_hash(content))], batch.anchor_path)
        except ProofError as error:
            raise VerificationError(f"{place}.anchor", str(error)) from None
        anchor: AnchorReadings = self._known(f"{place}.anchor", self.records.anchors, anchored, "anchor")
        if anchor.count != batch.anchor_path.size or anchor.area != document.area:
            raise VerificationError(f"{place}.anchor", "the anchor is about other batches")
        revoked = self.records.revoked.get((statement.device, statement.key))
        if revoked is not None and revoked < self.records.entries[anchored]:
            raise VerificationError(f"{place}.anchor", "the key was revoked before the batch was anchored")
        leaves = []
        for i, reading in enumerate(batch.readings):
            content = leaf(reading.salt, reading.id.encode(), reading.value.encode())
            leaves.append((reading.index, merkle.leaf_hash(content)))
            self._add_reading(f"{place}.readings[{i}]", batch, i, grade, self.records.entries[anchored], document)
        try:
            root = merkle.root_from_path(leaves, batch.path)
        except ProofError as error:
            raise VerificationError(f"{place}.path", str(error)) from None
        if root != statement.root or batch.path.size != statement.count:
            raise VerificationError(f"{place}.readings", "the readings are not those that were signed")

    def _grade_of_signer(self, place: str, batch: SignedBatch) -> Grade:
        statement = batch.statement
        if statement.device in self.records.devices:
            grade, keys = Grade.DEVICE_SIGNED, self.records.devices[statement.device]
        else:
            role, key = self._participant(f"{place}.statement", statement.device)
            if role not in OPERATORS:
                raise VerificationError(f"{place}.statement", "only operators may import readings")
            grade, keys = Grade.OPERATOR_SIGNED, [key]
        key_of = {key.id: key for key in keys}
        if statement.key not in key_of:
            raise VerificationError(f"{place}.statement", "the key is not registered for its signer")
        if not key_of[statement.key].verifies(statement.digest, batch.signature):
            raise VerificationError(f"{place}.signature", "the signature does not fit the statement")
        return grade

    def _add_reading(
        self, place: str, batch: SignedBatch, i: int, grade: Grade, entry: int, document: "_Document"
    ) -> None:
        reading = batch.readings[i]
        key = reading.id.point, reading.id.register, reading.id.slot
        if reading.id.point != document.point or reading.id.slot not in document.slots:
            raise VerificationError(place, "the reading is of another metering point or time")
        if grade is Grade.DEVICE_SIGNED and reading.id.point not in self.records.measured[batch.statement.device]:
            raise VerificationError(place, "the device is not registered for this metering point")
        if not batch.statement.start <= reading.id.slot < batch.statement.end:
            raise VerificationError(place, "the reading lies outside its statement")
        if key in self.readings:
            raise VerificationError(place, "the reading is given twice")
        if reading.value.value < 0:
            raise VerificationError(place, "the reading is negative")
        if reading.value.quality not in list(Quality):
            raise VerificationError(place, f"nobody knows the quality {reading.value.quality}")
        self.readings[key] = reading.value.value
        self.anchored[reading.id.slot] = max(entry, self.anchored.get(reading.id.slot, 0))
        own_grade = Grade.SUBSTITUTE if reading.value.quality == Quality.SUBSTITUTE else grade
        self.grades[own_grade] += reading.value.value

    # Settlement

    def _check_days(self, document: "_Document") -> None:
        settled: dict[int, RecordSettlement] = {}
        for i, day in enumerate(self.bundle.days):
            place = f"days[{i}]"
            recorded = self._settlement_of(place, day)
            if recorded.area != document.area or recorded.day in settled:
                raise VerificationError(place, "the settlement is of another area, or of a day that is there twice")
            settled[recorded.day] = recorded
            slots = document.slots_of(recorded.day)
            if any(self.anchored.get(slot, 0) > self.records.entries[recorded.root] for slot in slots):
                raise VerificationError(place, "it was recorded before its readings were anchored")
            if self._had_generation(document, recorded, slots):
                self.with_generation.update(slots)
            for j, shown in enumerate(day.allotments):
                at = f"{place}.allotments[{j}]"
                if shown.allotment.slot not in slots:
                    raise VerificationError(at, "the slot is not of the settlement's day")
                shares = [_Share(f"{at}.rows[{k}]", shown.allotment, row) for k, row in enumerate(shown.rows)]
                for share in shares:
                    self._check_row(share)
                key = shown.allotment.plant, shown.allotment.slot, shown.allotment.scheme
                if key in self.allotments:
                    raise VerificationError(at, "the allotment is given twice")
                self.allotments[key] = at, shown.allotment, shares
        if sorted(settled) != document.days:
            raise VerificationError("days", "not every day of the period is there")
        versions = ", ".join(sorted({f"version {recorded.version}" for recorded in settled.values()}))
        self._passed("settlement", f"{len(settled)} settled days are on the ledger ({versions})")

    def _had_generation(self, document: "_Document", recorded: RecordSettlement, slots: range) -> bool:
        """Whether a plant stood behind the meter on the settled day: then no slot may lack its generation."""
        entries = self.records.entries
        plants = [fields for fields in self.records.plants.values() if fields.point == document.point]
        settled = entries[recorded.root]
        if any(fields.since <= recorded.day and entries[fields.plant] < settled for fields in plants):
            return True
        return any(self.readings.get((document.point, Register.GENERATION, slot)) for slot in slots)

    def _settlement_of(self, place: str, day: SettledDay) -> RecordSettlement:
        try:
            root = merkle.root_from_path([(s.index, s.allotment.leaf_hash) for s in day.allotments], day.path)
        except ProofError as error:
            raise VerificationError(place, str(error)) from None
        found: RecordSettlement = self._known(place, self.records.settlements, root, "settlement")
        if found.count != day.path.size:
            raise VerificationError(place, "the settlement has another number of allotments")
        return found

    @staticmethod
    def _check_row(share: _Share) -> None:
        allotment, shown = share.allotment, share.shown
        leaf_node = Node(shown.row.hash(shown.salt), shown.row.sums)
        try:
            node = root_from_path(leaf_node, shown.index, allotment.rows, shown.siblings)
        except ValueError as error:
            raise VerificationError(share.place, str(error)) from None
        if node != allotment.node or shown.row.scheme != allotment.scheme:
            raise VerificationError(share.place, "the row is not in the allotment's tree")

    def _reading(self, register: Register, document: "_Document", slot: int) -> int | None:
        return self.readings.get((document.point, register, slot))

    def _consumed(self, document: "_Document", slot: int) -> int:
        consumed = self._reading(Register.CONSUMPTION, document, slot)
        if consumed is None:
            raise VerificationError("batches", f"the consumption of slot {slot} is missing")
        return consumed

    def _generated(self, document: "_Document", slot: int) -> int:
        generated = self._reading(Register.GENERATION, document, slot)
        if generated is None and slot in self.with_generation:
            raise VerificationError("batches", f"the generation of slot {slot} is missing")
        return generated or 0

    # What a customer bought

    def _bought(self, document: "_Document") -> dict[tuple[Scheme, int], int]:
        by_slot: dict[int, list[_Share]] = {}
        for _, allotment, shares in self.allotments.values():
            for share in shares:
                if share.shown.row.point != document.point:
                    raise VerificationError(share.place, "the row is of another metering point")
                by_slot.setdefault(allotment.slot, []).append(share)
        energy: Counter[tuple[Scheme, int]] = Counter()
        undelivered = {claim: purchase.energy for claim, purchase in self.records.purchases.items()}
        for slot in document.slots:
            self._check_slot(document, slot, by_slot.get(slot, []), undelivered, energy)
        rounded = ", ".join(f"{count} {which}" for which, count in sorted(self.rounded.items())) or "none to round"
        bought = sum(purchase.energy for purchase in self.records.purchases.values())
        # Purchases that are kept back cannot be missed here; whoever made them knows them.
        purchases = f"purchases shown: {len(undelivered)}, bought {bought} Wh, delivered "
        purchases += f"{bought - sum(undelivered.values())} Wh"
        self._passed("shares", f"every slot adds up to its reading; {purchases}; shares of a Wh: {rounded}")
        return {key: wh for key, wh in energy.items() if wh}

    def _check_slot(
        self,
        document: "_Document",
        slot: int,
        shares: list[_Share],
        undelivered: dict[bytes, int],
        energy: Counter[tuple[Scheme, int]],
    ) -> None:
        consumed = self._consumed(document, slot)
        generated = self._generated(document, slot)
        uncovered = consumed - self._take(shares, Scheme.OWN_USE, min(generated, consumed), document.point, slot)[1]
        bought = [share for share in shares if share.allotment.scheme == Scheme.PURCHASE]
        bought.sort(key=lambda share: (share.allotment.plant, share.shown.row.claim))
        self._check_once(bought)
        for share in bought:
            uncovered -= self._check_purchase(document, share, bought, undelivered, uncovered)
            row = share.shown.row
            energy[Scheme.PURCHASE, row.price] += row.allocated
        price, supplied = self._take(shares, Scheme.SUPPLY, uncovered, document.issuer, slot)
        energy[Scheme.SUPPLY, price] += supplied
        known = {Scheme.OWN_USE, Scheme.PURCHASE, Scheme.SUPPLY}
        for share in shares:
            if share.allotment.scheme not in known:
                raise VerificationError(share.place, "the row does not belong to an invoice")

    @staticmethod
    def _check_once(shares: list[_Share]) -> None:
        claims = Counter(share.shown.row.claim for share in shares)
        for share in shares:
            if claims[share.shown.row.claim] > 1:
                raise VerificationError(share.place, "a purchase has two rows in one slot")

    @staticmethod
    def _take(shares: list[_Share], scheme: Scheme, expected: int, giver: bytes, slot: int) -> tuple[int, int]:
        """Price and Wh of the one row that must cover exactly `expected`, or of none when that is zero."""
        found = [share for share in shares if share.allotment.scheme == scheme]
        if len(found) != (1 if expected else 0):
            raise VerificationError("days", f"slot {slot}: {scheme.name.lower()} should cover {expected} Wh in one row")
        if not found:
            return 0, 0
        row = found[0].shown.row
        if (row.allocated, row.limit, row.weight) != (expected, expected, 0):
            raise VerificationError(found[0].place, f"{row.allocated} Wh where {expected} Wh are due")
        if scheme == Scheme.SUPPLY and found[0].allotment.plant != giver:
            raise VerificationError(found[0].place, "the supply is not the issuer's")
        return row.price, row.allocated

    def _check_purchase(
        self, document: "_Document", share: _Share, bought: list[_Share], undelivered: dict[bytes, int], uncovered: int
    ) -> int:
        """Recompute the row of a purchase; returns the Wh that it covers."""
        row, allotment, place = share.shown.row, share.allotment, share.place
        purchase, _ = self._check_agreement(document, share)
        if purchase.buyer != document.customer:
            raise VerificationError(place, "the purchase is another customer's")
        earlier = [
            other.shown.row
            for other in bought
            if other.allotment.plant == allotment.plant and other.shown.row.claim < row.claim
        ]
        before = sum(undelivered[other.claim] + other.allocated for other in earlier)
        given = sum(other.allocated for other in earlier)
        limit = max(0, min(undelivered[row.claim], uncovered + given - before))
        if row.weight:
            self._check_proportion(share, undelivered[row.claim], limit)
        elif not row.limit == row.allocated == limit:
            raise VerificationError(place, f"{row.allocated} Wh where {limit} Wh are due in full")
        undelivered[row.claim] -= row.allocated
        return row.allocated

    def _check_agreement(self, document: "_Document", share: _Share) -> tuple[CommitPurchase, DeclareSurplus]:
        """The purchase behind a row, of this plant, for this time, at the seller's price; and what it was sold from."""
        row, place = share.shown.row, share.place
        purchase: CommitPurchase = self._known(place, self.records.purchases, row.claim, "purchase")
        offer: PublishOffer = self._known(place, self.records.offers, purchase.offer, "offer")
        declared: DeclareSurplus = self._known(place, self.records.declarations, offer.declaration, "declaration")
        if purchase.declaration != offer.declaration:
            raise VerificationError(place, "the purchase is about another declaration than its offer")
        if offer.seller != declared.seller:
            raise VerificationError(place, "the offer is not the seller's whose surplus was declared")
        if declared.area != document.area:
            raise VerificationError(place, "the surplus is of another area")
        if declared.plant != share.allotment.plant or not declared.start <= share.allotment.slot < declared.end:
            raise VerificationError(place, "the purchase is about another plant or time")
        if purchase.point != row.point:
            raise VerificationError(place, "the purchase is for another metering point")
        if offer.price != row.price:
            raise VerificationError(place, f"priced at {row.price}, but {offer.price} was offered on the ledger")
        return purchase, declared

    def _check_proportion(self, share: _Share, undelivered: int, limit: int) -> None:
        row, allotment, place = share.shown.row, share.allotment, share.place
        if row.weight != undelivered or row.limit:
            raise VerificationError(place, f"a weight of {row.weight} where {undelivered} Wh are undelivered")
        rest = allotment.available - allotment.limit
        if allotment.allocated != allotment.available or rest < 0:
            raise VerificationError(place, "surplus was left over although somebody went short")
        exact = rest * row.weight // allotment.weight
        if row.allocated not in (exact, exact + 1) or row.allocated > limit:
            raise VerificationError(place, f"{row.allocated} Wh where {exact} or {exact + 1} Wh are due")
        self.rounded["rounded down" if row.allocated == exact else "rounded up"] += 1

    # What a plant sold

    def _sold(self, document: "_Document") -> dict[tuple[Scheme, int], int]:
        plants = [fields for fields in self.records.plants.values() if fields.point == document.point]
        if len(plants) != 1:
            raise VerificationError("ledger", "the registration of the plant is missing")
        plant = plants[0]
        if plant.owner != document.customer:
            raise VerificationError("document.customer", "the plant has another owner")
        for (giver, _, scheme), (place, _, _) in self.allotments.items():
            if giver != plant.plant or scheme not in (Scheme.PURCHASE, Scheme.FEED_IN):
                raise VerificationError(place, "the allotment does not belong to this plant's credit note")
        energy: Counter[tuple[Scheme, int]] = Counter()
        undelivered = {claim: purchase.energy for claim, purchase in self.records.purchases.items()}
        for slot in document.slots:
            generated = self._reading(Register.GENERATION, document, slot)
            if generated is None:
                raise VerificationError("batches", f"the generation of slot {slot} is missing")
            surplus = generated - min(generated, self._consumed(document, slot))
            for scheme in (Scheme.PURCHASE, Scheme.FEED_IN):
                for share in self._check_sold(plant.plant, slot, scheme, surplus):
                    row = share.shown.row
                    if scheme == Scheme.PURCHASE:
                        self._check_sale(document, share, undelivered)
                    energy[scheme, row.price] += row.allocated
                    surplus -= row.allocated
            if surplus:
                raise VerificationError("days", f"slot {slot}: {surplus} Wh of surplus went nowhere")
        self._passed("shares", "every slot's surplus was sold or fed in, to the Wh")
        return {key: wh for key, wh in energy.items() if wh}

    def _check_sold(self, plant: bytes, slot: int, scheme: Scheme, surplus: int) -> list[_Share]:
        """All rows of an allotment of the seller's own plant."""
        if (plant, slot, scheme) not in self.allotments:
            return []
        place, allotment, shares = self.allotments[plant, slot, scheme]
        if allotment.available != surplus or allotment.allocated > surplus:
            raise VerificationError(place, f"{allotment.available} Wh available where the meter shows {surplus} Wh")
        if [share.shown.index for share in shares] != list(range(allotment.rows)):
            raise VerificationError(place, "a seller sees all rows of the own plant, but some are missing")
        if scheme == Scheme.PURCHASE:
            self._check_once(shares)
        return shares

    def _check_sale(self, document: "_Document", share: _Share, undelivered: dict[bytes, int]) -> None:
        """Recompute a sale as far as the seller can: what the buyer consumed is not for others to see."""
        row, place = share.shown.row, share.place
        _, declared = self._check_agreement(document, share)
        if declared.seller != document.customer:
            raise VerificationError(place, "the surplus was declared for somebody who is not the plant's owner")
        left = undelivered[row.claim]
        if row.weight:
            self._check_proportion(share, left, left)
        elif row.limit != row.allocated or row.allocated > left:
            raise VerificationError(place, f"{row.allocated} Wh where {left} Wh are undelivered")
        undelivered[row.claim] -= row.allocated

    # Money

    def _check_figures(self, document: "_Document", energy: dict[tuple[Scheme, int], int]) -> Figures:
        rates: dict[Scheme, int] = {}
        for line in document.lines:
            if line[0] != "rounding" and rates.setdefault(Scheme(int(line[0])), line[4]) != line[4]:
                raise VerificationError("document.lines", "one scheme is taxed at two rates")
        if missing := {scheme for scheme, _ in energy} - set(rates):
            raise VerificationError("document.lines", f"no line for {', '.join(s.name.lower() for s in missing)}")
        figures = compute(energy, rates, document.currency)
        lines = [_stated(line) for line in figures.lines]
        if lines != document.lines:
            raise VerificationError("document.lines", "the lines are not what the settled energy comes to")
        if [(g.ppm, g.net_minor, g.vat_minor) for g in figures.vat] != document.vat:
            raise VerificationError("document.vat", "the tax is not what the lines come to")
        if (figures.net_minor, figures.vat_minor, figures.total_minor) != document.totals:
            raise VerificationError("document", "the totals are not what the lines come to")
        if dict(self.grades) != document.grades:
            raise VerificationError("document.grades", "the grades are not those of the readings")
        self._passed(
            "figures", f"lines, tax and total recomputed: {figures.total_minor} {document.currency} minor units"
        )
        return figures


PARTY = {"id", "name", "street", "postal_code", "city", "country", "tax_id"}
PLACES = {"issuer": PARTY, "customer": PARTY, "point": {"id", "code", "name"}}
LISTS = {
    "lines": {"scheme", "energy_wh", "price_micro", "amount_minor", "vat_ppm"},
    "vat": {"ppm", "net_minor", "vat_minor"},
    "grades": {"grade", "energy_wh"},
}
TEXTS = {"type", "kind", "series", "number", "issued", "area", "time_zone", "slot_seconds", "start", "end", "currency"}
TOTALS = ("net_minor", "vat_minor", "total_minor")


def _check_members(document: dict[str, Any]) -> None:
    """Whatever the verifier does not recompute could be read as a part of the bill, so there is nothing else."""
    if set(document) != {*PLACES, *LISTS, *TEXTS, *TOTALS}:
        raise VerificationError("document", "it does not have the members of an invoice")
    for name in (*TEXTS, *TOTALS):
        if not isinstance(document[name], str):
            raise VerificationError(f"document.{name}", "text is expected")
    objects = [(name, document[name], members) for name, members in PLACES.items()]
    for name, members in LISTS.items():
        if not isinstance(document[name], list):
            raise VerificationError(f"document.{name}", "a list is expected")
        objects += [(name, item, members) for item in document[name]]
    for name, item, members in objects:
        texts = isinstance(item, dict) and all(isinstance(text, str) for text in item.values())
        if not texts or set(item) != members:
            raise VerificationError(f"document.{name}", f"exactly {', '.join(sorted(members))} are expected, as text")


class _Document:
    """An invoice's members, read. Raises `VerificationError`."""

    def __init__(self, document: dict[str, Any]) -> None:
        _check_members(document)
        try:
            self.kind: str = document["kind"]
            self.series: str = document["series"]
            self.number = decode_int(document["number"])
            self.issuer = decode_bytes(document["issuer"]["id"])
            self.customer = decode_bytes(document["customer"]["id"])
            self.point = decode_bytes(document["point"]["id"])
            self.area = decode_bytes(document["area"])
            self.currency: str = document["currency"]
            self.zone = ZoneInfo(document["time_zone"])
            self.minutes, seconds = divmod(decode_int(document["slot_seconds"]), 60)
            self.start, self.end = date.fromisoformat(document["start"]), date.fromisoformat(document["end"])
            self.lines = [_line(line) for line in document["lines"]]
            self.vat = [
                tuple(decode_int(group[n]) for n in ("ppm", "net_minor", "vat_minor")) for group in document["vat"]
            ]
            self.totals = _numbers(document, *TOTALS)
            self.grades = {decode_int(g["grade"]): decode_int(g["energy_wh"]) for g in document["grades"]}
        except (KeyError, ValueError, OSError) as error:
            raise VerificationError("document", f"cannot be read: {error!r}") from None
        if document["type"] != DOCUMENT or self.kind not in ("invoice", "credit_note"):
            raise VerificationError("document.kind", f"unknown kind {self.kind!r} of {document['type']!r}")
        if self.currency not in MINOR_DIGITS:
            raise VerificationError("document.currency", f"unknown currency {self.currency!r}")
        if seconds or self.minutes not in SLOT_MINUTES:
            raise VerificationError("document.slot_seconds", "no area has slots of this length")
        self._slots_of = {day_number(day): day_slots(day, self.zone, self.minutes) for day in self._dates()}
        self.days = list(self._slots_of)
        self.slots = range(self._slots_of[self.days[0]].start, self._slots_of[self.days[-1]].stop, self.minutes * 60)

    def _dates(self) -> Iterator[date]:
        if not timedelta(0) < self.end - self.start <= timedelta(days=400):
            raise VerificationError("document", "the period is empty or too long")
        for offset in range((self.end - self.start).days):
            yield self.start + timedelta(days=offset)

    def slots_of(self, day: int) -> range:
        return self._slots_of.get(day, range(0))


_Stated = tuple[str, int, int, int, int]  # scheme, Wh, micro-currency per kWh, minor units, parts per million


def _line(line: dict[str, str]) -> _Stated:
    wh, price, minor, ppm = _numbers(line, "energy_wh", "price_micro", "amount_minor", "vat_ppm")
    scheme = line["scheme"]
    if scheme != "rounding":
        Scheme(decode_int(scheme))
    return scheme, wh, price, minor, ppm


def _stated(line: Line) -> _Stated:
    scheme = "rounding" if line.scheme is None else str(int(line.scheme))
    return scheme, line.energy_wh, line.price_micro, line.amount_minor, line.vat_ppm


def _numbers(members: dict[str, Any], *names: str) -> tuple[int, ...]:
    return tuple(decode_int(members[name]) for name in names)


def main() -> int:
    """The console script; returns 0 when the bundle is valid, 1 when it is not."""
    parser = argparse.ArgumentParser(prog="energymarket-verify", description="Recompute an invoice from its evidence.")
    parser.add_argument("bundle", type=FilePath)
    parser.add_argument("--trust", type=FilePath, required=True, help="trust anchors, from elsewhere than the bundle")
    options = parser.parse_args()
    try:
        report = verify(options.bundle.read_bytes(), options.trust.read_bytes())
    except VerificationError as error:
        print(f"REFUSED  {error}")
        return 1
    for check in report.checks:
        print(f"verified {check.name}: {check.text}")
    for grade, wh in report.grades.items():
        print(f"grade {grade} ({Grade(grade).name.lower().replace('_', ' ')}): {wh} Wh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
