"""The picture of the last hours: what counts in it, and what a predecessor's stays."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.choices import MemberRole
from apps.portal.power import MOST_POINTS, SLOTS, last_power
from evidence.readings import Reading, Register
from tests.conftest import signed_in
from tests.factories import MembershipFactory, UserFactory
from tests.metering.head_end import HeadEnd, make_head_end, post

pytestmark = pytest.mark.django_db
STEP = 900


def send(head_end: HeadEnd, sequence: int, *values: tuple[int, Register, int, int]) -> None:
    """Readings as (point's index, register, slots before the last one, Wh)."""
    last = int(timezone.now().timestamp()) // STEP * STEP - STEP
    found = [
        Reading(bytes(head_end.points[index].ledger_id), register, last - back * STEP, wh)
        for index, register, back, wh in values
    ]
    answer = post(head_end.body(sorted(found, key=lambda reading: reading.leaf_id), sequence))
    assert answer.json()["status"] == "stored", answer.json()


@pytest.fixture
def head_end(db: None) -> HeadEnd:
    return make_head_end(points=2, time_zone="UTC")


def test_points_are_summed_where_all_of_them_are_known(head_end: HeadEnd) -> None:
    assert last_power(head_end.points, {}) is None
    used, made = Register.CONSUMPTION, Register.GENERATION
    send(head_end, 1, (0, used, 0, 100), (0, made, 0, 800))
    send(head_end, 2, (1, used, 0, 50))
    strip = last_power(head_end.points, {})
    assert strip is not None and strip.slots == SLOTS
    assert (strip.consumption or ())[-2:] == (None, 600)
    # Only the first point makes anything.
    assert (strip.generation or ())[-2:] == (None, 3_200)
    alone = last_power(head_end.points[1:], {})
    assert alone is not None and alone.generation is None


def test_what_a_predecessor_used_is_left_out(head_end: HeadEnd) -> None:
    send(head_end, 1, (0, Register.CONSUMPTION, 0, 100))
    [first, _second] = head_end.points
    assert last_power([first], {first.pk: head_end.area.today + dt.timedelta(days=1)}) is None
    assert last_power([first], {first.pk: head_end.area.today - dt.timedelta(days=1)}) is not None


def test_a_concentrator_has_no_picture(head_end: HeadEnd) -> None:
    assert last_power(head_end.points * MOST_POINTS, {}) is None


def test_the_page_of_a_point_has_it_and_can_ask_for_it_alone(head_end: HeadEnd) -> None:
    clerk = UserFactory.make()
    MembershipFactory.make(user=clerk, party=head_end.area.utility, role=MemberRole.STAFF)
    client = signed_in(clerk)
    page, alone = (reverse(f"portal:{name}", args=[head_end.points[0].pk]) for name in ("point", "last_hours"))
    assert client.get(alone).content == b""
    send(head_end, 1, (0, Register.CONSUMPTION, 0, 100))
    shown = client.get(page).content.decode()
    assert f'data-refresh="{alone}"' in shown
    assert shown.count("The last hours</h2>") == 1
    # The plant's own power stands where it stood.
    assert "roof, Solar, 10\u00a0kW" in shown or "roof, solar, 10\u00a0kW" in shown
    assert "at most 0.40\u00a0kW" in client.get(alone).content.decode()
