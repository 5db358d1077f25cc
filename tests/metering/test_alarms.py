"""Alarms open once and close by themselves, and staff are told of both."""

import datetime as dt
import time
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.choices import MemberRole
from apps.accounts.models import User
from apps.metering.choices import AlarmKind
from apps.metering.conditions import QUICK, SLOW
from apps.metering.models import Alarm, BoxStatus, Device, DeviceKey, Thresholds
from apps.metering.services.alarms import acknowledge, watch
from apps.metering.services.devices import end_key
from apps.notifications.models import Notice
from apps.notifications.services.letters import send_due
from tests.factories import AreaFactory, DeviceFactory, MembershipFactory, UserFactory
from tests.metering.boxes import post as post_status
from tests.metering.boxes import said
from tests.metering.head_end import HeadEnd, make_head_end, post

pytestmark = pytest.mark.django_db


@pytest.fixture
def head_end() -> HeadEnd:
    return make_head_end()


@pytest.fixture
def clerk(head_end: HeadEnd) -> User:
    user: User = UserFactory.make(email="clerk@example.org", language="de")
    MembershipFactory.make(user=user, party=head_end.area.utility, role=MemberRole.STAFF)
    return user


def add_key(device: Device) -> None:
    DeviceKey.objects.create(device=device, key_id=device.ledger_id, algorithm=1, x=bytes(32), y=bytes(32))


def heard(head_end: HeadEnd, minutes: float) -> None:
    end = int(time.time() - minutes * 60)
    Device.objects.filter(pk=head_end.device.pk).update(newest_end=end)


def standing() -> list[str]:
    return list(Alarm.objects.filter(closed_at=None).order_by("kind").values_list("kind", flat=True))


def test_silence_is_told_once_and_that_it_is_over(head_end: HeadEnd, clerk: User) -> None:
    heard(head_end, 119)
    watch(head_end.area, QUICK)
    assert standing() == []
    heard(head_end, 121)
    for _ in range(3):
        watch(head_end.area, QUICK)
    assert standing() == ["silence"]
    assert send_due() == 1
    assert [(sent.to, sent.subject) for sent in mail.outbox] == [
        (["clerk@example.org"], "Keine Messwerte von box"),
    ]
    assert "box in Area hat seit mehr als 120 Minuten keine Messwerte gesendet." in mail.outbox[0].body
    heard(head_end, 1)
    watch(head_end.area, QUICK)
    assert standing() == []
    send_due()
    assert [sent.subject for sent in mail.outbox[1:]] == ["Vorbei: Keine Messwerte von box"]
    heard(head_end, 500)
    watch(head_end.area, QUICK)
    assert (Alarm.objects.count(), Notice.objects.count(), standing()) == (2, 2, ["silence"])


def test_a_box_that_never_sent_is_silent_from_its_key_on(head_end: HeadEnd) -> None:
    watch(head_end.area, QUICK)
    assert standing() == []
    DeviceKey.objects.update(created_at=timezone.now() - dt.timedelta(minutes=121))
    watch(head_end.area, QUICK)
    assert standing() == ["silence"]
    end_key(head_end.device_key)
    watch(head_end.area, QUICK)
    assert standing() == []


def test_each_area_has_its_own_thresholds(head_end: HeadEnd) -> None:
    area = AreaFactory.make(utility=head_end.area.utility)
    other = DeviceFactory.make(area=area, owner=head_end.device.owner, newest_end=int(time.time()) - 1800)
    add_key(other)
    heard(head_end, 30)
    Thresholds.objects.create(area=area, silence_minutes=29)
    for each in (head_end.area, area):
        watch(each, QUICK)
    assert list(Alarm.objects.values_list("device", flat=True)) == [other.pk]


