"""Redis only wakes workers up: emptied, stopped or silent, it costs no command and little time."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from apps.accounts.services.parties import register_party
from apps.ledger.choices import LedgerState
from apps.ledger.tasks import sweep_all
from energymarket.pytest_servers import LocalServers
from energymarket.supervisor.redis_server import launch_redis
from tests.ledger.support import anchor, assert_once_each, make_utility, queue

pytestmark = pytest.mark.usefixtures("ledger")
LONGEST = 1.5


@pytest.fixture
def own_redis(servers: LocalServers) -> Iterator[LocalServers]:
    if not servers.needs_redis:
        pytest.skip("REDIS_URL names a server that is not ours to stop")
    yield servers
    launch_redis(servers.supervisor)


def timed_queue(*numbers: int) -> tuple[list[bytes], float]:
    started = time.monotonic()
    ids = queue(*(anchor(1, number) for number in numbers))
    return ids, time.monotonic() - started


def test_redis_emptied(own_redis: LocalServers) -> None:
    ids, _ = timed_queue(1, 2)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert client.llen("celery") >= 1
        client.flushall()
    sweep_all()
    assert_once_each(ids)


def test_redis_away(own_redis: LocalServers) -> None:
    own_redis.supervisor.stop_child("redis")
    ids, seconds = timed_queue(1)
    assert seconds < LONGEST
    party = register_party(name="Bob", utility=make_utility())
    sweep_all()
    assert_once_each(ids)
    party.refresh_from_db()
    assert party.ledger_state == LedgerState.CONFIRMED


def test_redis_silent(own_redis: LocalServers) -> None:
    """It takes connections and answers nothing. Many commands at once wait for it once, not each."""
    pid = own_redis.supervisor.pid("redis")
    os.kill(pid, signal.SIGSTOP)
    try:
        ids, seconds = timed_queue(1)
        assert seconds < LONGEST
        more, seconds = timed_queue(*range(2, 12))
        assert seconds < LONGEST
    finally:
        os.kill(pid, signal.SIGCONT)
    sweep_all()
    assert_once_each(ids + more)


def test_workers_are_woken_again_once_redis_is_back(own_redis: LocalServers, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.ledger import wake

    monkeypatch.setattr(wake, "PAUSE", 0.1)
    own_redis.supervisor.stop_child("redis")
    queue(anchor(1, 1))
    launch_redis(own_redis.supervisor)
    time.sleep(0.2)
    queue(anchor(1, 2))
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert client.llen("celery") == 1
