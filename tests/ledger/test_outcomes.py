"""What a worker does when the ledger is away, answers late, or says nothing."""

import pytest

from apps.ledger.choices import AttemptResult, CommandState, TransactionState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Attempt, Command, Event, Transaction
from apps.ledger.services.status import status
from apps.ledger.services.sweep import sweep
from ledger_adapters.exceptions import OutcomeUnknown, Transient
from tests.ledger.faulty import FaultyLedger, raising
from tests.ledger.support import anchor, assert_once_each, on_ledger, queue

AWAY = raising(Transient("nobody answers"))
SILENT = raising(OutcomeUnknown("the line went dead"))


def test_a_ledger_that_is_away_is_tried_again_with_the_same_bytes(ledger: FaultyLedger) -> None:
    ids = queue(anchor(1, 1))
    ledger.fail("submit", AWAY, AWAY)
    for _ in range(3):
        sweep(DEFAULT)
    assert len(ledger.sent) == 3
    assert len(set(ledger.sent)) == 1
    assert "outcome" not in ledger.calls
    results = list(Attempt.objects.order_by("id").values_list("result", flat=True))
    assert results == [AttemptResult.TRANSIENT, AttemptResult.TRANSIENT, AttemptResult.ACCEPTED]
    assert_once_each(ids)


@pytest.mark.parametrize("place", ["submit", "submitted"])
def test_an_unknown_outcome_is_asked_for_before_anything_is_sent(ledger: FaultyLedger, place: str) -> None:
    ids = queue(anchor(1, 1))
    ledger.fail(place, SILENT)
    sweep(DEFAULT)
    assert Attempt.objects.get().result == AttemptResult.UNKNOWN
    assert Command.objects.get().state == (CommandState.SENT if place == "submit" else CommandState.CONFIRMED)
    ids += queue(anchor(1, 2))
    first = Transaction.objects.get()
    ledger.forget()
    sweep(DEFAULT)
    assert ledger.calls[0] == "outcome"
    again = [sent.id for sent in ledger.sent]
    assert again.count(bytes(first.transaction_id)) == (1 if place == "submit" else 0)
    assert_once_each(ids)


def test_while_the_ledger_cannot_even_be_asked_nothing_is_sent(ledger: FaultyLedger) -> None:
    ids = queue(anchor(1, 1))
    ledger.fail("submitted", SILENT)
    ledger.fail("outcome", AWAY, SILENT)
    sweep(DEFAULT)
    ids += queue(anchor(1, 2))
    ledger.forget()
    sweep(DEFAULT)
    sweep(DEFAULT)
    assert ledger.sent == []
    sweep(DEFAULT)
    assert_once_each(ids)


def test_the_ledger_takes_a_transaction_once_however_often_it_is_sent(ledger: FaultyLedger) -> None:
    queue(anchor(1, 1), anchor(2, 1))
    sweep(DEFAULT)
    before = on_ledger()
    for sent in list(ledger.sent):
        ledger.submit(sent)
    assert on_ledger() == before


@pytest.mark.parametrize("place", ["events", "heard", "outcome"])
def test_a_ledger_that_goes_away_while_it_is_listened_to(ledger: FaultyLedger, place: str) -> None:
    ids = queue(anchor(1, 1))
    ledger.fail(place, AWAY)
    sweep(DEFAULT)
    sweep(DEFAULT)
    assert_once_each(ids)


def test_one_lane_in_trouble_leaves_the_others_their_way(ledger: FaultyLedger) -> None:
    ids = queue(*(anchor(area, 1) for area in range(12)))
    ledger.fail("submit", AWAY)
    sweep(DEFAULT)
    waiting = Command.objects.exclude(state=CommandState.CONFIRMED)
    assert 0 < waiting.count() < len(ids)
    assert waiting.values("stream__lane").distinct().count() == 1
    sweep(DEFAULT)
    assert_once_each(ids)


def test_status_says_what_is_going_on(ledger: FaultyLedger) -> None:
    queue(anchor(1, 1), anchor(1, 2))
    assert (status(DEFAULT).queued, status(DEFAULT).size, status(DEFAULT).lag) == (2, 0, 0)
    ledger.fail("submit", AWAY)
    sweep(DEFAULT)
    now = status(DEFAULT)
    assert (now.queued, now.sent, now.in_flight, now.last_failure) == (0, 2, 1, "nobody answers")
    ledger.fail("events", AWAY, AWAY, AWAY)
    sweep(DEFAULT)
    now = status(DEFAULT)
    assert (now.size, now.lag, now.sent, now.in_flight) == (2, 2, 2, 1)
    sweep(DEFAULT)
    sweep(DEFAULT)
    now = status(DEFAULT)
    assert (now.size, now.lag, now.queued, now.sent, now.in_flight, now.parked, now.last_failure) == (
        2, 0, 0, 0, 0, 0, "",
    )  # fmt: skip
    assert now.time >= Event.objects.order_by("-position")[0].time
    assert Transaction.objects.get().state == TransactionState.FINAL


def test_a_batch_keeps_to_the_limits_of_the_ledger(ledger: FaultyLedger) -> None:
    from ledger_adapters.base import Limits

    size = 0
    ids = queue(*(anchor(1, n) for n in range(7)))
    size = len(Command.objects.first().envelope)  # type: ignore[union-attr]
    ledger.limits = Limits(commands=3, bytes=4_000_000)
    sweep(DEFAULT)
    assert [transaction.commands.count() for transaction in Transaction.objects.order_by("id")] == [3, 3, 1]
    ids += queue(*(anchor(1, n) for n in range(10, 15)))
    ledger.limits = Limits(commands=1_000, bytes=2 * size)
    sweep(DEFAULT)
    assert [transaction.commands.count() for transaction in Transaction.objects.order_by("id")][3:] == [2, 2, 1]
    assert_once_each(ids)


def test_a_defect_in_one_lane_leaves_the_others_their_way(ledger: FaultyLedger) -> None:
    ids = queue(*(anchor(area, 1) for area in range(12)))
    ledger.fail("submit", raising(ValueError("a defect of ours")))
    sweep(DEFAULT)
    waiting = Command.objects.exclude(state=CommandState.CONFIRMED)
    assert waiting.values("stream__lane").distinct().count() == 1
    sweep(DEFAULT)
    assert_once_each(ids)
