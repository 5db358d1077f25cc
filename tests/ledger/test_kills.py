"""A worker killed with SIGKILL: another one finishes, and every command is on the ledger once."""

import signal

import pytest

from apps.accounts.models import Party
from apps.accounts.services.parties import register_party
from apps.ledger.choices import CommandState, LedgerState, TransactionState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Attempt, Command, Event, Lane, Transaction
from apps.ledger.services.listen import listen
from apps.ledger.services.sweep import drain, sweep
from tests.ledger.faulty import FaultyLedger
from tests.ledger.support import Workers, anchor, assert_once_each, end_leases, make_utility, on_ledger, queue

pytestmark = pytest.mark.usefixtures("ledger")

# place, calls let through, entries on the ledger when the worker died
POINTS = [
    pytest.param("prepare", 0, False, id="holding-the-lease-before-anything-is-stored"),
    pytest.param("submit", 0, False, id="stored-and-not-sent"),
    pytest.param("commit", 0, False, id="written-and-not-committed"),
    pytest.param("submitted", 0, True, id="sent-and-no-answer-noted"),
    pytest.param("events", 0, True, id="accepted-and-no-receipt"),
    pytest.param("heard", 0, True, id="events-fetched-and-not-stored"),
    pytest.param("submit", 1, True, id="in-the-second-lane"),
]


def queue_people_and_anchors() -> list[bytes]:
    """Commands of several streams, on more than one lane: a registration each, and five in one stream."""
    utility = make_utility()
    people = [register_party(name=f"person {n}", utility=utility) for n in range(12)]
    ids = [bytes(party.command_id) for party in people if party.command_id]
    return ids + queue(*(anchor(1, n) for n in range(5)))


@pytest.mark.parametrize(("place", "passes", "is_on_ledger"), POINTS)
def test_killed_in_the_middle_of_a_push(place: str, passes: int, is_on_ledger: bool, workers: Workers) -> None:
    ids = queue_people_and_anchors()
    assert workers.run(place, passes) == -signal.SIGKILL
    assert Lane.objects.exclude(leased_until=None).exists()
    assert bool(on_ledger()) is is_on_ledger
    # While the dead worker's lease runs, nobody else touches its lane.
    drain(DEFAULT)
    assert Command.objects.filter(command_id__in=ids).exclude(state=CommandState.CONFIRMED).exists() or is_on_ledger
    end_leases()
    drain(DEFAULT)
    assert_once_each(ids)
    assert not Party.objects.filter(utility__isnull=False).exclude(ledger_state=LedgerState.CONFIRMED).exists()
    assert not Transaction.objects.exclude(state=TransactionState.FINAL).exists()


def test_the_next_worker_asks_before_it_sends_again(ledger: FaultyLedger, workers: Workers) -> None:
    ids = queue(anchor(1, 1))
    assert workers.run("submitted") == -signal.SIGKILL
    (stored,) = Transaction.objects.all()
    assert stored.attempts.get().result == "running"
    end_leases()
    ledger.forget()
    sweep(DEFAULT)
    assert ledger.sent == []
    assert ledger.calls.index("outcome") < ledger.calls.index("heard")
    assert_once_each(ids)


def test_the_bytes_stored_before_the_crash_are_the_ones_sent(ledger: FaultyLedger, workers: Workers) -> None:
    ids = queue(anchor(1, 1), anchor(1, 2))
    assert workers.run("submit") == -signal.SIGKILL
    stored = Transaction.objects.get()
    queue(anchor(1, 3))
    end_leases()
    ledger.forget()
    sweep(DEFAULT)
    assert (ledger.sent[0].id, ledger.sent[0].payload) == (bytes(stored.transaction_id), bytes(stored.payload))
    assert len(ledger.sent) == 2
    assert [result for (result,) in Attempt.objects.order_by("id").values_list("result")] == [
        "running",
        "accepted",
        "accepted",
    ]
    assert_once_each(ids)


def test_killed_again_and_again(workers: Workers) -> None:
    ids = queue_people_and_anchors()
    for place in ("submit", "submitted", "commit", "events", "prepare"):
        assert workers.run(place) in (-signal.SIGKILL, 0)
        end_leases()
    drain(DEFAULT)
    assert_once_each(ids)
    assert listen(DEFAULT) == 0
    assert Event.objects.count() == len(on_ledger())
