"""What the offline verifier refuses: any changed byte, a forged bundle, a wrong amount that is correctly signed."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.billing.services.invoices import bill_area
from apps.ledger.fields import random_id
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.services.enqueue import enqueue
from apps.ledger.services.founding import trust_anchors
from apps.ledger.services.sweep import drain
from evidence import canonical
from evidence.bundle import Bundle, EmbeddedLog, LoggedCommand, dump, load
from evidence.canonical import encode_bytes
from evidence.commands import Command
from evidence.commands.kinds import RecordInvoice
from evidence.contents import document_digest
from evidence.hashing import ZERO
from evidence.verify import VerificationError, verify
from ledger_adapters.base import LogProof
from tests.spine.test_invoices import DAY, NEXT, settled_market
from tests.tampering import tamper

pytestmark = pytest.mark.django_db


def billed(kind: str, name: str) -> Invoice:
    """A day with little in it, so that each of its bytes can be changed."""
    market = settled_market(range(8, 11), range(8, 10))
    bill_area(market.area, DAY, NEXT)
    drain(DEFAULT)
    return Invoice.objects.get(kind=kind, party__name=name)


def refusal_of(bundle: bytes, trust: bytes) -> VerificationError:
    with pytest.raises(VerificationError) as refusal:
        verify(bundle, trust)
    return refusal.value


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "name"), [(DocumentKind.INVOICE, "bob"), (DocumentKind.CREDIT_NOTE, "alice")])
def test_every_changed_byte_is_refused_and_named(kind: str, name: str) -> None:
    bundle, trust = evidence_bundle(billed(kind, name)), trust_anchors(DEFAULT)
    verify(bundle, trust)
    tampering = tamper(bundle, trust)
    assert tampering.unnoticed == []
    assert tampering.tried > 10_000


def test_a_bundle_forged_whole_with_fresh_keys_is_refused() -> None:
    """The forger took over the true ledger's ids; what the reader trusts is the true ledger's key."""
    forged, fresh = evidence_bundle(billed(DocumentKind.INVOICE, "bob")), trust_anchors(DEFAULT)
    verify(forged, fresh)
    true_key = encode_bytes(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    trust = canonical.dumps({**json.loads(fresh), "checkpoint_key": true_key})
    assert refusal_of(forged, trust).place == "ledger.checkpoint"


def with_document(invoice: Invoice, **changes: Any) -> bytes:
    """The invoice's bundle with another document, correctly hashed, recorded on the ledger and proven."""
    honest = load(evidence_bundle(invoice))
    document = {**honest.document, **changes}
    utility = invoice.area.utility
    digest = document_digest(honest.salt, canonical.dumps(document))
    fields = RecordInvoice(bytes(utility.ledger_id), random_id(), invoice.number, digest, ZERO)
    command_id = enqueue(fields)
    drain(DEFAULT)
    assert isinstance(honest.log, EmbeddedLog)
    ids = [Command.from_bytes(command.envelope).id for command in honest.log.commands]
    proof = get_ledger(DEFAULT).prove([*ids, command_id])
    assert isinstance(proof, LogProof)
    commands = tuple(LoggedCommand(e.position, e.outcome.time, e.outcome.envelope) for e in proof.events)
    log = EmbeddedLog(proof.checkpoint, proof.path, commands)
    return dump(Bundle(document, honest.salt, log, honest.days, honest.batches))


def test_a_wrong_amount_that_is_correctly_hashed_and_signed_is_refused() -> None:
    invoice = billed(DocumentKind.INVOICE, "bob")
    trust = trust_anchors(DEFAULT)
    verify(with_document(invoice), trust)
    more = str(invoice.total_minor + 1)
    assert refusal_of(with_document(invoice, total_minor=more), trust).place == "document"
    lines = [dict(line) for line in load(evidence_bundle(invoice)).document["lines"]]
    lines[0]["energy_wh"] = str(int(lines[0]["energy_wh"]) + 1)
    assert refusal_of(with_document(invoice, lines=lines), trust).place == "document.lines"


def test_base64_that_does_not_re_encode_to_itself_is_refused() -> None:
    bundle, trust = evidence_bundle(billed(DocumentKind.INVOICE, "bob")), trust_anchors(DEFAULT)
    value = json.loads(bundle)
    salt = value["salt"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = salt[:-1] + alphabet[alphabet.index(salt[-1]) ^ 1]
    value["salt"] = same
    refusal = refusal_of(canonical.dumps(value), trust)
    assert refusal.place == "salt"
    assert "re-encode" in str(refusal)


@pytest.mark.parametrize("change", ["float", "null", "duplicate", "unknown", "space"])
def test_anything_but_canonical_json_is_refused(change: str) -> None:
    bundle, trust = evidence_bundle(billed(DocumentKind.INVOICE, "bob")), trust_anchors(DEFAULT)
    text = {
        "float": bundle[:-1] + b',"x":1.5}',
        "null": bundle[:-1] + b',"x":null}',
        "duplicate": bundle[:-1] + b',"type":"energymarket/bundle/1"}',
        "unknown": canonical.dumps({**json.loads(bundle), "unknown": "x"}),
        "space": bundle + b" ",
    }[change]
    assert refusal_of(text, trust).place == "bundle"


def test_a_row_that_is_left_out_is_missed() -> None:
    bundle = evidence_bundle(billed(DocumentKind.INVOICE, "bob"))
    value = json.loads(bundle)
    value["days"][0]["allotments"][0]["rows"] = []
    assert refusal_of(canonical.dumps(value), trust_anchors(DEFAULT)).place.startswith("days")
