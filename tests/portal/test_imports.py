"""Pages for files with readings: sent, looked at, stored, stopped, and closed to everybody but staff."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from apps.metering.choices import ImportState, SourceKey
from apps.metering.models import PointSource, ReadingImport, TableLayout
from apps.metering.services.files import Sender, begin, receive_file, run_imports
from tests.metering.files import Value, interchange, message
from tests.portal.world import PEOPLE, World

LOGIN = 302
START = 1_622_498_400  # 2021-06-01 in Berlin
ACTIONS = ["store_import", "stop_import", "discard_import"]


def mscons(qualifier: str = "220", reference: str = "REF1") -> bytes:
    quarters = [Value(START + n * 900, "0.25", qualifier if n == 7 else "220") for n in range(96)]
    return interchange(message(1, "bob-1", "1-1:1.29.0", quarters), reference=reference)


def an_import(world: World, content: bytes = b"") -> ReadingImport:
    sender = Sender(person=world.users["clerk"])
    return receive_file(world.market.area, SourceKey.MSCONS, "june.edi", content or mscons(), sender).delivery


def send(client: Client, world: World, content: bytes, **fields: object) -> str:
    """The page that follows, as text."""
    file = SimpleUploadedFile("june.edi", content)
    form = {"area": world.market.area.pk, "source": "mscons", "layout": "", "file": file, **fields}
    return client.post(reverse("portal:imports"), form, follow=True).content.decode()


def test_a_clerk_sends_a_file_looks_at_it_and_has_it_stored(world: World) -> None:
    clerk = world.client("clerk")
    page = send(clerk, world, mscons())
    assert "All rows are good: 24 readings are new, 0 are there already." in page
    delivery = ReadingImport.objects.get()
    assert (delivery.state, delivery.person) == (ImportState.CHECKED, world.users["clerk"])
    response = clerk.post(reverse("portal:store_import", args=[delivery.pk]), follow=True)
    assert '<meta http-equiv="refresh" content="3">' in response.content.decode()
    run_imports()
    page = clerk.get(reverse("portal:import", args=[delivery.pk])).content.decode()
    assert "24 readings of 1 metering points were stored." in page
    assert "refresh" not in page
    history = clerk.get(reverse("portal:imports")).content.decode()
    assert "june.edi" in history and "Clerk" in history
    assert "This interchange is here already; nothing was stored again." in send(clerk, world, mscons())
    assert "came before with other content" in send(clerk, world, mscons("67"))


def test_bad_rows_are_shown_with_their_lines_and_rules(world: World) -> None:
    clerk = world.client("clerk")
    page = send(clerk, world, mscons("187"))
    assert "1 rows cannot be used" in page or "rows cannot be used" in page
    assert "unknown_quality" in page and ">36<" in page
    delivery = ReadingImport.objects.get()
    url = reverse("portal:store_import", args=[delivery.pk])
    assert "The file has rows that cannot be used." in clerk.post(url, follow=True).content.decode()
    assert clerk.post(f"{url}?keep_good=1", follow=True).status_code == 200
    run_imports()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.keep_good) == (ImportState.STORED, True)


def test_a_form_that_is_wrong(world: World) -> None:
    clerk = world.client("clerk")
    assert "A table needs a layout." in send(clerk, world, b"x", source="csv")
    other = TableLayout.objects.create(area=world.elsewhere.area, name="other", time="t", point="p", value="v")
    assert "Select a valid choice" in send(clerk, world, b"x", source="csv", layout=other.pk)
    assert "Select a valid choice" in send(clerk, world, mscons(), area=world.elsewhere.area.pk)
    assert "At most 5000000 bytes in a file." in send(clerk, world, b"x" * 5_000_001)
    assert not ReadingImport.objects.exists()


def test_an_import_is_stopped_and_goes_on(world: World) -> None:
    clerk = world.client("clerk")
    delivery = an_import(world)
    begin(delivery)
    page = clerk.post(reverse("portal:stop_import", args=[delivery.pk]), follow=True).content.decode()
    assert "Go on" in page
    assert run_imports() == 0
    clerk.post(reverse("portal:store_import", args=[delivery.pk]))
    assert run_imports() == 1
    page = clerk.post(reverse("portal:stop_import", args=[delivery.pk]), follow=True).content.decode()
    assert "There is nothing to stop any more." in page


def test_a_file_is_dropped(world: World) -> None:
    delivery = an_import(world)
    page = world.client("clerk").post(reverse("portal:discard_import", args=[delivery.pk]), follow=True)
    assert "It was dropped. 0 readings of it are there." in page.content.decode()


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_decide(world: World, action: str) -> None:
    delivery = an_import(world)
    wanted = dict(zip(PEOPLE, (LOGIN, 404, 404, 404, LOGIN, 403), strict=True))
    for person in sorted(PEOPLE, key=lambda person: person == "clerk"):
        response = world.client(person).post(reverse(f"portal:{action}", args=[delivery.pk]))
        assert response.status_code == wanted[person], person
        delivery.refresh_from_db()
        if person != "clerk":
            assert delivery.state == ImportState.CHECKED
    assert world.client("clerk").get(reverse(f"portal:{action}", args=[delivery.pk])).status_code == 405


@pytest.mark.parametrize(("person", "status"), [("guest", LOGIN), ("alice", 404), ("outsider", 404), ("auditor", 404)])
def test_nobody_else_sends_files(world: World, person: str, status: int) -> None:
    form = {"area": world.market.area.pk, "source": "mscons", "file": SimpleUploadedFile("x", mscons())}
    assert world.client(person).post(reverse("portal:imports"), form).status_code == status
    assert not ReadingImport.objects.exists()


def test_an_auditor_looks_and_has_no_buttons(world: World) -> None:
    page = world.client("auditor").get(reverse("portal:import", args=[an_import(world).pk])).content.decode()
    assert "All rows are good" in page and "Store it" not in page
    assert "Send a file" not in world.client("auditor").get(reverse("portal:imports")).content.decode()


def test_the_administration_shows_what_is_agreed_and_what_came(world: World) -> None:
    delivery = an_import(world)
    told = PointSource.objects.create(point=world.bob_point, source=SourceKey.MSCONS)
    layout = TableLayout.objects.create(area=world.market.area, name="ours", time="t", point="p", value="v")
    clerk = world.client("clerk")
    for model, row in (("readingimport", delivery), ("pointsource", told), ("tablelayout", layout)):
        assert clerk.get(reverse(f"admin:metering_{model}_changelist")).status_code == 200
        assert clerk.get(reverse(f"admin:metering_{model}_change", args=[row.pk])).status_code == 200
    assert clerk.get(reverse("admin:metering_measuredevice_add")).status_code == 200
    strange = PointSource.objects.create(point=world.elsewhere, source=SourceKey.MSCONS)
    assert clerk.get(reverse("admin:metering_pointsource_change", args=[strange.pk])).status_code == 302


def test_the_token_of_a_client_is_shown_once(world: World) -> None:
    clerk = world.client("clerk")
    form = {"utility": world.market.utility.pk, "name": "billing"}
    page = clerk.post(reverse("admin:accounts_apiclient_add"), form, follow=True).content.decode()
    token = page.partition("shown this once: ")[2].partition("<")[0].strip()
    assert token.startswith("em_") and len(token) == 46
    assert token not in clerk.get(reverse("admin:accounts_apiclient_changelist")).content.decode()
    headers = {"Authorization": f"Bearer {token}"}
    content = mscons(reference="BY-CLIENT")
    response = Client().post("/api/v1/imports?source=mscons", content, "application/octet-stream", headers=headers)
    assert response.status_code == 202
    chosen = {"action": "revoke", "_selected_action": str(world.market.utility.api_clients.get().pk)}
    clerk.post(reverse("admin:accounts_apiclient_changelist"), chosen)
    response = Client().post("/api/v1/imports?source=mscons", content, "application/octet-stream", headers=headers)
    assert response.status_code == 401
