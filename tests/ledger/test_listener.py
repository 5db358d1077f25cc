"""Events are stored once each, by however many listeners, and every receipt follows from one."""

import threading

import pytest
from django.db import connection, transaction

from apps.ledger.choices import CommandState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command, Cursor, Event
from apps.ledger.services import listen as listening
from apps.ledger.services.enqueue import enqueue_signed
from apps.ledger.services.listen import LISTENER, consume, listen
from apps.ledger.services.push import push
from apps.ledger.services.sweep import drain
from evidence.commands import Batch, batch_digest
from evidence.commands import Command as LedgerCommand
from evidence.hashing import tagged
from ledger_adapters.base import Transaction
from ledger_adapters.contract import Code
from tests.ledger.faulty import FaultyLedger
from tests.ledger.support import anchor, apply_directly, assert_once_each, on_ledger, queue


def test_listening_twice_changes_nothing(ledger: FaultyLedger) -> None:
    ids = queue(*(anchor(1, n) for n in range(5)))
    drain(DEFAULT)
    before = [list(model.objects.order_by("id").values()) for model in (Event, Command, Cursor)]
    assert listen(DEFAULT) == 0
    consume(DEFAULT)
    assert before == [list(model.objects.order_by("id").values()) for model in (Event, Command, Cursor)]
    assert_once_each(ids)


def test_a_long_journal_is_heard_in_parts(ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "AT_ONCE", 4)
    for number in range(8):
        apply_directly(anchor(1, number), nonce=number.to_bytes(32, "big"))
    assert listen(DEFAULT) == 8
    consume(DEFAULT)
    assert list(Event.objects.order_by("position").values_list("position", flat=True)) == list(range(8))
    assert set(Cursor.objects.values_list("position", flat=True)) == {8}


def test_listeners_at_once_store_each_event_once(ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "AT_ONCE", 3)
    for number in range(20):
        apply_directly(anchor(1, number), nonce=number.to_bytes(32, "big"))
    found: list[int | Exception] = []

    def work() -> None:
        try:
            found.append(listen(DEFAULT))
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(count for count in found if isinstance(count, int)) == 20
    assert Event.objects.count() == 20


def test_what_another_listener_left_over_is_heard_at_once(ledger: FaultyLedger) -> None:
    """The other one stored the first of two events after both had been fetched here."""
    queue(anchor(1, 1))
    push(DEFAULT)
    apply_directly(anchor(2, 1), nonce=b"\x01" * 32)
    apply_directly(anchor(3, 1), nonce=b"\x02" * 32)

    def store_one() -> None:
        with transaction.atomic():
            cursor = Cursor.objects.select_for_update().get(reader=LISTENER)
            listening._store(DEFAULT, ledger.events(cursor.position, 1).events)
            cursor.position += 1
            cursor.save()

    ledger.fail("heard", store_one)
    assert listen(DEFAULT) == 1
    assert Event.objects.count() == 3


def test_a_command_that_somebody_else_relayed_before_counts_as_applied(ledger: FaultyLedger) -> None:
    """The ledger answers that it knows the command, and writes no second event."""
    genesis = ledger.genesis()
    ours = LedgerCommand(genesis.market, b"\x05" * 32, anchor(1, 1))
    with transaction.atomic():
        enqueue_signed(ours)
    other = ledger.prepare([ours.envelope.encode()])
    queue(anchor(1, 2))
    ledger.fail("submit", lambda: super(FaultyLedger, ledger).submit(other))
    drain(DEFAULT)
    assert [code for _, code in on_ledger()] == [Code.APPLIED, Code.APPLIED]
    assert set(Command.objects.values_list("state", flat=True)) == {CommandState.CONFIRMED}


def test_a_command_heard_of_before_it_was_queued_gets_its_receipt(ledger: FaultyLedger) -> None:
    genesis = ledger.genesis()
    ours = LedgerCommand(genesis.market, b"\x05" * 32, anchor(1, 1))
    ledger.submit(ledger.prepare([ours.envelope.encode()]))
    drain(DEFAULT)
    with transaction.atomic():
        enqueue_signed(ours)
    drain(DEFAULT)
    receipt = Command.objects.get()
    assert (receipt.state, receipt.event) == (CommandState.CONFIRMED, 0)


def test_what_others_have_rejected_is_not_the_outcome_of_our_command(ledger: FaultyLedger) -> None:
    """Somebody sends the command that is still queued here without the operator's signature."""
    ids = queue(anchor(1, 1))
    envelope = bytes(Command.objects.get().envelope)
    payload = bytes(32) + Batch((envelope,), b"").encode()
    ledger.submit(Transaction(tagged("em/transaction/1", payload), payload))
    listen(DEFAULT)
    assert Event.objects.get().code == Code.OPERATOR_SIGNATURE
    assert Command.objects.get().state == CommandState.QUEUED
    drain(DEFAULT)
    assert Command.objects.get().state == CommandState.CONFIRMED
    assert [code for command, code in on_ledger() if command == ids[0]] == [Code.OPERATOR_SIGNATURE, Code.APPLIED]


def test_bytes_that_are_no_command_are_heard_and_passed_over(ledger: FaultyLedger) -> None:
    genesis = ledger.genesis()
    assert ledger.operator is not None
    signature = ledger.operator.sign(batch_digest(genesis.ledger, [None]))
    payload = bytes(32) + Batch((b"no command",), signature).encode()
    ledger.submit(Transaction(tagged("em/transaction/1", payload), payload))
    ids = queue(anchor(1, 1))
    drain(DEFAULT)
    assert Event.objects.values_list("kind", "code").get(position=0) == (0, Code.BAD_ENCODING)
    assert Command.objects.get(command_id=ids[0]).state == CommandState.CONFIRMED
