"""/readyz says how the ledger is doing, and never calls a process unfit because of it."""

import pytest
from django.test import Client

from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Stream
from apps.ledger.services.enqueue import enqueue
from apps.ledger.services.sweep import drain
from apps.portal.health import check_ledgers
from apps.web.health import State
from evidence.commands.kinds import ChangeParticipantState
from tests.market import make_market

pytestmark = pytest.mark.django_db


def test_a_ledger_that_has_heard_everything_is_well() -> None:
    make_market({})
    assert check_ledgers().state is State.OK


def test_a_ledger_without_a_genesis_record_is_named() -> None:
    get_ledger.cache_clear()
    found = check_ledgers()
    assert found.state is State.DEGRADED
    assert "ledger init" in found.detail


def test_parked_streams_are_named_and_requests_go_on(client: Client) -> None:
    market = make_market({})
    enqueue(ChangeParticipantState(bytes(market.utility.ledger_id), 2))
    drain(DEFAULT)
    stream = Stream.objects.latest("pk")
    Stream.objects.filter(pk=stream.pk).update(parked_by=stream.commands.latest("pk"))
    answer = client.get("/readyz")
    ledger = {check["name"]: check for check in answer.json()}["ledger"]
    assert (answer.status_code, ledger["state"]) == (200, "degraded")
    assert "1 streams are parked" in ledger["detail"]
