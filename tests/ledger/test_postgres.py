"""PostgreSQL restarted in the middle of a push: nothing accepted is lost, nothing happens twice."""

import os
import signal
from collections.abc import Iterator

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command
from apps.ledger.services.sweep import drain, sweep
from energymarket.pytest_servers import POSTGRES_OPTIONS, LocalServers
from energymarket.supervisor.postgres import launch_postgres
from ledger_adapters.embedded import postgres as store
from ledger_adapters.exceptions import OutcomeUnknown, Transient
from tests.ledger.faulty import PLACES, FaultyLedger
from tests.ledger.support import anchor, assert_once_each, end_leases, on_ledger, queue


@pytest.fixture
def postgres(servers: LocalServers, ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServers]:
    monkeypatch.setattr(store, "TIMEOUT", 2.0)
    if not servers.needs_postgres:
        pytest.skip("DATABASE_URL names a server that is not ours to stop")
    yield servers
    start(servers)
    connection.close()


def start(servers: LocalServers) -> None:
    launch_postgres(servers.supervisor, options=POSTGRES_OPTIONS)


def stop(servers: LocalServers, *, crash: bool = False) -> None:
    """In the way of an operator, or as after the loss of a server process: without any goodbye."""
    if crash:
        os.kill(servers.supervisor.pid("postgres"), signal.SIGQUIT)
    servers.supervisor.stop_child("postgres")


def finish() -> None:
    """What the next worker does."""
    connection.close()
    end_leases()
    drain(DEFAULT)


@pytest.mark.parametrize("place", PLACES[:4] + PLACES[5:])
@pytest.mark.parametrize("crash", [False, True], ids=["restart", "crash"])
def test_restarted_in_the_middle_of_a_push(
    postgres: LocalServers, ledger: FaultyLedger, place: str, crash: bool
) -> None:
    ids = queue(*(anchor(area, n) for area in range(3) for n in range(3)))

    def restart() -> None:
        stop(postgres, crash=crash)
        start(postgres)

    ledger.fail(place, restart)
    # The worker's own connection is gone, so its round may end here; Celery begins the next one with a fresh one.
    try:
        sweep(DEFAULT)
    except (OperationalError, InterfaceError):
        connection.close()
    finish()
    assert_once_each(ids)
    assert len(on_ledger()) == len(ids)


def test_the_ledger_names_what_it_knows_of_a_lost_database(postgres: LocalServers, ledger: FaultyLedger) -> None:
    ledger.fail("commit", lambda: stop(postgres))
    queue(anchor(1, 1))
    prepared = ledger.prepare([bytes(Command.objects.get().envelope)])
    with pytest.raises(OutcomeUnknown):
        ledger.submit(prepared)
    with pytest.raises(Transient):
        ledger.health()
    with pytest.raises(Transient):
        ledger.submit(prepared)
    start(postgres)
    connection.close()
    assert ledger.outcome(prepared.id) is None
    ledger.submit(prepared)
    assert ledger.outcome(prepared.id) is not None


def test_nothing_is_queued_while_the_database_is_away(postgres: LocalServers, ledger: FaultyLedger) -> None:
    stop(postgres)
    with pytest.raises((OperationalError, InterfaceError)), transaction.atomic():
        queue(anchor(1, 1))
    start(postgres)
    connection.close()
    assert not Command.objects.exists()
