"""Lists cost the same number of queries however long they are."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.choices import MemberRole
from apps.accounts.models import Party, User
from apps.assets.models import MarketArea
from apps.ledger.ledgers import DEFAULT
from tests.conftest import signed_in
from tests.factories import (
    AreaFactory,
    CustomerFactory,
    DeclarationFactory,
    DeviceFactory,
    InvoiceFactory,
    MembershipFactory,
    OfferFactory,
    PlantFactory,
    PointFactory,
    PurchaseFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


class Rows:
    """Adds one row of everything to a market."""

    def __init__(self) -> None:
        self.area: MarketArea = AreaFactory.make(utility__ledger=DEFAULT)
        self.me: Party = CustomerFactory.make(utility=self.area.utility)
        self.user: User = UserFactory.make()
        MembershipFactory.make(user=self.user, party=self.me)
        self.clerk: User = UserFactory.make(is_staff=True)
        MembershipFactory.make(user=self.clerk, party=self.area.utility, role=MemberRole.STAFF)

    def add(self) -> None:
        mine = PointFactory.make(area=self.area, party=self.me)
        plant = PlantFactory.make(point=mine)
        DeviceFactory.make(area=self.area, owner=self.me).points.add(mine)
        own = DeclarationFactory.make(plant=plant, offered_wh=8_000)
        theirs = OfferFactory.make(declaration__plant__point__area=self.area)
        PurchaseFactory.make(offer=OfferFactory.make(declaration=own), point=PointFactory.make(area=self.area))
        PurchaseFactory.make(offer=theirs, point=mine)
        InvoiceFactory.make(point=mine)


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def growth(rows: Rows, client: Client, url: str) -> tuple[int, int]:
    rows.add()
    rows.add()
    few = queries(client, url)
    for _ in range(4):
        rows.add()
    return few, queries(client, url)


LISTS: list[tuple[str, int]] = [("points", 14), ("offers", 17), ("invoices", 9), ("dues", 7)]


@pytest.mark.parametrize(("name", "most"), LISTS)
def test_lists_of_customers(name: str, most: int) -> None:
    rows = Rows()
    few, many = growth(rows, signed_in(rows.user), reverse(f"portal:{name}"))
    assert few == many <= most


@pytest.mark.parametrize("name", ["points", "offers", "invoices", "ledger"])
def test_lists_of_staff(name: str) -> None:
    rows = Rows()
    few, many = growth(rows, signed_in(rows.clerk), reverse(f"portal:{name}"))
    assert few == many


ADMIN = [
    "accounts_party",
    "accounts_membership",
    "accounts_partykey",
    "accounts_user",
    "assets_marketarea",
    "assets_meteringpoint",
    "assets_occupancy",
    "assets_plant",
    "metering_device",
    "metering_devicekey",
    "metering_batch",
    "metering_anchor",
    "metering_decision",
    "metering_daycount",
    "metering_virtualpoint",
    "tariffs_tariff",
    "tariffs_vatrate",
    "supply_supplycontract",
    "supply_feedincontract",
    "offers_declaration",
    "offers_offer",
    "offers_purchase",
    "accounting_account",
    "accounting_entry",
    "accounting_posting",
    "settlement_settlement",
    "billing_invoice",
    "billing_series",
]


@pytest.mark.parametrize("name", ADMIN)
@pytest.mark.parametrize("as_superuser", [False, True])
def test_lists_of_the_administration(name: str, as_superuser: bool) -> None:
    rows = Rows()
    person = User.objects.create_superuser("root@example.org") if as_superuser else rows.clerk
    few, many = growth(rows, signed_in(person), reverse(f"admin:{name}_changelist"))
    assert few == many
