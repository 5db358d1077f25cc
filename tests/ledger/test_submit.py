"""A command that arrives signed is queued once, however many bring it at the same moment."""

import threading

import pytest
from django.db import IntegrityError, connection

from apps.accounts.services.parties import register_party
from apps.ledger.exceptions import NotTaken, Refused
from apps.ledger.intake import take_alone
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command
from apps.ledger.services import submit as submitting
from apps.ledger.services.submit import submit
from apps.ledger.services.sweep import drain
from evidence import commands
from evidence.commands.kinds import ChangeParticipantState, RecordInvoice
from ledger_adapters.contract import Code
from tests.ledger.faulty import FaultyLedger
from tests.ledger.support import assert_once_each, make_utility


@pytest.fixture
def suspension(ledger: FaultyLedger) -> commands.Command:
    party = register_party(name="alice", utility=make_utility())
    drain(DEFAULT)
    return commands.Command(ledger.genesis().market, b"\x01" * 32, ChangeParticipantState(party.ledger_id, 2))


def test_two_who_send_the_same_at_once_queue_it_once(
    suspension: commands.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that it is not there yet."""
    together, errors = threading.Barrier(2, timeout=30), list[Exception]()

    def take(command: commands.Command, ledger: str) -> None:
        together.wait()
        take_alone(command, ledger)

    def work() -> None:
        try:
            submit(suspension, DEFAULT)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    monkeypatch.setattr(submitting, "intake_of", lambda kind: take)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    drain(DEFAULT)
    assert_once_each([suspension.id])


def test_another_breach_of_integrity_is_no_repetition(
    suspension: commands.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(command: commands.Command, ledger: str) -> None:
        raise IntegrityError("something else is there twice")

    monkeypatch.setattr(submitting, "intake_of", lambda kind: take)
    with pytest.raises(IntegrityError):
        submit(suspension, DEFAULT)


def test_what_is_refused_leaves_nothing_behind(ledger: FaultyLedger) -> None:
    unknown = commands.Command(ledger.genesis().market, b"\x01" * 32, ChangeParticipantState(b"\x02" * 32, 2))
    with pytest.raises(Refused) as refused:
        submit(unknown, DEFAULT)
    assert refused.value.code is Code.PARTICIPANT_UNKNOWN
    assert not Command.objects.exists()


def test_a_command_of_another_market_is_refused(ledger: FaultyLedger) -> None:
    with pytest.raises(Refused) as refused:
        submit(commands.Command(b"\x03" * 32, b"\x01" * 32, ChangeParticipantState(b"\x02" * 32, 2)), DEFAULT)
    assert refused.value.code is Code.WRONG_MARKET


def test_what_no_app_takes_is_not_queued(ledger: FaultyLedger) -> None:
    invoice = RecordInvoice(b"\x01" * 32, b"\x02" * 32, 1, b"\x03" * 32, bytes(32))
    with pytest.raises(NotTaken, match="numbered here"):
        submit(commands.Command(ledger.genesis().market, b"\x01" * 32, invoice), DEFAULT)
    assert not Command.objects.exists()
