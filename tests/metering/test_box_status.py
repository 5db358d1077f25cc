"""POST /api/v1/box-status: what is stored, and what is refused."""

import asyncio
import datetime as dt
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone

from apps.metering.models import BoxStatus, Device, DeviceKey
from apps.metering.services.devices import end_key
from evidence import canonical
from evidence.canonical import encode_bytes
from evidence.keys import SoftwareKey
from meter_agent.condition import Condition
from meter_agent.destinations import Market
from meter_agent.journal import Journal
from meter_agent.link import Allowance
from tests.factories import DeviceFactory
from tests.meter_agent.support import make_config
from tests.metering.boxes import content, post, said
from tests.metering.head_end import HeadEnd, assert_refused, make_head_end

pytestmark = pytest.mark.django_db


@pytest.fixture
def head_end() -> HeadEnd:
    return make_head_end()


def test_the_newest_status_is_stored(head_end: HeadEnd) -> None:
    answer = post(said(head_end, 5))
    assert (answer.status_code, answer.json()) == (200, {"sequence": "5", "status": "stored"})
    answer = post(said(head_end, 7, version="1.5.0", backlog={"readings": "3", "batches": "0"}))
    assert answer.status_code == 200
    status = BoxStatus.objects.get()
    assert (status.device, status.sequence, status.version) == (head_end.device, 7, "1.5.0")
    assert (status.readings, status.batches, status.newest, status.refused) == (3, 0, 1_780_000_000, 0)
    assert (status.errors, status.free_disk) == (["roof grid meter"], 900_000_000)
    assert head_end.key.public_key.id == bytes(status.key_id)
    assert Device.objects.get(pk=head_end.device.pk).last_contact == status.received_at


def test_sequences_rise_and_the_answer_says_where_to_go_on(head_end: HeadEnd) -> None:
    first = said(head_end, 5)
    assert post(first).status_code == 200
    for again in (first, said(head_end, 5, version="2"), said(head_end, 4)):
        answer = post(again)
        assert_refused(answer, 409, "status.sequence", "not_rising")
        assert answer["Box-Sequence"] == "6"
    assert BoxStatus.objects.get().version == "1.4.2"
    assert_refused(post(said(head_end, 2**63)), 422, "status.sequence", "range")


def test_the_clock_is_what_the_box_found_or_what_its_instant_says(head_end: HeadEnd) -> None:
    assert post(said(head_end, 1, at=str(int(time.time()) - 500))).status_code == 200
    assert BoxStatus.objects.get().clock_offset in (-501, -500)
    assert post(said(head_end, 2, at=str(int(time.time()) - 500), clock_offset="-3")).status_code == 200
    assert BoxStatus.objects.get().clock_offset == -3


def test_a_backlog_grows_from_one_status_to_the_next_until_it_does_not(head_end: HeadEnd) -> None:
    since = timezone.now() - dt.timedelta(hours=1)
    expected: list[tuple[int, dt.datetime | None]] = [(5, None), (6, since), (9, since), (9, None), (10, since)]
    for sequence, (readings, growing) in enumerate(expected, start=1):
        assert post(said(head_end, sequence, backlog={"readings": str(readings), "batches": "0"})).status_code == 200
        assert BoxStatus.objects.get().growing_since == growing, readings
        BoxStatus.objects.update(received_at=since)


def test_what_a_box_of_ours_says_is_understood(head_end: HeadEnd, tmp_path: Path) -> None:
    device = bytes(head_end.device.ledger_id)
    ear: list[bytes] = []

    def hear(request: httpx.Request) -> httpx.Response:
        ear.append(request.content)
        return httpx.Response(200)

    async def say() -> None:
        with Journal(tmp_path / "journal.sqlite", device) as journal:
            config = replace(make_config(tmp_path), device=device)
            async with httpx.AsyncClient(transport=httpx.MockTransport(hear)) as client:
                market, allowance = Market("market", "http://market.test"), Allowance(journal, None)
                condition = Condition(market, config, journal, head_end.key, client, allowance, lambda: ())
                assert await condition.say()

    asyncio.run(say())
    assert post(json.loads(ear[0])).status_code == 200
    status = BoxStatus.objects.get()
    assert (status.device, status.readings, status.errors, status.version) == (head_end.device, 0, [], "0.1.0")
    assert abs(status.clock_offset) <= 1


def test_strangers_are_refused(head_end: HeadEnd) -> None:
    assert_refused(post(said(head_end, key=SoftwareKey.generate())), 403, "status.key", "unknown_key")
    forged = said(head_end)
    forged["signature"] = said(head_end, 2)["signature"]
    assert_refused(post(forged), 403, "signature", "wrong_signature")
    other = SoftwareKey.generate().public_key
    device = DeviceFactory.make(area=head_end.area, owner=head_end.device.owner)
    DeviceKey.objects.create(device=device, key_id=other.id, algorithm=other.algorithm, x=other.x, y=other.y)
    document = said(head_end)
    document["status"]["key"] = encode_bytes(other.id)
    assert_refused(post(document), 403, "status.key", "unknown_key")
    end_key(DeviceKey.objects.get(device=head_end.device))
    assert_refused(post(said(head_end)), 403, "status.key", "revoked_key")
    assert not BoxStatus.objects.exists()


def test_a_revoked_key_in_use_is_remembered_only_where_the_signature_fits(head_end: HeadEnd) -> None:
    key = DeviceKey.objects.get(device=head_end.device)
    end_key(key)
    forged = said(head_end)
    forged["signature"] = said(head_end, 2)["signature"]
    post(forged)
    key.refresh_from_db()
    assert key.misused_at is None
    post(said(head_end))
    key.refresh_from_db()
    assert key.misused_at is not None


@pytest.mark.parametrize(
    "change",
    [
        {"at": "-1"},
        {"at": 5},
        {"version": "x" * 51},
        {"version": "a\0b"},
        {"backlog": {"readings": "1"}},
        {"backlog": {"readings": "-1", "batches": "0"}},
        {"errors": ["x"] * 51},
        {"errors": "x"},
        {"errors": ["x" * 201]},
        {"free_disk": str(2**63)},
        {"clock_offset": str(-(2**63))},
        {"more": "1"},
    ],
)
def test_a_body_that_says_something_else_is_refused(head_end: HeadEnd, change: dict[str, Any]) -> None:
    found = content(**change)
    body = canonical.dumps(found) if change != {"at": 5} else b'{"at":5}'
    assert_refused(post(said(head_end, body=body)), 422, "body", "format")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": "1"}', b"[" * 100, b"x" * 16_001])
def test_a_body_that_is_no_canonical_json_is_refused(head_end: HeadEnd, body: bytes) -> None:
    assert_refused(post(said(head_end, body=body)), 422, "body", "format")


def test_what_is_no_signed_form_is_refused(head_end: HeadEnd) -> None:
    document = said(head_end)
    assert_refused(post({"status": document["status"]}), 400, "", "format")
    assert_refused(post(document | {"body": "e30"}), 400, "", "format")
