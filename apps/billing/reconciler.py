"""What invoices and credit notes say that the ledger should hold."""

from django.db.models import QuerySet

from apps.billing.models import Invoice
from apps.ledger.reconcilers import Expected, Reconciler
from evidence.commands.kinds import RecordInvoice
from evidence.contents import document_digest
from evidence.hashing import ZERO
from ledger_adapters.contract import records


def _invoices(ledger: str) -> QuerySet[Invoice]:
    invoices = Invoice.objects.filter(area__utility__ledger=ledger).select_related("series", "area__utility")
    return invoices.defer("pdf")


def _invoice(invoice: Invoice) -> Expected:
    ids = (bytes(invoice.area.utility.ledger_id), bytes(invoice.series.ledger_id), invoice.number)
    values = {"document": document_digest(bytes(invoice.salt), bytes(invoice.document)), "corrects": ZERO}
    return Expected(records.Invoice, ids, values)


RECONCILER = Reconciler("invoices", Invoice, _invoices, _invoice, {RecordInvoice: "command_id"})
