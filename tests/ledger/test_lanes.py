"""Two workers at once: a lane belongs to one of them, and one that slept past its lease notices."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.ledger.choices import CommandState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import LANES, Command, Lane, Transaction
from apps.ledger.services.push import LostLane, claim_lane, push, push_lane
from apps.ledger.services.sweep import drain, sweep
from tests.ledger.faulty import FaultyLedger
from tests.ledger.support import Workers, anchor, assert_once_each, end_leases, on_ledger, queue

pytestmark = pytest.mark.usefixtures("ledger")


def lane_of(command_id: bytes) -> int:
    return Command.objects.get(command_id=command_id).stream.lane


def test_processes_that_push_the_same_lanes_send_every_command_once(workers: Workers, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    pids = [workers.start(until=stop) for _ in range(3)]
    # Six streams, one of them with most of the commands, queued while the workers push.
    ids = queue(*(anchor(n % 12 if n % 12 < 6 else 0, n) for n in range(150)))
    drain(DEFAULT)
    stop.touch()
    assert [workers.wait(pid) for pid in pids] == [0, 0, 0]
    drain(DEFAULT)
    assert_once_each(ids)
    assert len(on_ledger()) == 150
    assert Transaction.objects.count() > LANES


def test_threads_that_push_the_same_lane_send_every_command_once() -> None:
    ids = queue(*(anchor(1, n) for n in range(40)))
    start = threading.Barrier(4)
    errors: list[Exception] = []

    def work() -> None:
        try:
            start.wait()
            for _ in range(5):
                sweep(DEFAULT)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    drain(DEFAULT)
    assert_once_each(ids)


def test_a_lane_that_is_leased_is_left_alone() -> None:
    (command,) = queue(anchor(1, 1))
    push(DEFAULT)
    queue(anchor(1, 2))
    claim = claim_lane(DEFAULT, lane_of(command))
    assert claim is not None
    assert claim_lane(DEFAULT, claim.lane) is None
    push(DEFAULT)
    assert Command.objects.filter(state=CommandState.QUEUED).count() == 1
    push_lane(claim)
    assert not Command.objects.filter(state=CommandState.QUEUED).exists()


def test_a_worker_that_slept_past_its_lease_prepares_nothing() -> None:
    (command,) = queue(anchor(1, 1))
    lane = lane_of(command)
    Lane.objects.create(ledger=DEFAULT, number=lane)
    sleeper = claim_lane(DEFAULT, lane)
    assert sleeper is not None
    end_leases()
    other = claim_lane(DEFAULT, lane)
    assert other is not None and other.token == sleeper.token + 1
    with pytest.raises(LostLane):
        push_lane(sleeper)
    assert not Transaction.objects.exists()
    push_lane(other)
    assert_once_each([command])


def test_a_worker_that_slept_while_sending_does_no_harm(ledger: FaultyLedger) -> None:
    """It wakes up when another worker has sent its transaction and the lane's next one."""
    ids = queue(anchor(1, 1), anchor(1, 2))
    late: list[bytes] = []

    def sleep() -> None:
        end_leases()
        late.extend(queue(anchor(1, 3)))
        sweep(DEFAULT)

    ledger.fail("submit", sleep)
    push(DEFAULT)
    assert_once_each(ids + late)
    assert [len(ledger.sent), Transaction.objects.count()] == [3, 2]


def test_a_lease_is_renewed_with_each_transaction(ledger: FaultyLedger) -> None:
    (command,) = queue(anchor(1, 1))

    def shorten() -> None:
        Lane.objects.update(leased_until=timezone.now() + timedelta(seconds=1))
        queue(anchor(1, 2))

    renewed: list[bool] = []

    def look() -> None:
        later = timezone.now() + timedelta(seconds=20)
        renewed.append(Lane.objects.filter(number=lane_of(command), leased_until__gt=later).exists())

    ledger.fail("submit", shorten, look)
    push(DEFAULT)
    assert renewed == [True]


def test_nothing_is_pushed_inside_a_database_transaction() -> None:
    queue(anchor(1, 1))
    with transaction.atomic(), pytest.raises(RuntimeError):
        sweep(DEFAULT)
    assert on_ledger() == []
