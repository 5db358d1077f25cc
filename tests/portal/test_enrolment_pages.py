"""The wizard as an installer sees it on a phone, from the code to the protocol, and every way back."""

import json
import re
from html import unescape
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from apps.accounts.choices import MemberRole
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering.choices import EnrolmentState
from apps.metering.models import Device, EnrolmentCode
from apps.metering.services import enrolment as services
from apps.portal.protocol import _view
from tests.conftest import signed_in
from tests.factories import MembershipFactory, UserFactory
from tests.metering.enrolling import Box, Market, make_enrolment


@pytest.fixture
def market(db: None) -> Market:
    cache.clear()
    return make_enrolment()


@pytest.fixture
def client(market: Market) -> Client:
    return signed_in(market.installer)


def url(market: Market, name: str) -> str:
    return reverse(f"portal:{name}", args=[market.enrolment.pk])


def page(client: Client, market: Market, name: str) -> str:
    response = client.get(url(market, name))
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


def fields(market: Market, *values: str) -> dict[str, str]:
    meters = [meter.pk for meter in market.row.meters.all()]
    return {f"meter_{pk}": value for pk, value in zip(meters, values, strict=True)}


def test_an_installer_brings_a_box_into_the_market_step_by_step(market: Market, client: Client) -> None:
    assert client.get("/").headers["Location"] == "/enrolments/"
    shown = page(client, market, "enrolment")
    code = re.search(r'class="code">([0-9A-Z-]+)<', shown)
    assert code is not None
    box = Box(code[1].replace("-", ""))
    assert f"meter-agent enroll --server http://testserver --code {code[1]}" in shown
    assert "Waiting for the box" in page(client, market, "enrolment_meters")
    box.told()
    assert "box 1" in client.get("/enrolments/").content.decode()
    assert code[1] not in page(client, market, "enrolment")
    meters = page(client, market, "enrolment_meters")
    assert "export 1.5\xa0kWh" in meters or "export 1.5 kWh" in meters
    response = client.post(url(market, "enrolment_meters"), fields(market, "generation", "grid"))
    assert response.headers["Location"] == url(market, "enrolment_plant")
    assert 'value="alice-1"' in page(client, market, "enrolment_plant")
    roof, grid = market.row.meters.all()
    client.post(url(market, "enrolment_plant"), {f"meter_{roof.pk}": "alice-1"})
    assert 'value="alice-1"' in page(client, market, "enrolment_point")
    client.post(url(market, "enrolment_point"), {f"meter_{grid.pk}": "alice-1"})
    shown = page(client, market, "enrolment_point")
    assert "what alice's roof makes (9.9 kW)" in shown
    assert "Register the box" in shown
    response = client.post(url(market, "register_box"))
    assert response.headers["Location"] == url(market, "enrolment_test")
    assert "Waiting for its first reading" in page(client, market, "enrolment_test")
    assert "Yes, go live" not in page(client, market, "enrolment_test")
    box.told(box.tests(market))
    drain(DEFAULT)
    assert "Is this what the meters show?" in page(client, market, "enrolment_test")
    response = client.post(url(market, "go_live"))
    assert response.headers["Location"] == url(market, "enrolment_live")
    assert "Protocol (PDF)" in page(client, market, "enrolment_live")
    response = client.get(url(market, "enrolment_protocol"))
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.content.startswith(b"%PDF-")
    assert market.row.state == EnrolmentState.LIVE


def test_every_step_can_be_looked_at_again(market: Market, client: Client) -> None:
    box = Box(market.code)
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    assert "Send the settings again" in page(client, market, "enrolment_point")
    client.post(url(market, "enrolment_meters"), fields(market, "grid", "generation"))
    assert "No meter here" not in page(client, market, "enrolment_plant")
    box.told(box.tests(market))
    market.assign()
    services.configure(market.row, market.clerk)
    box.told(box.tests(market, sequence=2))
    services.go_live(market.row, market.clerk)
    for name in ("enrolment", "enrolment_meters", "enrolment_plant", "enrolment_point", "enrolment_test"):
        assert page(client, market, name).count("<a href=") > 5, name


def test_a_page_that_waits_notices_what_happens(market: Market, client: Client) -> None:
    box = Box(market.code)

    def token() -> str:
        return client.get(url(market, "enrolment_progress")).content.decode()

    first = token()
    assert f'data-token="{first}"' in page(client, market, "enrolment")
    assert token() == first
    box.told()
    second = token()
    assert second != first
    market.assign()
    services.configure(market.row, market.clerk)
    third = token()
    assert third not in (first, second)
    box.told(box.tests(market))
    assert token() != third


