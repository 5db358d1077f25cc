"""Every address of the portal, asked for by everybody."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from apps.accounts.invitations import token_of
from apps.accounts.models import Membership
from apps.metering.models import Alarm, EnrolmentCode
from apps.offers.models import Offer, Purchase
from apps.portal.urls import urlpatterns
from tests.portal.test_imports import an_import
from tests.portal.world import FIRST, PEOPLE, World

LOGIN = 302

# Name of the page, its arguments, and what each gets:   guest alice bob outsider clerk auditor
PAGES: list[tuple[str, Callable[[World], list[object]], tuple[int, int, int, int, int, int]]] = [
    ("start", lambda w: [], (200, 200, 200, 200, 200, 200)),
    ("dues", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("points", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("point", lambda w: [w.alice_point.pk], (LOGIN, 200, 404, 404, 200, 200)),
    ("last_hours", lambda w: [w.alice_point.pk], (LOGIN, 200, 404, 404, 200, 200)),
    ("readings_csv", lambda w: [w.alice_point.pk], (LOGIN, 200, 404, 404, 200, 200)),
    ("reading", lambda w: [w.alice_point.pk], (LOGIN, 404, 404, 404, 404, 404)),
    ("meters", lambda w: [w.alice_point.pk], (LOGIN, 200, 404, 404, 200, 200)),
    ("exchange_meter", lambda w: [w.measurement.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("virtual_points", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("virtual_point", lambda w: [w.virtual.pk], (LOGIN, 200, 404, 404, 200, 200)),
    ("completeness", lambda w: [], (LOGIN, 404, 404, 404, 200, 200)),
    ("completeness_day", lambda w: [w.market.area.pk, FIRST], (LOGIN, 404, 404, 404, 200, 200)),
    ("offers", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("new_offer", lambda w: [w.declaration.pk], (LOGIN, 200, 403, 404, 403, 403)),
    ("offer", lambda w: [w.offer.pk], (LOGIN, 200, 200, 404, 200, 200)),
    ("change_offer", lambda w: [w.draft.pk], (LOGIN, 200, 404, 404, 404, 404)),
    ("buy", lambda w: [w.offer.pk], (LOGIN, 403, 200, 404, 403, 403)),
    ("purchase", lambda w: [w.purchase.pk], (LOGIN, 200, 200, 404, 200, 200)),
    ("invoices", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("invoice", lambda w: [w.invoice.pk], (LOGIN, 404, 200, 404, 200, 200)),
    ("invoice_pdf", lambda w: [w.invoice.pk], (LOGIN, 404, 200, 404, 200, 200)),
    ("invoice_json", lambda w: [w.invoice.pk], (LOGIN, 404, 200, 404, 200, 200)),
    ("verify", lambda w: [w.invoice.pk], (LOGIN, 404, 200, 404, 200, 200)),
    ("bundle", lambda w: [w.invoice.pk], (LOGIN, 404, 200, 404, 200, 200)),
    ("anchors", lambda w: [w.invoice.pk], (LOGIN, 404, 200, 404, 200, 200)),
    ("imports", lambda w: [], (LOGIN, 404, 404, 404, 200, 200)),
    ("import", lambda w: [an_import(w).pk], (LOGIN, 404, 404, 404, 200, 200)),
    ("enrolments", lambda w: [], (LOGIN, 404, 404, 404, 200, 404)),
    ("new_enrolment", lambda w: [], (LOGIN, 404, 404, 404, 200, 404)),
    ("enrolment", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("enrolment_meters", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("enrolment_plant", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("enrolment_point", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("enrolment_test", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("enrolment_live", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("enrolment_protocol", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 404, 404)),
    ("enrolment_progress", lambda w: [w.enrolment.pk], (LOGIN, 404, 404, 404, 200, 404)),
    ("ledger", lambda w: [], (LOGIN, 404, 404, 404, 200, 200)),
    ("record", lambda w: [bytes(w.purchase.command_id or b"").hex()], (LOGIN, 200, 200, 404, 200, 200)),
    ("seal", lambda w: [bytes(w.purchase.command_id or b"").hex()], (LOGIN, 200, 200, 404, 200, 200)),
    ("fleet", lambda w: [], (LOGIN, 404, 404, 404, 200, 200)),
    ("fleet_box", lambda w: [w.alarm.device_id], (LOGIN, 404, 404, 404, 200, 200)),
    ("account", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("notices", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("people", lambda w: [], (LOGIN, 200, 200, 200, 200, 200)),
    ("invitation", lambda w: [token_of(w.asked)], (LOGIN, 302, 403, 403, 403, 403)),
]

# The same for what is sent: alice's own draft, alice's open offer, a person whom alice was asked for.
# Staff's own, tested beside what they do: tests/portal/test_metering_pages.py.
OF_STAFF = ["completeness_substitute", "meter_role"]
ACTIONS: list[tuple[str, Callable[[World], list[object]], tuple[int, int, int, int, int, int]]] = [
    ("publish", lambda w: [w.draft.pk], (LOGIN, 302, 404, 404, 404, 404)),
    ("discard", lambda w: [w.draft.pk], (LOGIN, 302, 404, 404, 404, 404)),
    ("withdraw", lambda w: [w.offer.pk], (LOGIN, 302, 403, 404, 403, 403)),
    ("confirm_member", lambda w: [w.asked.pk], (LOGIN, 302, 404, 404, 404, 404)),
    ("refuse_member", lambda w: [w.asked.pk], (LOGIN, 302, 404, 404, 404, 404)),
    ("end_member", lambda w: [w.asked.pk], (LOGIN, 302, 404, 404, 404, 404)),
]

# What staff send, about an enrolment of theirs.
STAFF_ACTIONS = ("renew_code", "register_box", "go_live", "undo_enrolment")


# Tried by everybody in a module of their own.
IMPORT_ACTIONS = ["store_import", "stop_import", "discard_import"]


# What only staff do: who looks after a box.
ALARM_ACTIONS: list[tuple[str, Callable[[World], list[object]], tuple[int, int, int, int, int, int]]] = [
    ("alarm_seen", lambda w: [w.alarm.pk], (LOGIN, 404, 404, 404, 302, 403)),
]


# Stays open; tried by everybody in a module of its own.
STREAMS = ["live"]


def rows() -> list[object]:
    """What the actions change."""
    models = (Offer, Membership, EnrolmentCode, Alarm)
    return [row for model in models for row in model._default_manager.order_by("pk").values()]


def test_the_tables_name_every_address() -> None:
    tried = [
        *OF_STAFF,
        *(name for name, *_ in PAGES + ACTIONS + ALARM_ACTIONS),
        *IMPORT_ACTIONS,
        *STAFF_ACTIONS,
        *STREAMS,
    ]
    assert sorted(tried) == sorted(str(pattern.name) for pattern in urlpatterns)


@pytest.mark.parametrize(("name", "arguments", "statuses"), PAGES, ids=[page[0] for page in PAGES])
def test_who_may_see_a_page(
    world: World, name: str, arguments: Callable[[World], list[object]], statuses: tuple[int, ...]
) -> None:
    url = reverse(f"portal:{name}", args=arguments(world))
    found = {person: world.client(person).get(url).status_code for person in PEOPLE}
    assert found == dict(zip(PEOPLE, statuses, strict=True))


@pytest.mark.parametrize(
    ("name", "arguments", "statuses", "actor"),
    [*((*action, "alice") for action in ACTIONS), *((*action, "clerk") for action in ALARM_ACTIONS)],
    ids=[action[0] for action in ACTIONS + ALARM_ACTIONS],
)
def test_who_may_act(
    world: World, name: str, arguments: Callable[[World], list[object]], statuses: tuple[int, ...], actor: str
) -> None:
    url = reverse(f"portal:{name}", args=arguments(world))
    wanted = dict(zip(PEOPLE, statuses, strict=True))
    # The one who may comes last: whatever the others tried has changed nothing before.
    for person in sorted(PEOPLE, key=lambda person: person == actor):
        before = rows()
        response = world.client(person).post(url)
        assert response.status_code == wanted[person], person
        if person == "guest":
            assert response.headers["Location"].startswith("/accounts/login/")
        if person != actor:
            assert rows() == before
    assert rows() != before


@pytest.mark.parametrize("name", STAFF_ACTIONS)
def test_only_staff_act_on_an_enrolment(world: World, name: str) -> None:
    url = reverse(f"portal:{name}", args=[world.enrolment.pk])
    before = rows()
    for person in PEOPLE:
        if person != "clerk":
            assert world.client(person).post(url).status_code == (LOGIN if person == "guest" else 404), person
    assert rows() == before
    assert world.client("clerk").get(url).status_code == 405
    assert world.client("clerk").post(url).status_code == 302
    assert (rows() != before) == (name in ("renew_code", "undo_enrolment"))


@pytest.mark.parametrize("name", ["publish", "discard", "withdraw"])
def test_a_look_changes_nothing(world: World, name: str) -> None:
    response = world.client("alice").get(reverse(f"portal:{name}", args=[world.draft.pk]))
    assert response.status_code == 405


@pytest.mark.parametrize("person", ["alice", "outsider", "clerk", "auditor"])
def test_nobody_else_buys_alices_offer(world: World, person: str) -> None:
    before = Purchase.objects.count()
    form = {"energy_wh": "1", "point": str(world.bob_point.pk), "token": "0" * 64}
    response = world.client(person).post(reverse("portal:buy", args=[world.offer.pk]), form)
    assert response.status_code == (404 if person == "outsider" else 403)
    assert Purchase.objects.count() == before


def test_nobody_buys_for_a_point_of_somebody_else(world: World) -> None:
    before = Purchase.objects.count()
    form = {"energy_wh": "1", "point": str(world.alice_point.pk), "token": "0" * 64}
    response = world.client("bob").post(reverse("portal:buy", args=[world.offer.pk]), form)
    assert "Choose one of your metering points in this market area." in response.content.decode()
    assert Purchase.objects.count() == before


def test_a_guest_is_sent_to_sign_in_and_back(world: World) -> None:
    response = world.client("guest").get("/offers/")
    assert response.headers["Location"] == "/accounts/login/?next=/offers/"


def test_a_record_without_an_object_is_nobodys(world: World) -> None:
    assert world.client("clerk").get(reverse("portal:record", args=["00" * 32])).status_code == 404
