"""What staff see of their boxes, and what they may do about them."""

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.choices import MemberRole
from apps.accounts.models import User
from apps.assets.models import MarketArea
from apps.ledger.fields import random_id
from apps.metering.choices import AlarmKind
from apps.metering.models import Alarm, BoxStatus, Device, DeviceKey, EnrolmentCode, Measurement
from apps.metering.services.devices import end_key
from apps.notifications.models import MailChoice
from apps.portal.boxes import lag_of
from apps.web.formatting import EN_DASH as DASH
from evidence.keys import SoftwareKey
from tests.conftest import signed_in
from tests.factories import AreaFactory, DeviceFactory, MembershipFactory, PointFactory, UserFactory
from tests.metering.head_end import HeadEnd, make_head_end, post

pytestmark = pytest.mark.django_db
URL = "/fleet/"


def box(area: MarketArea, name: str, **values: Any) -> Device:
    device: Device = DeviceFactory.make(area=area, name=name, owner__name=f"Owner of {name}", **values)
    DeviceKey.objects.create(device=device, key_id=device.ledger_id, algorithm=1, x=bytes(32), y=bytes(32))
    return device


def alarm(device: Device, kind: AlarmKind = AlarmKind.CLOCK, **values: Any) -> Alarm:
    given = {"values": {"seconds": 90}, "opened_at": timezone.now()} | values
    return Alarm.objects.create(device=device, kind=kind, **given)


def say(device: Device, **change: Any) -> BoxStatus:
    values: dict[str, Any] = {
        "sequence": 1,
        "key_id": device.ledger_id,
        "signature": bytes(64),
        "body": b"{}",
        "received_at": timezone.now(),
        "version": "1.4.2",
        "readings": 1234,
        "batches": 3,
        "refused": 0,
        "free_disk": 900_000_000,
        "clock_offset": -75,
        "errors": ["<b>house grid meter</b>"],
    }
    return BoxStatus.objects.create(device=device, **values | change)


@pytest.fixture
def area(db: None) -> MarketArea:
    found: MarketArea = AreaFactory.make(name="Lindenau")
    return found


@pytest.fixture
def clerk(area: MarketArea) -> User:
    user: User = UserFactory.make(email="clerk@example.org", is_staff=True)
    MembershipFactory.make(user=user, party=area.utility, role=MemberRole.STAFF)
    return user


@pytest.fixture
def client(clerk: User) -> Client:
    return signed_in(clerk)


def names(client: Client, query: str = "") -> list[str]:
    response = client.get(URL + query)
    assert response.status_code == 200
    return re.findall(r'<th scope="row"[^>]*><a href="/fleet/\d+/">([^<]+)</a>', response.content.decode())


def test_boxes_with_alarms_stand_first(area: MarketArea, client: Client) -> None:
    box(area, "a")
    alarm(box(area, "b"))
    alarm(box(area, "c"), closed_at=timezone.now())
    page = client.get(URL).content.decode()
    assert names(client) == ["b", "a", "c"]
    assert "1 alarm is open." in page


def test_the_list_says_how_far_readings_are_behind(area: MarketArea, client: Client) -> None:
    now = int(timezone.now().timestamp())
    say(box(area, "late", newest_end=now - 3 * 3600 - 60, last_contact=timezone.now()))
    box(area, "new")
    page = client.get(URL).content.decode()
    for words in ("3 h", "0\u00a0min\u00a0ago", "1,234", "1.4.2", "never", "in order"):
        assert words in page, words


def test_it_can_be_narrowed(area: MarketArea, client: Client) -> None:
    other: MarketArea = AreaFactory.make(utility=area.utility)
    silent, revoked = box(area, "silent", newest_end=5), box(other, "revoked", newest_end=5)
    alarm(silent, AlarmKind.SILENCE)
    alarm(revoked, AlarmKind.CLOCK)
    end_key(revoked.keys.get())
    measuring = box(area, "measuring")
    measuring.points.add(PointFactory.make(area=area, code="MALO-77"), PointFactory.make(area=area, code="MALO-78"))
    for query, found in (
        ("?state=alarm", ["revoked", "silent"]),
        ("?state=silence", ["silent"]),
        ("?state=clock", ["revoked"]),
        ("?state=never", ["measuring"]),
        ("?state=revoked", ["revoked"]),
        (f"?area={other.pk}", ["revoked"]),
        ("?text=malo-7", ["measuring"]),
        ("?text=owner of sil", ["silent"]),
        ("?state=nonsense&area=0", ["revoked", "silent", "measuring"]),
        ("?text=nothing", []),
    ):
        assert names(client, query) == found, query
    assert "None of your boxes is like that now." in client.get(f"{URL}?text=nothing").content.decode()


