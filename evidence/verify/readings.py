"""The signed readings of a bundle, anchored on the ledger."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from evidence import merkle
from evidence.bundle import SignedBatch
from evidence.merkle import ProofError
from evidence.readings import Grade, Quality, Register, anchor_leaf, leaf
from evidence.verify.records import Records, known
from evidence.verify.report import Check, VerificationError

SETTLED = (Register.CONSUMPTION, Register.GENERATION)
OPERATORS = (1, 4)  # roles whose signature makes imported readings grade 2: utility, metering operator


class Subject(Protocol):
    """Whose readings they have to be: of a metering point of an area, in slots that start at these UTC seconds."""

    @property
    def area(self) -> bytes: ...
    @property
    def point(self) -> bytes: ...
    @property
    def slots(self) -> range: ...


class Readings:
    """The readings of the subject's metering point in Wh, by register and slot.

    `grades`: Wh by grade of evidence. `anchored`: the ledger's last entry that anchored a reading of a slot.
    """

    registers: tuple[Register, ...] = SETTLED

    def __init__(self, records: Records, subject: Subject) -> None:
        self.records = records
        self.document = subject
        self.energy: dict[tuple[int, int], int] = {}
        self.grades: Counter[int] = Counter()
        self.grade_of: dict[tuple[int, int], Grade] = {}
        self.anchored: dict[int, int] = {}

    def add(self, batches: Sequence[SignedBatch]) -> Check:
        for i, batch in enumerate(batches):
            self._add_batch(f"batches[{i}]", batch)
        generated = any(register == Register.GENERATION for register, _ in self.energy)
        kinds = "" if generated else "; no generation is among them: right only without a plant behind the meter"
        return Check("readings", f"{len(self.energy)} readings are signed and anchored on the ledger{kinds}")

    def consumed(self, slot: int) -> int:
        consumed = self.energy.get((Register.CONSUMPTION, slot))
        if consumed is None:
            raise VerificationError("batches", f"the consumption of slot {slot} is missing")
        return consumed

    def generated(self, slot: int, *, is_expected: bool) -> int:
        """Zero where there is none, unless it `is_expected`."""
        generated = self.energy.get((Register.GENERATION, slot))
        if generated is None and is_expected:
            raise VerificationError("batches", f"the generation of slot {slot} is missing")
        return generated or 0

    def _add_batch(self, place: str, batch: SignedBatch) -> None:
        statement = batch.statement
        if statement.unit not in {register.unit for register in self.registers}:
            message = f"the readings are in unit {statement.unit}, which is not expected here"
            raise VerificationError(f"{place}.statement", message)
        grade = self._grade_of_signer(place, batch)
        entry = self._anchor_entry(f"{place}.anchor", batch)
        leaves = []
        for i, reading in enumerate(batch.readings):
            content = leaf(reading.salt, reading.id.encode(), reading.value.encode())
            leaves.append((reading.index, merkle.leaf_hash(content)))
            self._add_reading(f"{place}.readings[{i}]", batch, i, grade, entry)
        try:
            root = merkle.root_from_path(leaves, batch.path)
        except ProofError as error:
            raise VerificationError(f"{place}.path", str(error)) from None
        if root != statement.root or batch.path.size != statement.count:
            raise VerificationError(f"{place}.readings", "the readings are not those that were signed")

    def _anchor_entry(self, place: str, batch: SignedBatch) -> int:
        """The ledger's entry that anchored a batch."""
        statement, records = batch.statement, self.records
        try:
            content = anchor_leaf(statement.digest, batch.signature)
            anchored = merkle.root_from_path([(batch.anchor_index, merkle.leaf_hash(content))], batch.anchor_path)
        except ProofError as error:
            raise VerificationError(place, str(error)) from None
        anchor = known(place, records.anchors, anchored, "anchor")
        if anchor.count != batch.anchor_path.size or anchor.area != self.document.area:
            raise VerificationError(place, "the anchor is about other batches")
        entry, key = records.entries[anchored], (statement.device, statement.key)
        if records.rotated.get(key, -1) > entry:
            raise VerificationError(place, "the key was the device's only after the batch was anchored")
        if records.revoked.get(key, entry) < entry:
            raise VerificationError(place, "the key was revoked before the batch was anchored")
        return entry

    def _grade_of_signer(self, place: str, batch: SignedBatch) -> Grade:
        statement = batch.statement
        if statement.device in self.records.devices:
            grade, keys = Grade.DEVICE_SIGNED, self.records.devices[statement.device]
        else:
            role, key = self.records.participant(f"{place}.statement", statement.device)
            if role not in OPERATORS:
                raise VerificationError(f"{place}.statement", "only operators may import readings")
            grade, keys = Grade.OPERATOR_SIGNED, [key]
        key_of = {key.id: key for key in keys}
        if statement.key not in key_of:
            raise VerificationError(f"{place}.statement", "the key is not registered for its signer")
        if not key_of[statement.key].verifies(statement.digest, batch.signature):
            raise VerificationError(f"{place}.signature", "the signature does not fit the statement")
        return grade

    def _add_reading(self, place: str, batch: SignedBatch, i: int, grade: Grade, entry: int) -> None:
        reading = batch.readings[i]
        key = reading.id.register, reading.id.slot
        if reading.id.point != self.document.point or reading.id.slot not in self.document.slots:
            raise VerificationError(place, "the reading is of another metering point or time")
        if grade is Grade.DEVICE_SIGNED and reading.id.point not in self.records.measured[batch.statement.device]:
            raise VerificationError(place, "the device is not registered for this metering point")
        if not batch.statement.start <= reading.id.slot < batch.statement.end:
            raise VerificationError(place, "the reading lies outside its statement")
        if reading.id.register not in self.registers:
            raise VerificationError(place, f"readings of register {reading.id.register} do not belong here")
        if Register(reading.id.register).unit != batch.statement.unit:
            raise VerificationError(place, "the register does not count in the statement's unit")
        if key in self.energy:
            raise VerificationError(place, "the reading is given twice")
        if reading.value.value < 0:
            raise VerificationError(place, "the reading is negative")
        if reading.value.quality not in list(Quality):
            raise VerificationError(place, f"nobody knows the quality {reading.value.quality}")
        self.energy[key] = reading.value.value
        self.anchored[reading.id.slot] = max(entry, self.anchored.get(reading.id.slot, 0))
        own_grade = Grade.SUBSTITUTE if reading.value.quality == Quality.SUBSTITUTE else grade
        self.grade_of[key] = own_grade
        self.grades[own_grade] += reading.value.value
