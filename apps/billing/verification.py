"""Verify an invoice on the server, by the same code as the offline verifier."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.billing.exceptions import BillingError
from apps.billing.models import Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.ledger.services.founding import trust_anchors
from evidence.verify import VerificationError, verify

# What the verifier's checks establish, in the order in which they are made.
TITLES: dict[str, str | Promise] = {
    "ledger": _("What the ledger says is signed and complete"),
    "document": _("This very document is on the ledger"),
    "readings": _("The readings are signed and were fixed on the ledger"),
    "settlement": _("The settlement of each day is on the ledger"),
    "shares": _("Each share follows from the readings"),
    "figures": _("Lines, tax and total follow from the shares"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """`checks` are (name, whether it holds, what was found); one that fails is the last. `grades`: Wh by grade."""

    ok: bool
    checks: tuple[tuple[str, bool, str], ...]
    grades: dict[int, int]


def verify_invoice(invoice: Invoice) -> Report:
    """Gather the evidence of an invoice that is on the ledger, and recompute it."""
    try:
        found = verify(evidence_bundle(invoice), trust_anchors(invoice.area.utility.ledger))
    except VerificationError as error:
        return Report(False, ((_title(error.place), False, str(error)),), {})
    except BillingError as error:
        return Report(False, ((str(_("The evidence can be gathered")), False, str(error)),), {})
    checks = tuple((_title(check.name), True, check.text) for check in found.checks)
    return Report(True, checks, dict(found.grades))


def _title(name: str) -> str:
    return str(TITLES.get(name, name))