def test_pages_of_the_list_keep_what_it_is_narrowed_to(area: MarketArea, client: Client) -> None:
    for number in range(12):
        alarm(box(area, f"box {number:02}"))
    assert names(client, "?state=alarm&page=2") == ["box 10", "box 11"]
    page = client.get(f"{URL}?state=alarm").content.decode()
    assert 'href="?state=alarm&amp;page=2"' in page


def test_another_utilitys_boxes_do_not_exist(area: MarketArea, client: Client) -> None:
    elsewhere = box(AreaFactory.make(), "elsewhere")
    open_there = alarm(elsewhere)
    assert names(client) == []
    assert client.get(f"{URL}{elsewhere.pk}/").status_code == 404
    assert client.post(f"{URL}alarms/{open_there.pk}/seen/").status_code == 404
    open_there.refresh_from_db()
    assert open_there.acknowledged_at is None


def test_a_box_says_what_is_wrong_and_a_clerk_looks_after_it(area: MarketArea, client: Client, clerk: User) -> None:
    device = box(area, "box")
    say(device)
    found = alarm(device)
    page = client.get(f"{URL}{device.pk}/").content.decode()
    for words in ("The clock of box in Lindenau is off by 90 seconds.", "75 s behind", "1,234", "I look after it"):
        assert words in page, words
    assert "&lt;b&gt;house grid meter&lt;/b&gt;" in page
    response = client.post(f"{URL}alarms/{found.pk}/seen/")
    assert (response.status_code, response.headers["Location"]) == (302, f"{URL}{device.pk}/")
    page = client.get(f"{URL}{device.pk}/").content.decode()
    assert "I look after it" not in page
    assert f"Seen by {clerk}" in page
    assert client.get(f"{URL}alarms/{found.pk}/seen/").status_code == 405


def test_an_auditor_looks_and_does_not_touch(area: MarketArea) -> None:
    auditor = UserFactory.make()
    MembershipFactory.make(user=auditor, party=area.utility, role=MemberRole.AUDITOR)
    found = alarm(box(area, "box"))
    page = signed_in(auditor).get(f"{URL}{found.device_id}/")
    assert page.status_code == 200
    assert "I look after it" not in page.content.decode()
    assert signed_in(auditor).post(f"{URL}alarms/{found.pk}/seen/").status_code == 403


def test_the_picture_shows_by_the_hour_how_late_readings_came() -> None:
    head_end: HeadEnd = make_head_end()
    zone, today = head_end.area.zone, head_end.area.today
    noon = int(dt.datetime.combine(today - dt.timedelta(days=1), dt.time(12), tzinfo=zone).timestamp())
    assert post(head_end.body(head_end.readings([noon + 900 * n for n in range(8)]))).status_code == 200
    received = dt.datetime.fromtimestamp(noon + 2 * 3600 + 600, zone)
    head_end.device.batches.update(received_at=received)
    chart = lag_of(head_end.device, days=2)
    assert chart.days == (today - dt.timedelta(days=1), today)
    assert chart.minutes[:24] == (*[None] * 12, 70, 10, *[None] * 10)
    assert set(chart.minutes[24:]) <= {None}
    assert len(chart.minutes) == 24 + timezone.now().astimezone(zone).hour


def test_people_choose_which_notices_come_by_mail(client: Client, clerk: User) -> None:
    url = reverse("portal:notices")
    page = client.get(url).content.decode()
    assert page.count("checked") == page.count('name="kinds"') == len(AlarmKind)
    assert client.post(url, {"kinds": ["metering.silence"]}).status_code == 302
    assert set(MailChoice.objects.filter(is_wanted=True).values_list("user", "kind")) == {
        (clerk.pk, "metering.silence")
    }
    assert client.get(url).content.decode().count("checked") == 1
    assert client.post(url, {"kinds": ["metering.nonsense"]}).status_code == 200
    assert client.post(url).status_code == 302
    assert not MailChoice.objects.filter(is_wanted=True).exists()


