"""Lists cost the same number of queries however long they are."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.accounts.choices import MemberRole
from apps.accounts.models import Party, User
from apps.assets.models import MarketArea
from apps.ledger.ledgers import DEFAULT
from apps.metering.choices import AlarmKind
from apps.metering.models import Alarm, BoxStatus, Device, DeviceKey
from apps.notifications.models import Delivery, Notice, Webhook
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


def add_condition(device: Device) -> None:
    """What a box said, what is wrong with it, and who was told."""
    now, party = timezone.now(), device.area.utility
    DeviceKey.objects.create(device=device, key_id=device.ledger_id, algorithm=1, x=bytes(32), y=bytes(32))
    BoxStatus.objects.create(
        device=device,
        sequence=1,
        key_id=device.ledger_id,
        signature=bytes(64),
        body=b"{}",
        received_at=now,
        version="1",
        readings=5,
        batches=1,
        refused=0,
        free_disk=10**9,
        clock_offset=0,
    )
    Alarm.objects.create(device=device, kind=AlarmKind.CLOCK, values={"seconds": 90}, opened_at=now)
    notice = Notice.objects.create(kind="metering.clock", about=f"device {device.pk}", party=party)
    webhook = Webhook.objects.create(party=party, url=f"https://example.org/{device.pk}", sealed_secret=b"")
    Delivery.objects.create(notice=notice, stage="raised", webhook=webhook, due_at=now)


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
        device = DeviceFactory.make(area=self.area, owner=self.me)
        device.points.add(mine)
        add_condition(device)
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


@pytest.mark.parametrize("name", ["points", "offers", "invoices", "ledger", "fleet"])
def test_lists_of_staff(name: str) -> None:
    rows = Rows()
    few, many = growth(rows, signed_in(rows.clerk), reverse(f"portal:{name}"))
    assert few == many


def test_the_fleet_costs_the_same_with_three_and_with_three_hundred_boxes() -> None:
    rows = Rows()
    client, url = signed_in(rows.clerk), reverse("portal:fleet") + "?rows=50"
    counts = []
    for more in (3, 297):
        for _ in range(more):
            add_condition(DeviceFactory.make(area=rows.area, owner=rows.me))
        counts.append(queries(client, url))
    assert counts[0] == counts[1]


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
    "metering_enrolmentcode",
    "metering_decision",
    "metering_daycount",
    "metering_virtualpoint",
    "metering_alarm",
    "metering_boxstatus",
    "metering_thresholds",
    "notifications_webhook",
    "notifications_notice",
    "notifications_delivery",
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
