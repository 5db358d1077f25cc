"""What the pages say, on real rows."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from apps.billing.models import Invoice
from apps.ledger.choices import CommandState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command, Stream
from apps.metering.versions import day_versions
from apps.portal.bills import bill_so_far
from apps.portal.today import sentence, today
from evidence import canonical
from tests.factories import UserFactory
from tests.portal.test_permissions import PAGES
from tests.portal.world import FIRST, OPEN, SECOND, World
from tests.web.test_pages import inline_code

SELLS = "Your roof made 16 kWh: you used 4 kWh yourself, 2.5 kWh went to neighbours, 9.5 kWh to the utility."


def html(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return response.content.decode().replace("\u00a0", " ")


def test_the_start_page_tells_guests_what_this_is(world: World) -> None:
    page = html(world.client("guest"), "/")
    assert "Energy from next door, and a bill you can check." in page
    assert 'href="/accounts/login/"' in page
    assert page.count("<figure") == 1


def test_the_dashboard_answers_how_am_i_doing(world: World) -> None:
    page = html(world.client("alice"), "/")
    assert SELLS in page
    assert "You took 8 kWh from the utility." in page
    assert "2 June 2026" in page
    assert page.count("<figure") == 4
    assert "June 2026 so far" in page
    page = html(world.client("bob"), "/")
    assert "You used 9.6 kWh: 2.5 kWh from neighbours, 7.1 kWh from the utility." in page
    assert "Together you owe" in page


def test_only_who_has_a_plant_reads_of_one(world: World) -> None:
    for words in ("Your roof", "Own use"):
        assert words in html(world.client("alice"), "/")
        assert words not in html(world.client("bob"), "/")


def test_a_day_that_is_not_settled_says_so(world: World) -> None:
    page = html(world.client("alice"), f"/?day={OPEN}")
    assert "This day is not settled yet." in page
    assert world.client("alice").get("/?day=tomorrow").status_code == 404
    assert world.client("alice").get("/?day=0001-01-01").status_code == 404
    assert world.client("alice").get("/?area=0").status_code == 404


def test_the_day_can_be_changed(world: World) -> None:
    page = html(world.client("alice"), f"/?day={FIRST}")
    assert f"?day={SECOND}" in page
    assert "1 June 2026" in page


def test_the_bill_so_far_is_what_the_invoice_says(world: World) -> None:
    point = world.bob_point
    bill = bill_so_far(point.area, [point], SECOND, {point.pk: FIRST})
    assert bill is not None
    assert bill.due == world.invoice.total_minor


def test_the_sentence_of_a_day_without_energy_bought(world: World) -> None:
    shown = today(world.market.area, [world.alice_point], FIRST)
    assert shown is not None
    assert (shown.made, shown.used) == (16_000, 12_000)
    assert sentence(shown).replace("\u00a0", " ").startswith(SELLS)


def test_energy_that_can_be_sold_is_listed_with_its_totals(world: World) -> None:
    page = html(world.client("alice"), "/metering-points/")
    # 12 kWh of surplus on the open day, 3 of them offered.
    assert "9.00" in page
    assert "alice-1" in page


def test_a_metering_point_shows_its_curve_and_evidence(world: World) -> None:
    url = reverse("portal:point", args=[world.alice_point.pk])
    page = html(world.client("alice"), f"{url}?day={FIRST}")
    assert "What your meter read on 1 June 2026" in page
    assert "signed by the operator who imported them" in page
    assert "On the ledger, entry" in page
    assert "No readings on this day" in html(world.client("alice"), f"{url}?day=2026-05-01")


def test_readings_come_as_a_file(world: World) -> None:
    url = reverse("portal:readings_csv", args=[world.alice_point.pk])
    response = world.client("alice").get(f"{url}?day={FIRST}")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert len(rows) == len(day_versions(world.alice_point, FIRST)) == 48
    assert rows[0]["start"] == "2026-06-01T00:00:00+02:00"
    assert rows[0]["start_utc"] == "2026-05-31T22:00:00Z"
    assert sum(int(row["value"]) for row in rows if row["register"] == "generation") == 16_000


def test_an_invoice_shows_its_lines_and_its_files(world: World) -> None:
    client, pk = world.client("bob"), world.invoice.pk
    page = html(client, reverse("portal:invoice", args=[pk]))
    assert "18.25 ct/kWh" in page
    assert "32.00 ct/kWh" in page
    assert "VAT 19%" in page
    document = client.get(reverse("portal:invoice_json", args=[pk])).content
    assert json.loads(document)["total_minor"] == str(world.invoice.total_minor)
    pdf = client.get(reverse("portal:invoice_pdf", args=[pk]))
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")


def test_an_invoice_is_verified_on_the_page_and_by_its_files(world: World) -> None:
    client, pk = world.client("bob"), world.invoice.pk
    page = html(client, reverse("portal:verify", args=[pk]))
    assert "is right" in page
    assert page.count("chip-good") >= 4
    assert "chip-bad" not in page
    assert "The readings are signed and were fixed on the ledger" in page
    assert "Lines, tax and total follow from the shares" in page
    for name in ("bundle", "anchors"):
        content = client.get(reverse(f"portal:{name}", args=[pk])).content
        assert canonical.loads(content)["type"].startswith("energymarket/")


def test_an_invoice_that_does_not_stand_up_to_the_check_says_so(world: World) -> None:
    changed = bytes(world.invoice.document).replace(b'"Utility"', b'"Futility"')
    Invoice.objects.filter(pk=world.invoice.pk).update(document=changed)
    page = html(world.client("bob"), reverse("portal:verify", args=[world.invoice.pk]))
    assert "does not stand up to the check" in page
    assert "chip-bad" in page


def test_a_record_shows_what_the_ledger_holds(world: World) -> None:
    url = reverse("portal:record", args=[bytes(world.purchase.command_id or b"").hex()])
    page = html(world.client("bob"), url)
    assert "Energy bought" in page
    assert "kept by the platform (custodial)" in page
    assert "2500" in page
    assert bytes(world.purchase.ledger_id).hex()[:12] in page


def test_staff_see_how_the_ledger_is_doing(world: World) -> None:
    page = html(world.client("clerk"), "/ledger/")
    assert "It runs, and nothing waits." in page
    assert "EmbeddedLedger" in page
    stopped = Command.objects.filter(stream__ledger=DEFAULT).order_by("pk").last()
    assert stopped is not None
    Command.objects.filter(pk=stopped.pk).update(state=CommandState.REJECTED, code=54)
    Stream.objects.filter(pk=stopped.stream_id).update(parked_by=stopped)
    page = html(world.client("clerk"), "/ledger/")
    assert "Something waits for you" in page
    assert "The offer has run out of time." in page


def test_the_account_page_says_who_keeps_the_key(world: World) -> None:
    page = html(world.client("alice"), "/account/")
    assert "The platform keeps your signing key." in page


def test_a_new_account_learns_who_connects_it(world: World) -> None:
    client = Client()
    client.force_login(UserFactory.make(email="new@example.org"), backend="django.contrib.auth.backends.ModelBackend")
    page = html(client, "/")
    assert "A clerk of your utility has to connect it" in page
    assert "new@example.org" in page
    for url in ("/metering-points/", "/offers/", "/invoices/", "/dues/", "/account/"):
        html(client, url)


def test_every_page_says_who_is_signed_in(world: World) -> None:
    for person, role in (("alice", "produces and uses energy"), ("bob", "uses energy"), ("clerk", "works for")):
        page = html(world.client(person), "/offers/")
        assert "<strong>Utility</strong>" in page
        assert role in page
        assert f"{person}@example.org" in page


@pytest.mark.parametrize("person", ["guest", "alice", "bob", "clerk"])
def test_no_page_carries_inline_code(world: World, person: str) -> None:
    client = world.client(person)
    for name, arguments, _statuses in PAGES:
        response = client.get(reverse(f"portal:{name}", args=arguments(world)))
        if response.headers["Content-Type"].startswith("text/html"):
            assert inline_code(response.content.decode()) == [], name


@pytest.mark.parametrize("language", ["de", "es"])
def test_pages_work_in_every_language(world: World, language: str) -> None:
    client = world.client("alice")
    client.cookies["django_language"] = language
    for name, arguments, statuses in PAGES:
        response = client.get(reverse(f"portal:{name}", args=arguments(world)))
        assert response.status_code == statuses[1], name
    assert f'<html lang="{language}">' in client.get("/").content.decode()


def test_the_project_has_no_problem_that_django_knows_of() -> None:
    call_command("check")
