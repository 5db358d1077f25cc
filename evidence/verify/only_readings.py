"""A bundle of readings without a bill: signed, anchored on the ledger, and of which grade."""

from collections import Counter
from dataclasses import dataclass

from evidence.bundle import BundleError, load_readings
from evidence.readings import Register
from evidence.trust import Trust, TrustError
from evidence.verify.ledger import read_log
from evidence.verify.readings import Readings
from evidence.verify.records import Records
from evidence.verify.report import Check, ProvenReading, ReadingsReport, VerificationError


@dataclass(frozen=True, slots=True)
class _Point:
    """Any time of one metering point."""

    area: bytes
    point: bytes
    slots: range = range(1 << 63)


class _AllReadings(Readings):
    registers = tuple(Register)


def verify_readings(bundle_text: bytes, trust_text: bytes) -> ReadingsReport:
    """Verify a bundle of readings against trust anchors. Raises `VerificationError` with the first thing wrong."""
    try:
        trust = Trust.from_bytes(trust_text)
    except TrustError as error:
        raise VerificationError("trust", str(error)) from None
    try:
        bundle = load_readings(bundle_text)
    except BundleError as error:
        place, _, message = str(error).partition(": ")
        raise VerificationError(place, message) from None
    commands, logged = read_log(bundle.log, trust)
    records = Records(trust)
    for proven in commands:
        records.add(proven)
    readings = _AllReadings(records, _Point(bundle.area, bundle.point))
    readings.add(bundle.batches)
    if not readings.energy:
        raise VerificationError("batches", "there is no reading")
    shown = tuple(
        ProvenReading(Register(register), slot, value, readings.grade_of[register, slot])
        for (register, slot), value in sorted(readings.energy.items())
    )
    signed = Check("readings", f"{len(shown)} readings are signed and anchored on the ledger")
    return ReadingsReport((logged, signed), dict(sorted(Counter(int(one.grade) for one in shown).items())), shown)