def test_what_a_box_says_leads_to_alarms(head_end: HeadEnd) -> None:
    heard(head_end, 0)

    def say(sequence: int, **change: Any) -> None:
        assert post_status(said(head_end, sequence, **change)).status_code == 200
        watch(head_end.area, QUICK)

    say(1, clock_offset="59", backlog={"readings": "500", "batches": "0"})
    assert standing() == []
    say(2, clock_offset="-60", backlog={"readings": "499", "batches": "0"})
    assert standing() == ["clock"]
    BoxStatus.objects.update(received_at=timezone.now() - dt.timedelta(minutes=121))
    say(3, clock_offset="0", backlog={"readings": "500", "batches": "0"})
    assert standing() == ["backlog"]
    say(4, clock_offset="0", backlog={"readings": "499", "batches": "0"})
    assert standing() == []


def test_a_refused_batch_is_an_alarm_for_a_day(head_end: HeadEnd) -> None:
    heard(head_end, 0)
    refused = head_end.changed(lambda body: body["series"][0]["values"].pop())
    assert post(refused).status_code == 422
    watch(head_end.area, QUICK)
    assert standing() == ["refused"]
    assert Alarm.objects.get().values == {"rule": "wrong_count"}
    Device.objects.update(refused_at=timezone.now() - dt.timedelta(hours=25))
    watch(head_end.area, QUICK)
    assert standing() == []


def test_a_box_with_a_new_journal_is_no_alarm(head_end: HeadEnd) -> None:
    assert post(head_end.body(sequence=9)).status_code == 200
    later = head_end.readings([1_780_300_800 + 900 * n for n in range(4)])
    assert post(head_end.body(later, sequence=3)).status_code == 409
    assert Device.objects.get(pk=head_end.device.pk).refused_at is None


def test_a_stranger_cannot_make_a_box_look_refused(head_end: HeadEnd) -> None:
    def change(body: dict[str, Any]) -> None:
        body["signature"] = body["signature"][::-1]

    post(head_end.changed(change))
    assert Device.objects.get(pk=head_end.device.pk).refused_at is None


def test_a_revoked_key_in_use_is_an_alarm(head_end: HeadEnd) -> None:
    end_key(head_end.device_key)
    assert post(head_end.body()).status_code == 403
    watch(head_end.area, QUICK)
    assert standing() == ["revoked_key"]


def test_the_newest_slot_never_goes_back(head_end: HeadEnd) -> None:
    readings = head_end.readings()
    assert post(head_end.body(readings[48:], sequence=1)).status_code == 200
    end = readings[-1].slot + 900
    assert Device.objects.get(pk=head_end.device.pk).newest_end == end
    assert post(head_end.body(readings[:48], sequence=2)).status_code == 200
    assert Device.objects.get(pk=head_end.device.pk).newest_end == end


def test_an_alarm_is_seen_once(head_end: HeadEnd, clerk: User) -> None:
    heard(head_end, 500)
    watch(head_end.area, QUICK)
    alarm = Alarm.objects.get()
    assert acknowledge(alarm, clerk)
    first = Alarm.objects.get()
    assert (first.acknowledged_by, first.acknowledged_at is not None) == (clerk, True)
    assert not acknowledge(alarm, UserFactory.make())
    assert Alarm.objects.get().acknowledged_by == clerk


def test_the_conditions_are_all_kinds_of_alarms() -> None:
    assert sorted([*QUICK, *SLOW]) == sorted(AlarmKind)


def test_the_number_of_queries_does_not_grow_with_the_boxes(head_end: HeadEnd, clerk: User) -> None:
    counts = []
    for more in (3, 297):
        for _ in range(more):
            add_key(DeviceFactory.make(area=head_end.area, owner=head_end.device.owner, newest_end=5))
        with CaptureQueriesContext(connection) as captured:
            watch(head_end.area, QUICK)
        assert (
            Alarm.objects.filter(closed_at=None, kind="silence").count()
            == Device.objects.exclude(newest_end=None).count()
        )
        counts.append(len(captured))
    assert counts[0] == counts[1]
