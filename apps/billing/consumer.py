"""What billing does once an invoice's hash is on the ledger: it is issued, and booked."""

from apps.accounting.models import AccountKind, EntryKind
from apps.accounting.services import Side, book
from apps.billing.documents import read_lines
from apps.billing.models import DocumentKind, Invoice
from apps.ledger.consumers import Consumer, Told
from apps.ledger.standing import confirm, reject
from evidence.commands.kinds import RecordInvoice
from evidence.settlement import Scheme
from market_math.money import amount, nano_per_minor


def _book(told: Told) -> None:
    for invoice in Invoice.objects.filter(command_id=told.id).select_related("area__utility", "party"):
        book_invoice(invoice)


def book_invoice(invoice: Invoice) -> None:
    """Book what the document adds to the customer's account; purchases and sales stand there since they were made."""
    sign = 1 if invoice.kind == DocumentKind.INVOICE else -1
    nano = nano_per_minor(invoice.currency)
    exact = {Scheme.PURCHASE: 0, Scheme.SUPPLY: 0, Scheme.FEED_IN: 0}
    for line in read_lines(invoice):
        if line.scheme is not None:
            exact[line.scheme] += amount(line.energy_wh, line.price_micro)
    new = invoice.total_minor * nano - exact[Scheme.PURCHASE]
    energy = exact[Scheme.SUPPLY] + exact[Scheme.FEED_IN]
    vat = invoice.vat_minor * nano
    utility = invoice.area.utility
    book(
        area=invoice.area,
        kind=EntryKind.INVOICE,
        reference=bytes(invoice.ledger_id),
        day=invoice.issued_at.date(),
        sides=[
            Side(invoice.party, sign * new),
            Side(utility, -sign * energy, AccountKind.SUPPLY if sign > 0 else AccountKind.FEED_IN),
            Side(utility, -sign * vat, AccountKind.VAT),
            Side(utility, -sign * (new - energy - vat), AccountKind.ROUNDING),
        ],
    )


CONSUMER = Consumer(
    name="billing",
    confirmed={RecordInvoice: confirm(Invoice, _book)},
    rejected={RecordInvoice: reject(Invoice)},
)
