"""Invoices and credit notes of a day, and the offline verification of their evidence."""

import datetime as dt

import pytest
from django.db.models import Sum
from django.utils import timezone

from apps.accounting.models import Posting
from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.billing.services.invoices import bill_area
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.founding import trust_anchors
from apps.ledger.services.sweep import drain
from apps.offers import services as offers
from apps.settlement.services.settle import settle_day
from evidence.verify import verify
from tests.market import FEED_IN_PRICE, SUPPLY_PRICE, Market, import_day, make_market

pytestmark = pytest.mark.django_db
DAY = dt.date(2026, 6, 1)
NEXT = DAY + dt.timedelta(days=1)
PRICE = 200_000


def settled_market() -> Market:
    """Alice sells 2 kWh to Bob and 1 kWh to Carol, who both want more in each slot than her surplus of 100 Wh."""
    market = make_market({"alice": 10_000, "bob": 0, "carol": 0}, slot_minutes=60)
    sun = [0] * 8 + [601] * 8 + [0] * 8
    import_day(market, DAY, {"alice": ([500] * 24, sun), "bob": ([400] * 24, None), "carol": ([70] * 24, None)})
    declaration = offers.declare_surplus(market.plants["alice"], DAY)
    drain(DEFAULT)
    until = timezone.now() + dt.timedelta(hours=1)
    offer = offers.draft_offer(declaration=declaration, energy_wh=808, price_micro=PRICE, open_until=until)
    offers.publish_offer(offer)
    drain(DEFAULT)
    for name, wh in (("bob", 500), ("carol", 308)):
        offers.buy(offer=offer, buyer=market.party(name), point=market.points[name], energy_wh=wh)
    drain(DEFAULT)
    offers.close_offer(offer)
    drain(DEFAULT)
    settle_day(market.area, DAY)
    drain(DEFAULT)
    return market


def test_every_document_of_a_day_verifies_offline_and_the_books_agree() -> None:
    market = settled_market()
    bill_area(market.area, DAY, NEXT)
    drain(DEFAULT)
    invoices = {(invoice.kind, invoice.party.name): invoice for invoice in Invoice.objects.all()}
    assert set(invoices) == {
        (DocumentKind.INVOICE, "alice"),
        (DocumentKind.INVOICE, "bob"),
        (DocumentKind.INVOICE, "carol"),
        (DocumentKind.CREDIT_NOTE, "alice"),
    }
    for invoice in invoices.values():
        report = verify(evidence_bundle(invoice), trust_anchors(DEFAULT))
        assert report.figures.total_minor == invoice.total_minor
    bob = invoices[DocumentKind.INVOICE, "bob"]
    net = round((500 * PRICE + (24 * 400 - 500) * SUPPLY_PRICE) / 10_000_000)
    assert (bob.net_minor, bob.vat_minor) == (net, round(net * 0.19))
    credit = invoices[DocumentKind.CREDIT_NOTE, "alice"]
    assert credit.total_minor == round((808 * PRICE + 0 * FEED_IN_PRICE) / 10_000_000)
    balance = Posting.objects.filter(account__party=bob.party).aggregate(nano=Sum("nano"))["nano"]
    assert balance == bob.total_minor * 10_000_000
