"""The sections of a bundle, one after another."""

from evidence import canonical
from evidence.bundle import Bundle, BundleError, load
from evidence.contents import document_digest
from evidence.trust import Trust, TrustError
from evidence.verify.bought import Bought
from evidence.verify.document import Document
from evidence.verify.figures import check_figures
from evidence.verify.ledger import read_log
from evidence.verify.readings import Readings
from evidence.verify.records import Records
from evidence.verify.report import Check, Report, VerificationError
from evidence.verify.settlement import Settled
from evidence.verify.sold import Sold


def verify(bundle_text: bytes, trust_text: bytes) -> Report:
    """Verify a bundle against trust anchors. Raises `VerificationError` with the place of the first thing wrong."""
    try:
        trust = Trust.from_bytes(trust_text)
    except TrustError as error:
        raise VerificationError("trust", str(error)) from None
    try:
        bundle = load(bundle_text)
    except BundleError as error:
        place, _, message = str(error).partition(": ")
        raise VerificationError(place, message) from None
    commands, logged = read_log(bundle.log, trust)
    records = Records(trust)
    for proven in commands:
        records.add(proven)
    document = Document(bundle.document)
    recorded = _check_document(bundle, document, records)
    readings = Readings(records, document)
    signed = readings.add(bundle.batches)
    settled = Settled(records, document, readings)
    days = settled.add(bundle.days)
    shares = (
        Bought(records, document, readings, settled)
        if document.kind == "invoice"
        else Sold(records, document, readings, settled)
    )
    energy, shared = shares.energy()
    figures, summed = check_figures(document, readings, energy)
    return Report((logged, recorded, signed, days, shared, summed), dict(sorted(readings.grades.items())), figures)


def _check_document(bundle: Bundle, document: Document, records: Records) -> Check:
    digest = document_digest(bundle.salt, canonical.dumps(bundle.document))
    for recorded in records.invoices:
        if recorded.document == digest:
            break
    else:
        raise VerificationError("document", "its hash is not on the ledger")
    if (recorded.issuer, recorded.number) != (document.issuer, document.number):
        raise VerificationError("document", "it is on the ledger under another issuer or number")
    return Check("document", f"document {document.series}{document.number} is on the ledger as it stands here")
