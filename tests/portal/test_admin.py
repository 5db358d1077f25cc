"""The administration: every model is there, one tenant at a time, and what the ledger holds is only looked at."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from apps.accounts.choices import MemberRole, MemberState
from apps.accounts.models import Membership, Party, User
from apps.assets.models import MeteringPoint, Occupancy, Plant
from apps.ledger.models import Command
from apps.settlement.models import Settlement
from apps.supply.models import SupplyContract
from apps.tariffs.models import Price, Tariff
from tests.conftest import signed_in
from tests.factories import UserFactory
from tests.portal.test_queries import ADMIN
from tests.portal.world import FIRST, World

EDITABLE = {
    "accounts_party",
    "accounts_membership",
    "assets_marketarea",
    "assets_meteringpoint",
    "assets_plant",
    "metering_virtualpoint",
    "metering_thresholds",
    "notifications_webhook",
    "tariffs_tariff",
    "tariffs_vatrate",
    "supply_supplycontract",
    "supply_feedincontract",
}
LEDGER = ["stream", "lane", "transaction", "replaced", "attempt", "command", "event", "cursor"]


@pytest.fixture
def root(world: World) -> Client:
    return signed_in(User.objects.create_superuser("root@example.org", "root's password"))


def own_models() -> list[Any]:
    ours = [config for config in apps.get_app_configs() if config.name.startswith("apps.")]
    return [model for config in ours for model in config.get_models()]


def test_every_model_can_be_looked_at(root: Client) -> None:
    inline = {inline.model for model_admin in admin.site._registry.values() for inline in model_admin.inlines}
    missing = [model for model in own_models() if model not in admin.site._registry and model not in inline]
    assert missing == []


@pytest.mark.parametrize("name", ADMIN)
def test_a_clerk_opens_lists_and_objects_of_the_own_utility_only(world: World, root: Client, name: str) -> None:
    model_admin = next(
        a for m, a in admin.site._registry.items() if f"{m._meta.app_label}_{m._meta.model_name}" == name
    )
    clerk = world.client("clerk")
    seen = clerk.get(reverse(f"admin:{name}_changelist"))
    everything = root.get(reverse(f"admin:{name}_changelist"))
    assert (seen.status_code, everything.status_code) == (200, 200)
    ours = set(seen.context["cl"].queryset.values_list("pk", flat=True))
    for pk in model_admin.model._default_manager.values_list("pk", flat=True)[:6]:
        url = reverse(f"admin:{name}_change", args=[pk])
        assert root.get(url).status_code == 200
        # Django's administration answers with a way back to its start for what is not there.
        assert clerk.get(url).status_code == (200 if pk in ours else 302), pk
    if name in ("accounts_party", "assets_meteringpoint", "assets_plant"):
        assert len(ours) < model_admin.model._default_manager.count()


@pytest.mark.parametrize("name", ADMIN)
@pytest.mark.parametrize("person", ["alice", "outsider", "auditor", "guest"])
def test_nobody_else_gets_in(world: World, name: str, person: str) -> None:
    response = world.client(person).get(reverse(f"admin:{name}_changelist"))
    assert response.status_code == 302
    assert "/admin/login/" in response.headers["Location"]


@pytest.mark.parametrize("name", ADMIN)
def test_what_the_ledger_or_a_service_made_cannot_be_changed(world: World, name: str) -> None:
    clerk = world.client("clerk")
    assert clerk.get(reverse(f"admin:{name}_add")).status_code == (200 if name in EDITABLE else 403)


@pytest.mark.parametrize("name", LEDGER)
def test_the_outbox_is_for_superusers(world: World, root: Client, name: str) -> None:
    url = reverse(f"admin:ledger_{name}_changelist")
    assert root.get(url).status_code == 200
    assert world.client("clerk").get(url).status_code == 403
    assert root.get(reverse(f"admin:ledger_{name}_add")).status_code == 403


def test_a_clerk_registers_a_customer_with_point_and_plant(world: World) -> None:
    clerk, utility, area = world.client("clerk"), world.market.utility, world.market.area
    party = {"utility": utility.pk, "role": 3, "kind": "person", "name": "Carla", "country": "DE"}
    party["role"] = world.market.party("bob").role
    inline = {"keys-TOTAL_FORMS": 0, "keys-INITIAL_FORMS": 0}
    response = clerk.post(reverse("admin:accounts_party_add"), party | inline)
    assert response.status_code == 302
    carla = Party.objects.get(name="Carla")
    assert Command.objects.filter(command_id=carla.command_id).exists()
    point = {"area": area.pk, "party": carla.pk, "code": "C-1", "name": "", "city": "Lindenau", "since": "2026-01-01"}
    assert clerk.post(reverse("admin:assets_meteringpoint_add"), point).status_code == 302
    added = MeteringPoint.objects.get(code="C-1")
    assert Occupancy.objects.get(point=added).sealed_secret is not None
    plant = {"point": added.pk, "owner": carla.pk, "name": "Roof", "technology": "solar", "power_w": 5000}
    plant["since"] = "2026-01-01"
    assert clerk.post(reverse("admin:assets_plant_add"), plant).status_code == 302
    roof = Plant.objects.get(point=added)
    assert Command.objects.filter(command_id=roof.command_id).exists()
    assert clerk.post(reverse("admin:assets_plant_change", args=[roof.pk]), plant | {"name": "X"}).status_code == 403
    changed = point | {"name": "New name"}
    assert clerk.post(reverse("admin:assets_meteringpoint_change", args=[added.pk]), changed).status_code == 302
    added.refresh_from_db()
    assert added.name == "New name"


def test_a_clerk_cannot_reach_into_another_utility(world: World) -> None:
    clerk, elsewhere = world.client("clerk"), world.elsewhere
    point = {"area": elsewhere.area_id, "party": elsewhere.party_id, "code": "C-1", "since": "2026-01-01"}
    response = clerk.post(reverse("admin:assets_meteringpoint_add"), point)
    assert response.status_code == 200
    assert set(response.context["adminform"].form.errors) == {"area", "party"}
    mixed = point | {"area": world.market.area.pk}
    response = clerk.post(reverse("admin:assets_meteringpoint_add"), mixed)
    assert set(response.context["adminform"].form.errors) == {"party"}
    assert not MeteringPoint.objects.filter(code="C-1").exists()


def test_a_clerk_asks_for_an_account_by_its_address(world: World) -> None:
    clerk, bob = world.client("clerk"), world.market.party("bob")
    UserFactory.make(email="new@example.org")
    url = reverse("admin:accounts_membership_add")
    form = {"email": "New@example.org", "party": bob.pk, "role": MemberRole.MEMBER}
    assert clerk.post(url, form).status_code == 302
    assert Membership.objects.filter(user__email="new@example.org", party=bob).exists()
    page = clerk.post(url, form | {"email": "nobody@example.org"}).content.decode()
    assert "No account has this address." in page
    before = Membership.objects.count()
    staff = form | {"party": world.market.utility.pk, "role": MemberRole.STAFF}
    assert clerk.post(url, staff).status_code == 200
    assert clerk.post(url, form | {"party": world.elsewhere.party_id}).status_code == 200
    assert Membership.objects.count() == before
    membership = Membership.objects.get(user__email="new@example.org")
    assert membership.state == MemberState.INVITED


def test_only_superusers_change_people(world: World) -> None:
    clerk, alice = world.client("clerk"), world.users["alice"]
    url = reverse("admin:accounts_user_change", args=[alice.pk])
    assert clerk.get(url).status_code == 200
    assert clerk.post(url, {"email": "x@example.org", "is_superuser": "on"}).status_code == 403
    assert clerk.get(reverse("admin:accounts_user_change", args=[world.users["outsider"].pk])).status_code == 302


def test_prices_are_added_and_stay(world: World) -> None:
    clerk = world.client("clerk")
    tariff = Tariff.objects.get(name="Basic")
    url = reverse("admin:tariffs_tariff_change", args=[tariff.pk])
    assert "32.00" in clerk.get(url).content.decode()
    inline = {"prices-TOTAL_FORMS": 1, "prices-INITIAL_FORMS": 0, "prices-0-since": "2027-01-01"}
    form = {"name": "Basic", "prices-0-micro_per_kwh": 330_000, "prices-0-tariff": tariff.pk}
    assert clerk.post(url, form | inline).status_code == 302
    assert Price.objects.filter(tariff=tariff).count() == 2


def test_a_contract_that_overlaps_is_refused(world: World) -> None:
    clerk, tariff = world.client("clerk"), Tariff.objects.get(name="Basic")
    form = {"point": world.bob_point.pk, "tariff": tariff.pk, "since": "2026-01-01", "until": ""}
    response = clerk.post(reverse("admin:supply_supplycontract_add"), form)
    assert "Another contract holds in this time." in response.content.decode()
    assert SupplyContract.objects.filter(point=world.bob_point).count() == 1


def test_a_day_is_settled_again_by_an_action(world: World) -> None:
    clerk = world.client("clerk")
    settled = Settlement.objects.get(day=FIRST)
    form = {"action": "settle_again", "_selected_action": [settled.pk]}
    billed = clerk.post(reverse("admin:settlement_settlement_changelist"), form, follow=True).content.decode()
    assert "This day is billed" in billed
    settled.invoices.clear()
    page = clerk.post(reverse("admin:settlement_settlement_changelist"), form, follow=True).content.decode()
    assert "is on its way to the ledger." in page
    assert Settlement.objects.filter(day=FIRST).count() == 2


def test_a_search_in_the_administration_stays_with_the_tenant(world: World) -> None:
    url = reverse("admin:autocomplete")
    query = {"app_label": "supply", "model_name": "supplycontract", "field_name": "point", "term": "elsewhere"}
    assert world.client("clerk").get(url, query).json()["results"] == []
    assert len(world.client("clerk").get(url, query | {"term": "bob"}).json()["results"]) == 1
