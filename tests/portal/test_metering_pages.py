"""Pages about readings: who may act on them, what they say, how many queries they take."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.metering.models import Decision, Measurement
from evidence.readings import Register
from market_math.slots import day_slots
from tests.factories import CustomerFactory, PointFactory
from tests.portal.world import FIRST, OPEN, PEOPLE, World

STRANGERS = [person for person in PEOPLE if person != "clerk"]
EMPTY = OPEN + dt.timedelta(days=1)


def start_of(world: World, day: dt.date = FIRST) -> int:
    return day_slots(day, world.market.area.zone, 60).start


def page(world: World, person: str, name: str, *arguments: object, **query: Any) -> str:
    response = world.client(person).get(reverse(f"portal:{name}", args=arguments), query)
    assert response.status_code == 200
    return str(response.content.decode())


@pytest.mark.parametrize("person", STRANGERS)
def test_only_staff_decide_on_substitutes(world: World, person: str) -> None:
    url = reverse("portal:completeness_substitute", args=[world.market.area.pk, EMPTY])
    response = world.client(person).post(url, {"reason": "because"})
    assert response.status_code == (302 if person == "guest" else 404)
    assert not Decision.objects.exists()


@pytest.mark.parametrize("person", STRANGERS)
def test_only_staff_exchange_meters(world: World, person: str) -> None:
    before = list(Measurement.objects.values())
    for name in ("exchange_meter", "meter_role"):
        response = world.client(person).post(reverse(f"portal:{name}", args=[world.measurement.pk]), {"x": "1"})
        assert response.status_code == (302 if person == "guest" else 404)
    assert list(Measurement.objects.values()) == before


def test_a_clerk_decides_with_a_reason(world: World) -> None:
    area = world.market.area
    url = reverse("portal:completeness_substitute", args=[area.pk, EMPTY])
    client = world.client("clerk")
    said = client.post(url, {"reason": ""}).content.decode()
    assert "This field is required." in said and not Decision.objects.exists()
    response = client.post(url, {"reason": "The boxes were <b>struck</b> by lightning"}, follow=True)
    decision = Decision.objects.get()
    assert (decision.decided_by, decision.day, decision.count) == (world.users["clerk"], EMPTY, 72)
    said = response.content.decode()
    assert "72 readings were substituted." in said
    assert "Nothing is missing: this day can be settled." in said
    assert "The boxes were &lt;b&gt;struck&lt;/b&gt; by lightning" in said
    said = client.post(url, {"reason": "again"}, follow=True).content.decode()
    assert "Nothing is missing any more." in said and Decision.objects.count() == 1


def test_the_calendar_says_how_each_day_went(world: World) -> None:
    said = page(world, "auditor", "completeness", month=f"{FIRST:%Y-%m}")
    assert "27 days of this month lack readings." in said and "before the first reading" not in said
    assert said.count("tint-full") == 2 * 3 and said.count("tint-most") == 2 * 27
    assert reverse("portal:completeness_day", args=[world.market.area.pk, FIRST]) in said
    said = page(world, "clerk", "completeness", month="2026-05")
    assert "No past day of this month lacks a reading." in said and "tint-most" not in said
    said = page(world, "clerk", "completeness_day", world.market.area.pk, FIRST)
    assert "complete" in said and "Substitute now" not in said
    assert "Substitute now" in page(world, "clerk", "completeness_day", world.market.area.pk, EMPTY)
    assert "Substitute now" not in page(world, "auditor", "completeness_day", world.market.area.pk, EMPTY)


@pytest.mark.parametrize("query", ["month=2026", "month=nonsense", "month=9999-12", "month=1900-01", "area=0"])
def test_months_that_are_none(world: World, query: str) -> None:
    assert world.client("clerk").get(f"{reverse('portal:completeness')}?{query}").status_code == 404


@pytest.mark.parametrize("day", ["nonsense", "9999-12-31", "2026-02-30", "1900-01-01"])
def test_days_that_are_none(world: World, day: str) -> None:
    for name in ("completeness_day", "completeness_substitute"):
        url = reverse(f"portal:{name}", args=[world.market.area.pk, day])
        client = world.client("clerk")
        assert (client.get(url) if name == "completeness_day" else client.post(url)).status_code == 404


def test_more_points_take_no_more_queries(world: World) -> None:
    client = world.client("clerk")
    url = reverse("portal:completeness_day", args=[world.market.area.pk, EMPTY])
    client.get(url)
    counts = []
    for more in (10, 60):
        party = CustomerFactory.make(utility=world.market.utility)
        for _ in range(more):
            point = PointFactory.make(area=world.market.area, party=party)
            point.occupancies.create(party=party, since=dt.date(2020, 1, 1))
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 26


def test_a_clerk_records_an_exchange(world: World) -> None:
    url = reverse("portal:exchange_meter", args=[world.measurement.pk])
    client = world.client("clerk")
    form = {
        "device": str(world.measurement.device_id),
        "at": "2026-06-02T12:00",
        "removed_serial": "OLD",
        "removed_1": "81234.567",
        "installed_serial": "NEW",
        "installed_1": "0.012",
    }
    said = client.post(url, {**form, "at": "2026-06-02T12:07"}).content.decode()
    assert "A meter is exchanged at the start of a slot." in said
    said = client.post(url, {**form, "at": "yesterday"}).content.decode()
    assert "Write a day and a time." in said
    said = client.post(url, form, follow=True).content.decode()
    assert "The exchange is recorded." in said and "81,234.567" in said
    old, new = Measurement.objects.filter(point=world.alice_point).order_by("since")
    at = start_of(world, dt.date(2026, 6, 2)) + 12 * 3600
    assert (old.until, old.serial, old.counters_out) == (at, "OLD", {"1": 81_234_567})
    assert (new.since, new.serial, new.counters_in) == (at, "NEW", {"1": 12})
    client.post(f"{reverse('portal:meter_role', args=[new.pk])}?role=backup")
    new.refresh_from_db()
    assert (new.is_backup, new.changed_by) == (True, world.users["clerk"])
    assert "information only" in page(world, "alice", "meters", world.alice_point.pk)


def test_a_reading_is_told_in_words_with_its_seal(world: World) -> None:
    query: dict[str, Any] = {"slot": start_of(world), "register": int(Register.CONSUMPTION)}
    for person in ("alice", "clerk", "auditor"):
        said = page(world, person, "reading", world.alice_point.pk, **query)
        assert "Consumption: 0.500" in said and "imported and signed by Utility" in said
        assert "on the ledger" in said and "Download the evidence" in said
    url = reverse("portal:reading", args=[world.alice_point.pk])
    for person in ("bob", "outsider"):
        assert world.client(person).get(url, query).status_code == 404
    wrongs: tuple[dict[str, Any], ...] = (
        {"slot": "x"},
        {"slot": 10**30},
        {"register": 99},
        {"slot": query["slot"] + 1},
        {"version": 7},
    )
    for wrong in wrongs:
        assert world.client("alice").get(url, {**query, **wrong}).status_code == 404
    assert f"?slot={query['slot']}&amp;register=1" in page(world, "alice", "point", world.alice_point.pk, day=FIRST)


def test_a_virtual_point_shows_what_it_is_computed_from(world: World) -> None:
    said = page(world, "alice", "virtual_point", world.virtual.pk, day=FIRST)
    # 24 hours of 500 Wh, less 8 hours of 2,000 Wh.
    assert "4.00 kWh" in said
    assert "24/24" in said and "signed by the operator who imported it" in said
    assert "- alice-1" in said and "Over the day" not in said, "a balance below zero is no curve"
    world.virtual.terms.filter(sign=-1).delete()
    assert "Over the day" in page(world, "alice", "virtual_point", world.virtual.pk, day=FIRST)
    assert "V-1" in page(world, "alice", "virtual_points")
    assert "V-1" not in page(world, "bob", "virtual_points")
