"""Instructions to devices: signed by their utility, in an order of each device's own."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services.parties import _new_key
from apps.metering.choices import InstructionState
from apps.metering.models import Instruction
from apps.metering.services.instructions import DEFAULT_SECONDS, instruct
from evidence import boxes
from tests.metering.head_end import HeadEnd, make_head_end

KIND = boxes.InstructionKind


@pytest.fixture
def head_end(transactional_db: None) -> HeadEnd:
    made = make_head_end()
    _new_key(made.area.utility)
    return made


def test_an_instruction_is_signed_by_the_key_of_the_utility(head_end: HeadEnd) -> None:
    clerk = User.objects.create_user(email="clerk@example.org", password="x")
    before = int(timezone.now().timestamp())
    made = instruct(head_end.device, KIND.RESTART, {"why": "new cable"}, by=clerk)
    made.refresh_from_db()
    key = head_end.area.utility.keys.get()
    assert key.public_key.verifies(made.said.digest, bytes(made.signature))
    assert made.said == boxes.Instruction(
        device=bytes(head_end.device.ledger_id),
        issuer=bytes(key.key_id),
        sequence=1,
        kind=5,
        since=made.since,
        until=made.since + DEFAULT_SECONDS,
        body=boxes.body_hash(b'{"why":"new cable"}'),
    )
    assert before <= made.since <= timezone.now().timestamp()
    assert (made.state, made.given_by, made.is_expired) == (InstructionState.PENDING, clerk, False)


def test_instructions_given_at_once_stand_in_one_order(head_end: HeadEnd) -> None:
    start = threading.Barrier(6)

    def give() -> None:
        start.wait()
        instruct(head_end.device, KIND.REREAD, {})
        connection.close()

    threads = [threading.Thread(target=give) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Instruction.objects.values_list("sequence", flat=True)) == [1, 2, 3, 4, 5, 6]


def test_an_instruction_that_nobody_fetched_in_time_is_expired(head_end: HeadEnd) -> None:
    assert instruct(head_end.device, KIND.RESTART, {}, since=100, until=200).is_expired