def test_who_is_no_clerk_is_asked_nothing_about_boxes(area: MarketArea) -> None:
    customer = UserFactory.make()
    MembershipFactory.make(user=customer)
    page = signed_in(customer).get(reverse("portal:notices")).content.decode()
    assert 'name="kinds"' not in page


def test_the_list_can_be_sorted(area: MarketArea, client: Client) -> None:
    now = timezone.now()
    say(box(area, "b", newest_end=2_000, last_contact=now), readings=7, version="1.2.0")
    say(box(area, "a", newest_end=1_000, last_contact=now - dt.timedelta(hours=2)), readings=3, version="1.1.0")
    alarm(box(area, "c"))
    for order, found in (
        ("", "cab"),
        ("contact", "abc"),
        ("behind", "abc"),
        ("waiting", "bac"),
        ("version", "abc"),
        ("customer", "abc"),
        ("nonsense", "cab"),
    ):
        assert "".join(names(client, f"?order={order}")) == found, order
    assert names(client, "?order=waiting&state=never") == ["c"]
    assert "Show all" not in client.get(f"{URL}?order=waiting").content.decode()


def test_a_box_shows_which_of_its_keys_counts_and_where_it_is_kept(
    area: MarketArea, client: Client, clerk: User
) -> None:
    device = box(area, "box")
    chip = SoftwareKey.generate().public_key
    device.keys.update(x=chip.x, y=chip.y, algorithm=chip.algorithm, grace_until=timezone.now() + dt.timedelta(days=1))
    DeviceKey.objects.create(device=device, key_id=random_id(), algorithm=1, x=bytes(32), y=bytes(32))
    enrolment = EnrolmentCode.objects.create(
        area=area,
        owner=device.owner,
        device=device,
        name="box",
        made_by=clerk,
        expires_at=timezone.now(),
        code_id=random_id(),
        algorithm=chip.algorithm,
        x=chip.x,
        y=chip.y,
        attestation={"tpm": "ab"},
    )
    assert cells(client, device) == [(DASH, "in use"), ("a security chip (TPM)", "exchanged, still accepted")]
    device.keys.filter(x=chip.x).update(grace_until=timezone.now())
    EnrolmentCode.objects.filter(pk=enrolment.pk).update(attestation=None)
    assert cells(client, device) == [(DASH, "in use"), ("a file", "exchanged")]
    end_key(device.keys.get(x=chip.x))
    assert cells(client, device)[1] == ("a file", "revoked")


def cells(client: Client, device: Device) -> list[tuple[str, str]]:
    """Where each key is kept, and its state."""
    page = client.get(f"{URL}{device.pk}/").content.decode()
    [table] = re.findall(r"<h2>Keys</h2>(.*?)</section>", page, re.DOTALL)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr")[2:]]
    return [(plain(row[0]), plain(row[-1])) for row in rows]


def plain(markup: str) -> str:
    return re.sub(r"<[^>]*>", "", markup).strip()


def test_a_box_shows_what_it_measured_in_the_last_hours() -> None:
    head_end = make_head_end(points=2, time_zone="UTC")
    clerk = UserFactory.make()
    MembershipFactory.make(user=clerk, party=head_end.area.utility, role=MemberRole.STAFF)
    client = signed_in(clerk)
    assert "What it measured in the last hours" not in client.get(f"{URL}{head_end.device.pk}/").content.decode()
    last = int(timezone.now().timestamp()) // 900 * 900 - 900
    assert post(head_end.body(head_end.readings([last], value=100, points=2))).status_code == 200
    page = client.get(f"{URL}{head_end.device.pk}/").content.decode()
    assert "What it measured in the last hours" in page
    # 100 and 101 Wh in a quarter of an hour.
    assert "at most 0.80\u00a0kW" in page
    Measurement.objects.update(until=1)
    assert "What it measured in the last hours" not in client.get(f"{URL}{head_end.device.pk}/").content.decode()
