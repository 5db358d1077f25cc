"""GET and POST /api/v1/box-channel: what a box gets, what it may answer, and who is refused."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.metering.channel_api import LONGEST_WAIT
from apps.metering.choices import InstructionState
from apps.metering.doorbell import DOORBELL
from apps.metering.models import Device, DeviceKey, Instruction
from apps.metering.services.channel import LARGEST_LEAD, MOST_AT_ONCE
from apps.metering.services.devices import end_key
from apps.metering.services.instructions import instruct
from evidence.box_forms import read_signed
from evidence.boxes import AnswerState, InstructionKind
from evidence.boxes import Instruction as Said
from evidence.canonical import encode_bytes
from evidence.keys import SoftwareKey
from tests.metering.channel import URL, Box, make_channel, utility_key
from tests.metering.head_end import HeadEnd, assert_refused

KIND = InstructionKind
# What other threads are to see must be committed.
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def head_end(db: None) -> Iterator[HeadEnd]:
    yield make_channel()
    DOORBELL.close()


@pytest.fixture
def box(head_end: HeadEnd) -> Box:
    return Box.of(head_end)


def other_box(head_end: HeadEnd) -> Box:
    """Another device of the same utility."""
    device = Device.objects.create(area=head_end.area, owner=head_end.device.owner, name="other box")
    key = SoftwareKey.generate()
    public = key.public_key
    DeviceKey.objects.create(device=device, key_id=public.id, algorithm=public.algorithm, x=public.x, y=public.y)
    return Box(bytes(device.ledger_id), key)


# Polling.


def test_a_box_gets_what_it_was_told_in_order(head_end: HeadEnd, box: Box) -> None:
    given = [instruct(head_end.device, KIND.RESTART, {"n": n}) for n in range(MOST_AT_ONCE + 2)]
    answer = box.poll()
    assert answer.status_code == 200
    got = [read_signed(Said, "instruction", each) for each in answer.json()["instructions"]]
    assert [each.said for each in got] == [each.said for each in given[:MOST_AT_ONCE]]
    assert [each.body for each in got[:2]] == [b'{"n":0}', b'{"n":1}']
    public = utility_key(head_end).public_key
    assert all(public.verifies(each.said.digest, each.signature) for each in got)

    box.sequence = given[8].sequence
    got = [read_signed(Said, "instruction", each) for each in box.poll().json()["instructions"]]
    assert [each.said.sequence for each in got] == [10, 11, 12]
    received = Instruction.objects.exclude(received_at=None).values_list("sequence", flat=True)
    assert sorted(received) == list(range(1, 10))


def test_nothing_to_tell(head_end: HeadEnd, box: Box) -> None:
    answer = box.poll()
    assert (answer.status_code, answer.content) == (204, b"")
    head_end.device.refresh_from_db()
    assert head_end.device.last_contact is not None
    instruct(Device.objects.get(ledger_id=other_box(head_end).device), KIND.RESTART, {})
    assert box.poll().status_code == 204


def test_expired_instructions_are_not_told_and_later_ones_wait_for_their_time(head_end: HeadEnd, box: Box) -> None:
    now = int(timezone.now().timestamp())
    instruct(head_end.device, KIND.RESTART, {}, since=now - 100, until=now - 1)
    assert box.poll().status_code == 204
    early = instruct(head_end.device, KIND.RESTART, {}, since=now + 1000)
    instruct(head_end.device, KIND.RESTART, {})
    # Sequences rise: the box would never take the early one after the one behind it.
    assert box.poll().status_code == 204
    Instruction.objects.filter(pk=early.pk).update(since=now)
    assert len(box.poll().json()["instructions"]) == 2


def test_a_poll_counts_once(head_end: HeadEnd, box: Box) -> None:
    instruct(head_end.device, KIND.RESTART, {})
    at = box.next_number()
    seen = box.credentials(at)
    assert box.poll(credentials=seen).status_code == 200
    for again in (seen, box.credentials(at), box.credentials(at - 1)):
        answer = box.poll(credentials=again)
        assert_refused(answer, 409, "poll.at", "not_rising")
        assert int(answer["Box-Clock"]) > at
    assert box.poll(credentials=box.credentials(int(answer["Box-Clock"]))).status_code == 200


def test_a_clock_far_behind_can_still_poll_and_one_far_ahead_is_told_the_time(head_end: HeadEnd, box: Box) -> None:
    assert box.poll(credentials=box.credentials(5)).status_code == 204
    now = int(time.time() * 1000)
    answer = box.poll(credentials=box.credentials(now + LARGEST_LEAD * 1000 + 60_000))
    assert_refused(answer, 409, "poll.at", "clock_ahead")
    assert now <= int(answer["Box-Clock"]) <= now + 60_000
    assert box.poll(credentials=box.credentials(int(answer["Box-Clock"]))).status_code == 204


def test_strangers_get_nothing(head_end: HeadEnd, box: Box) -> None:
    instruct(head_end.device, KIND.RESTART, {})
    other = other_box(head_end)
    assert_refused(box.client.get(URL), 403, "poll", "missing")
    assert_refused(box.client.get(URL, headers={"Authorization": "Bearer x"}), 403, "poll", "missing")
    stranger = Box(box.device, SoftwareKey.generate())
    assert_refused(stranger.poll(), 403, "poll.key", "unknown_key")
    assert_refused(Box(box.device, other.key).poll(), 403, "poll.key", "unknown_key")
    forged = Box(box.device, other.key).credentials(key=box.key.public_key.id)
    assert_refused(box.poll(credentials=forged), 403, "signature", "wrong_signature")
    end_key(DeviceKey.objects.get(device=head_end.device))
    assert_refused(box.poll(), 403, "poll.key", "revoked_key")
    head_end.device.refresh_from_db()
    assert (head_end.device.polled_at, head_end.device.last_contact) == (0, None)


@pytest.mark.parametrize("credentials", ["Box", "Box ", "Box !!", "Box AA", f"Box {encode_bytes(b'x' * 4000)}"])
def test_credentials_that_are_none(box: Box, credentials: str) -> None:
    assert_refused(box.poll(credentials=credentials), 400, "poll", "format")


@pytest.mark.parametrize("wait", ["-1", "1.5", "", "x", "99999"])
def test_a_wait_that_is_no_number_of_seconds(box: Box, wait: str) -> None:
    answer = box.client.get(f"{URL}?wait={wait}", headers={"Authorization": box.credentials()})
    assert_refused(answer, 400, "wait", "format")


# Waiting.


def in_thread(work: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((work(), time.monotonic()))
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def until_waiting(count: int) -> None:
    deadline = time.monotonic() + 10
    while len(DOORBELL._waiting) < count or not DOORBELL._listening.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@committed
def test_who_waits_is_told_within_a_second(head_end: HeadEnd, box: Box) -> None:
    thread, results = in_thread(lambda: box.poll(wait=LONGEST_WAIT))
    until_waiting(1)
    time.sleep(0.2)
    assert not results
    given = time.monotonic()
    instruct(head_end.device, KIND.RESTART, {})
    thread.join()
    answer, at = results[0]
    assert [each["instruction"]["sequence"] for each in answer.json()["instructions"]] == ["1"]
    assert at - given < 1


@committed
def test_who_waits_hears_nothing_of_others_and_asks_the_database_twice(head_end: HeadEnd, box: Box) -> None:
    other = Device.objects.get(ledger_id=other_box(head_end).device)
    thread, results = in_thread(lambda: box.poll(wait=1))
    until_waiting(1)
    begun = time.monotonic()
    instruct(other, KIND.RESTART, {})
    thread.join()
    answer, at = results[0]
    assert answer.status_code == 204
    assert 0.7 < at - begun < 3


@committed
def test_no_more_wait_than_may_and_a_box_waits_once(head_end: HeadEnd, box: Box, settings: Any) -> None:
    settings.BOXES_WAITING = 1
    thread, results = in_thread(lambda: box.poll(wait=LONGEST_WAIT))
    until_waiting(1)
    full = other_box(head_end).poll(wait=LONGEST_WAIT)
    assert (full.status_code, full["Retry-After"]) == (204, "15")
    # The same box again: whoever waited for it before is let go.
    again, later = in_thread(lambda: box.poll(wait=LONGEST_WAIT))
    thread.join()
    assert results[0][0].status_code == 204
    until_waiting(1)
    instruct(head_end.device, KIND.RESTART, {})
    again.join()
    assert later[0][0].status_code == 200


@committed
def test_a_lost_connection_of_the_listener_is_made_up_for(head_end: HeadEnd, box: Box) -> None:
    thread, results = in_thread(lambda: box.poll(wait=LONGEST_WAIT))
    until_waiting(1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN metering_doorbell' AND datname = current_database()"
        )
        assert cursor.fetchall() == [(True,)]
    # Whoever waited is let go, since something may have been said meanwhile, and may wait again.
    thread.join()
    assert results[0][0].status_code == 204
    thread, results = in_thread(lambda: box.poll(wait=LONGEST_WAIT))
    until_waiting(1)
    instruct(head_end.device, KIND.RESTART, {})
    thread.join()
    assert results[0][0].status_code == 200


# Answers.


def test_an_answer_is_stored_once(head_end: HeadEnd, box: Box) -> None:
    given = instruct(head_end.device, KIND.OUTPUT, {})
    body = b'{"code":"limit"}'
    answer = box.answer(given, AnswerState.REFUSED, body)
    assert box.post(answer).json() == {"sequence": "1", "status": "stored"}
    given.refresh_from_db()
    assert (given.state, bytes(given.answer or b""), given.answer_at) == (InstructionState.REFUSED, body, 1_780_000_000)
    assert given.received_at == given.answered_at
    assert box.poll().status_code == 204

    first = Instruction.objects.values().get()
    for again in (answer, box.answer(given, AnswerState.REFUSED, body)):
        assert box.post(again).json() == {"sequence": "1", "status": "known"}
    for otherwise in (box.answer(given, AnswerState.DONE, body), box.answer(given, AnswerState.REFUSED, b"{}")):
        assert_refused(box.post(otherwise), 409, "answer", "answered_otherwise")
    assert Instruction.objects.values().get() == first


def test_an_answer_after_the_end_counts(head_end: HeadEnd, box: Box) -> None:
    given = instruct(head_end.device, KIND.OUTPUT, {}, since=100, until=200)
    assert given.is_expired
    assert box.post(box.answer(given)).status_code == 200
    given.refresh_from_db()
    assert (given.state, given.is_expired) == (InstructionState.DONE, False)


def test_answers_of_others(head_end: HeadEnd, box: Box) -> None:
    given = instruct(head_end.device, KIND.OUTPUT, {})
    other = other_box(head_end)
    assert_refused(other.post(other.answer(given)), 404, "answer.instruction", "unknown_instruction")
    assert_refused(other.post(other.answer(given, device=box.device)), 403, "answer.key", "unknown_key")
    forged = other.answer(given, device=box.device, key=box.key.public_key.id)
    assert_refused(other.post(forged), 403, "signature", "wrong_signature")
    # Replayed: the answer of one device to an instruction with the same sequence of another.
    theirs = instruct(Device.objects.get(ledger_id=other.device), KIND.OUTPUT, {})
    assert_refused(box.post(box.answer(theirs)), 404, "answer.instruction", "unknown_instruction")
    given.refresh_from_db()
    assert given.state == InstructionState.PENDING


@pytest.mark.parametrize(
    ("change", "status", "field", "rule"),
    [
        ({"state": 4}, 422, "answer.state", "unknown_state"),
        ({"sequence": 2}, 404, "answer.instruction", "unknown_instruction"),
        ({"instruction": b"\x01" * 32}, 404, "answer.instruction", "unknown_instruction"),
    ],
)
def test_answers_that_are_none(
    head_end: HeadEnd, box: Box, change: dict[str, Any], status: int, field: str, rule: str
) -> None:
    given = instruct(head_end.device, KIND.OUTPUT, {})
    assert_refused(box.post(box.answer(given, **change)), status, field, rule)


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"a":"' + b"a" * 70_000 + b'"}', b"[" * 100, b"\xff"])
def test_bodies_that_are_no_object(head_end: HeadEnd, box: Box, body: bytes) -> None:
    given = instruct(head_end.device, KIND.OUTPUT, {})
    assert_refused(box.post(box.answer(given, body=body)), 422, "body", "format")


def test_what_is_no_answer(head_end: HeadEnd, box: Box) -> None:
    given = instruct(head_end.device, KIND.OUTPUT, {})
    good = box.answer(given)
    wrongs: list[Any] = [[], {}, good | {"more": 1}, good | {"body": encode_bytes(b"other")}, good | {"answer": {}}]
    for wrong in wrongs:
        assert_refused(box.post(wrong), 400, "", "format")
    large = box.client.post(URL, json.dumps(good | {"x": "x" * 1_100_000}), content_type="application/json")
    assert_refused(large, 413, "", "too_large")