def test_what_is_wrong_stands_beside_its_field(market: Market, client: Client) -> None:
    Box(market.code).told()
    client.post(url(market, "enrolment_meters"), fields(market, "generation", "grid"))
    roof = market.row.meters.all()[0]
    response = client.post(url(market, "enrolment_plant"), {f"meter_{roof.pk}": "nowhere"})
    assert "There is no metering point with this number in Area." in response.content.decode()
    response = client.post(url(market, "enrolment_plant"), {f"meter_{roof.pk}": "bob-1"})
    assert "No plant is registered at this metering point." in response.content.decode()
    response = client.post(url(market, "register_box"), follow=True)
    assert "Say first to which metering point" in unescape(response.content.decode())
    assert not Device.objects.exists()


def test_a_box_says_on_the_page_why_it_cannot_use_its_settings(market: Market, client: Client) -> None:
    box = Box(market.code)
    box.told(box.content(problem="points[0].grid.bus: must be one of roof"))
    assert "points[0].grid.bus: must be one of roof" in page(client, market, "enrolment_meters")


def test_a_metering_point_that_another_box_measures_is_pointed_out(market: Market, client: Client) -> None:
    other = Device.objects.create(area=market.area, owner=market.area.utility, name="old box")
    other.points.add(market.point)
    Box(market.code).told()
    market.assign()
    assert "is measured by the box old box already" in page(client, market, "enrolment_point")


def test_undoing_is_seen_and_leaves_the_protocol(market: Market, client: Client) -> None:
    box = Box(market.code)
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    client.post(url(market, "undo_enrolment"))
    shown = page(client, market, "enrolment")
    assert "Undone by" in shown
    assert "Yes, undo" not in shown
    assert client.get(url(market, "enrolment_protocol")).status_code == 200


def test_a_clerk_plans_the_points_and_chooses_the_installer(market: Market) -> None:
    clerk = signed_in(market.clerk)
    form = {"area": market.area.pk, "name": "box 7", "points": "alice-1, bob-1", "installer": market.installer.pk}
    response = clerk.post(reverse("portal:new_enrolment"), form)
    made = EnrolmentCode.objects.get(name="box 7")
    assert response.headers["Location"] == reverse("portal:enrolment", args=[made.pk])
    assert {point.code for point in made.planned.all()} == {"alice-1", "bob-1"}
    assert (made.installer, made.made_by, made.owner) == (market.installer, market.clerk, market.area.utility)
    response = clerk.post(reverse("portal:new_enrolment"), form | {"points": "alice-1 nowhere"})
    assert "nowhere" in response.content.decode()
    assert EnrolmentCode.objects.count() == 2


def test_an_installer_makes_a_code_and_sees_nobody_elses(market: Market, client: Client) -> None:
    form = {"area": market.area.pk, "name": "mine", "points": ""}
    client.post(reverse("portal:new_enrolment"), form)
    services.make_code(area=market.area, name="theirs", by=market.clerk)
    shown = client.get(reverse("portal:enrolments")).content.decode()
    assert "mine" in shown
    assert "theirs" not in shown
    theirs = EnrolmentCode.objects.get(name="theirs")
    for name in ("enrolment", "enrolment_meters", "enrolment_test", "enrolment_progress", "enrolment_protocol"):
        assert client.get(reverse(f"portal:{name}", args=[theirs.pk])).status_code == 404
    for name in ("undo_enrolment", "renew_code", "register_box", "go_live"):
        assert client.post(reverse(f"portal:{name}", args=[theirs.pk])).status_code == 404


def test_an_installer_of_another_utility_sees_nothing(market: Market) -> None:
    stranger = UserFactory.make()
    MembershipFactory.make(user=stranger, role=MemberRole.INSTALLER)
    EnrolmentCode.objects.update(installer=stranger)
    assert signed_in(stranger).get(url(market, "enrolment")).status_code == 404


def test_an_installer_reads_nobodys_meters(market: Market, client: Client) -> None:
    assert client.get(reverse("portal:point", args=[market.point.pk])).status_code == 404
    assert client.get("/ledger/").status_code == 404


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_lists_and_steps_cost_the_same_queries_however_long_they_are(market: Market) -> None:
    client, box = signed_in(market.clerk), Box(market.code)
    box.told()
    market.assign()
    addresses = [url(market, name) for name in ("enrolment_meters", "enrolment_point", "enrolment_test")]
    before = [queries(client, address) for address in ["/enrolments/", *addresses]]
    for number in range(5):
        services.make_code(area=market.area, name=f"box {number}", by=market.clerk, installer=market.installer)
    more = [{"settings": {"unit": n}, "description": "more", "serial": "", "energy": {}} for n in range(10)]
    box.told(box.content(meters=more))
    assert [queries(client, address) for address in ["/enrolments/", *addresses]] == before


@pytest.mark.parametrize(("language", "title"), [("de", "Anmeldung der Messbox"), ("es", "Alta del equipo de medida")])
def test_the_protocol_is_written_in_the_readers_language(market: Market, language: str, title: str) -> None:
    box = Box(market.code)
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    with translation.override(language):
        view: dict[str, Any] = _view(market.row, list(market.row.meters.select_related("point__plant")))
    assert view["title"].startswith(title)
    assert "alice-1" in json.dumps(view)
