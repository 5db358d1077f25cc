"""After a move, the next customer sees what was measured since; the former one keeps the invoices."""

from typing import Any

import pytest
from django.urls import reverse

from apps.assets.models import Occupancy
from apps.assets.services import change_occupant
from apps.portal.bills import bill_so_far
from tests.conftest import signed_in
from tests.factories import MembershipFactory, UserFactory
from tests.portal.world import FIRST, OPEN, SECOND, World


@pytest.fixture
def newcomer(world: World) -> Any:
    """Somebody who moves in at Bob's on the second day."""
    membership = MembershipFactory.create(
        user=UserFactory.create(email="newcomer@example.org"), party__utility=world.market.utility
    )
    party, user = membership.party, membership.user
    change_occupant(world.bob_point, party, since=SECOND)
    return signed_in(user)


def test_readings_of_days_before_are_not_the_newcomers(world: World, newcomer: Any) -> None:
    for page in ("portal:point", "portal:readings_csv"):
        url = reverse(page, args=[world.bob_point.pk])
        assert newcomer.get(url, {"day": FIRST.isoformat()}).status_code == 404
        assert newcomer.get(url, {"day": SECOND.isoformat()}).status_code == 200
    day = newcomer.get(reverse("portal:point", args=[world.bob_point.pk]), {"day": SECOND.isoformat()}).content.decode()
    assert f"?day={FIRST}" not in day


def test_the_dashboard_starts_with_the_move(world: World, newcomer: Any) -> None:
    assert newcomer.get("/", {"day": FIRST.isoformat()}).status_code == 404
    assert newcomer.get("/", {"day": SECOND.isoformat()}).status_code == 200


def test_the_bill_so_far_leaves_out_what_the_predecessor_used(world: World, newcomer: Any) -> None:
    area, points = world.market.area, [world.bob_point]
    whole, own = (bill_so_far(area, points, SECOND, {world.bob_point.pk: day}) for day in (FIRST, SECOND))
    assert whole and own and 0 < own.due < whole.due


def test_the_former_customer_keeps_the_invoice_and_not_the_point(world: World, newcomer: Any) -> None:
    bob = world.client("bob")
    assert bob.get(reverse("portal:invoice", args=[world.invoice.pk])).status_code == 200
    assert bob.get(reverse("portal:point", args=[world.bob_point.pk])).status_code == 404
    assert newcomer.get(reverse("portal:invoice", args=[world.invoice.pk])).status_code == 404


def test_staff_see_every_day(world: World, newcomer: Any) -> None:
    clerk = world.client("clerk")
    url = reverse("portal:point", args=[world.bob_point.pk])
    assert clerk.get(url, {"day": FIRST.isoformat()}).status_code == 200


def test_who_moves_in_has_a_secret_of_their_own(world: World, newcomer: Any) -> None:
    before, after = Occupancy.objects.filter(point=world.bob_point).order_by("since")
    assert before.until == after.since == SECOND and OPEN > SECOND
    assert bytes(before.sealed_secret or b"") != bytes(after.sealed_secret or b"")
