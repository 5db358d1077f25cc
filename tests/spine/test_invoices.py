"""Invoices and credit notes of a day, and the offline verification of their evidence."""

import datetime as dt

import pytest
from django.db.models import Sum
from django.utils import timezone

from apps.accounting.models import Posting
from apps.assets.models import Occupancy
from apps.billing.exceptions import BillingError
from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.billing.services.invoices import bill_area
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.founding import trust_anchors
from apps.ledger.services.sweep import drain
from apps.offers import services as offers
from apps.offers.choices import SurplusMode
from apps.offers.exceptions import OfferError
from apps.offers.models import Declaration
from apps.settlement.exceptions import SettlementError
from apps.settlement.services.settle import settle_day
from evidence.verify import verify
from tests.market import SUPPLY_PRICE, Market, import_day, make_market

pytestmark = pytest.mark.django_db
DAY = dt.date(2026, 6, 1)
NEXT = DAY + dt.timedelta(days=1)
PRICE = 200_000
CAROLS = 78
USE = {"alice": 500, "bob": 400, "carol": 70}


def settled_market(hours: range = range(24), sun: range = range(8, 16)) -> Market:
    """Alice sells all her surplus of 101 Wh an hour to Bob and Carol; people are at home in `hours` only."""
    market = make_market({"alice": 10_000, "bob": 0, "carol": 0}, slot_minutes=60)
    at_home = {name: [wh if hour in hours else 0 for hour in range(24)] for name, wh in USE.items()}
    roof = [601 if hour in sun else 0 for hour in range(24)]
    import_day(market, DAY, {name: (use, roof if name == "alice" else None) for name, use in at_home.items()})
    declaration = offers.declare_surplus(market.plants["alice"], DAY)
    drain(DEFAULT)
    until = timezone.now() + dt.timedelta(hours=1)
    offer = offers.draft_offer(declaration=declaration, energy_wh=101 * len(sun), price_micro=PRICE, open_until=until)
    offers.publish_offer(offer)
    drain(DEFAULT)
    for name, wh in (("bob", 101 * len(sun) - CAROLS), ("carol", CAROLS)):
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
    bobs = 808 - CAROLS
    net = round((bobs * PRICE + (24 * 400 - bobs) * SUPPLY_PRICE) / 10_000_000)
    assert (bob.net_minor, bob.vat_minor) == (net, round(net * 0.19))
    credit = invoices[DocumentKind.CREDIT_NOTE, "alice"]
    assert credit.total_minor == round(808 * PRICE / 10_000_000)
    balance = Posting.objects.filter(account__party=bob.party).aggregate(nano=Sum("nano"))["nano"]
    assert balance == bob.total_minor * 10_000_000


def test_a_day_is_never_billed_twice_nor_forgotten() -> None:
    market = settled_market(range(8, 11), range(8, 10))
    first = bill_area(market.area, DAY, NEXT)
    assert bill_area(market.area, DAY, NEXT) == []
    import_day(market, NEXT, {name: ([100] * 24, [0] * 24 if name == "alice" else None) for name in USE})
    settle_day(market.area, NEXT)
    drain(DEFAULT)
    with pytest.raises(BillingError, match="part of these days"):
        bill_area(market.area, DAY, NEXT + dt.timedelta(days=1))
    second = bill_area(market.area, NEXT, NEXT + dt.timedelta(days=1))
    numbers = sorted(i.number for i in first + second if i.kind == DocumentKind.INVOICE)
    assert numbers == list(range(1, 1 + len(numbers)))


def test_nothing_of_a_settled_day_can_be_offered() -> None:
    market = settled_market(range(8, 11), range(8, 10))
    draft = offers.draft_offer(
        declaration=Declaration.objects.create(
            area=market.area,
            plant=market.plants["alice"],
            seller=market.party("alice"),
            mode=SurplusMode.FORECAST,
            day=DAY,
            start=0,
            end=1,
            energy_wh=10,
        ),
        energy_wh=5,
        price_micro=PRICE,
        open_until=timezone.now() + dt.timedelta(hours=1),
    )
    with pytest.raises(OfferError, match="settled"):
        offers.publish_offer(draft)


def test_a_billed_day_is_not_settled_again() -> None:
    market = settled_market(range(8, 11), range(8, 10))
    bill_area(market.area, DAY, NEXT)
    drain(DEFAULT)
    with pytest.raises(SettlementError, match="billed"):
        settle_day(market.area, DAY)


def test_what_a_plant_sold_is_paid_to_its_owner() -> None:
    market = settled_market(range(8, 11), range(8, 10))
    point = market.points["alice"]
    Occupancy.objects.filter(point=point).update(party=market.party("bob"))
    bill_area(market.area, DAY, NEXT)
    assert Invoice.objects.get(kind=DocumentKind.CREDIT_NOTE).party == market.plants["alice"].owner
    assert Invoice.objects.get(kind=DocumentKind.INVOICE, point=point).party == market.party("bob")
