"""Transactions that the ledger did not apply and never will: their commands go out again."""

from apps.ledger.choices import AttemptResult, CommandState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Attempt, Command, Lane, Stream
from apps.ledger.services.push import MOST_CONFLICTS
from apps.ledger.services.status import status
from apps.ledger.services.sweep import sweep
from evidence.commands import Batch
from ledger_adapters.exceptions import Conflict, OutcomeUnknown, Rejected
from tests.ledger.faulty import FaultyLedger, raising
from tests.ledger.support import anchor, assert_once_each, queue

CONFLICT = raising(Conflict("somebody else wrote to the same entry"))


def sizes(ledger: FaultyLedger) -> list[int]:
    return [len(Batch.decode(sent.payload[32:]).envelopes) for sent in ledger.sent]


def test_after_a_conflict_the_commands_go_out_in_a_new_transaction(ledger: FaultyLedger) -> None:
    ids = queue(anchor(1, 1), anchor(1, 2))
    ledger.fail("submit", CONFLICT)
    sweep(DEFAULT)
    assert len({sent.id for sent in ledger.sent}) == 2
    assert sizes(ledger) == [2, 2]
    results = list(Attempt.objects.order_by("id").values_list("result", flat=True))
    assert results == [AttemptResult.CONFLICT, AttemptResult.ACCEPTED]
    assert_once_each(ids)


def test_from_the_second_conflict_on_transactions_are_halved(ledger: FaultyLedger) -> None:
    ledger.limits = type(ledger.limits)(commands=4, bytes=ledger.limits.bytes)
    ids = queue(*(anchor(1, number) for number in range(4)))
    ledger.fail("submit", CONFLICT, CONFLICT, CONFLICT)
    sweep(DEFAULT)
    assert sizes(ledger) == [4, 4, 2, 1, 3], "whole again after the first that was applied"
    assert set(Lane.objects.values_list("conflicts", flat=True)) == {0}
    assert_once_each(ids)


def test_a_lane_with_nothing_but_conflicts_waits_for_the_next_sweep(ledger: FaultyLedger) -> None:
    ids = queue(anchor(1, 1))
    ledger.fail("submit", *[CONFLICT] * (MOST_CONFLICTS + 1))
    sweep(DEFAULT)
    assert Command.objects.get().state == CommandState.QUEUED
    assert len(ledger.sent) == MOST_CONFLICTS + 1
    sweep(DEFAULT)
    assert_once_each(ids)


def test_a_conflict_can_come_to_light_when_the_outcome_is_asked_for(ledger: FaultyLedger) -> None:
    ids = queue(anchor(1, 1))
    ledger.fail("submit", raising(OutcomeUnknown("the line went dead")))
    sweep(DEFAULT)
    ledger.fail("outcome", CONFLICT)
    sweep(DEFAULT)
    assert_once_each(ids)


def test_one_command_that_the_ledger_never_takes_does_not_hold_up_the_others_of_its_lane(ledger: FaultyLedger) -> None:
    """Of a transaction that is refused whole, the command to blame is found by making it smaller."""
    refused = Rejected("too large for a block")
    ledger.limits = type(ledger.limits)(commands=2, bytes=ledger.limits.bytes)
    bad, good = queue(anchor(1, 1), anchor(2, 1))
    Stream.objects.update(lane=0)

    def refuse_bad() -> None:
        if any(envelope == bad_envelope for envelope in Batch.decode(ledger.sent[-1].payload[32:]).envelopes):
            raise refused

    bad_envelope = bytes(Command.objects.get(command_id=bad).envelope)
    ledger.fail("submit", *[refuse_bad] * 10)
    for _ in range(3):
        sweep(DEFAULT)
    states = dict(Command.objects.values_list("command_id", "state"))
    assert {bytes(command): state for command, state in states.items()} == {
        bad: CommandState.QUEUED,
        good: CommandState.CONFIRMED,
    }
    assert Stream.objects.get(parked_by__command_id=bad)
    assert status(DEFAULT).parked == 1
