"""Store what the ledger says, write the receipts, and let each app hear it."""

from collections.abc import Sequence

import structlog
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q

from apps.ledger.choices import CommandState, TransactionState
from apps.ledger.consumers import Consumer, Told, consumers
from apps.ledger.ledgers import get_ledger
from apps.ledger.models import Command, Cursor, Event, Stream, Transaction
from apps.ledger.services.costs import settle
from evidence import commands
from ledger_adapters import base
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.contract import Code, Outcome

logger = structlog.get_logger(__name__)

LISTENER = "listener"
AT_ONCE = 500


def listen(ledger: str) -> int:
    """Store final events that are new; returns how many."""
    adapter = get_ledger(ledger)
    cursor, _ = Cursor.objects.get_or_create(ledger=ledger, reader=LISTENER)
    total = 0
    while True:
        page = adapter.events(cursor.position, AT_ONCE, bytes(cursor.mark))
        if page.next == cursor.position:
            return total
        with transaction.atomic():
            locked = Cursor.objects.select_for_update().get(pk=cursor.pk)
            # Another listener may have stored the first of these; what is missing has to be asked for again.
            if locked.position == cursor.position:
                _store(ledger, page.events)
                locked.position, locked.mark = page.next, page.mark
                locked.save(update_fields=["position", "mark"])
                total += len(page.events)
        cursor = locked


def _store(ledger: str, events: Sequence[base.Event]) -> None:
    stored = [
        Event(
            ledger=ledger,
            position=event.position,
            transaction_id=event.transaction,
            command_id=event.outcome.id,
            kind=_kind(event.outcome.envelope),
            code=event.outcome.code,
            time=event.outcome.time,
            envelope=event.outcome.envelope,
            origin=event.outcome.origin or None,
        )
        for event in events
    ]
    Event.objects.bulk_create(stored)
    _write_receipts(stored)


def _kind(envelope: bytes) -> int:
    """Zero for bytes that are no command: somebody else may have sent them to the ledger."""
    try:
        return commands.Command.from_bytes(envelope).fields.KIND
    except commands.CommandError:
        return 0


def _write_receipts(events: Sequence[Event]) -> None:
    """What others' transactions did with a command counts when it was applied: its rejection may be of their making.

    Entries that were taken over from another ledger had their receipts there.
    """
    events = [event for event in events if event.origin is None]
    found = Command.objects.filter(command_id__in=[event.command_id for event in events])
    by_id = {bytes(receipt.command_id): receipt for receipt in found.select_related("stream", "transaction")}
    written: dict[int, Command] = {}
    for event in events:
        receipt = by_id.get(bytes(event.command_id))
        if receipt is None or not (event.code == Code.APPLIED or _is_of(receipt, event)):
            continue
        written[receipt.pk] = receipt
        receipt.code, receipt.ledger_time, receipt.event = event.code, event.time, event.position
        receipt.state = CommandState.CONFIRMED if event.code == Code.APPLIED else CommandState.REJECTED
    Command.objects.bulk_update(written.values(), ["code", "ledger_time", "event", "state"])
    for receipt in written.values():
        if receipt.state == CommandState.REJECTED:
            Stream.objects.filter(pk=receipt.stream_id, parked_by=None).update(parked_by=receipt)
            logger.error(
                "command_rejected",
                command=str(receipt),
                kind=receipt.kind,
                code=Code(receipt.code or 0).name,
            )


def _is_of(receipt: Command, event: Event) -> bool:
    """Whether an event tells of the transaction in which we sent the command."""
    sent = receipt.transaction
    return sent is not None and sent.is_known_as(bytes(event.transaction_id))


def outcome_of(sent: Transaction, adapter: LedgerAdapter) -> tuple[Outcome, ...] | None:
    """What became of a transaction, whichever of its bytes the ledger took."""
    asked = (adapter.outcome(each) for each in (bytes(sent.transaction_id), *sent.former))
    return next((outcomes for outcomes in asked if outcomes is not None), None)


def finish(sent: Transaction, adapter: LedgerAdapter) -> bool:
    """Mark the transaction final once each of its commands has its receipt. Call `listen` before."""
    still_open = sent.commands.filter(state=CommandState.SENT).values_list("command_id", flat=True)
    open_ids = {bytes(command_id) for command_id in still_open}
    if open_ids:
        outcomes = outcome_of(sent, adapter)
        if outcomes is None:
            # What has taken it may lose it before it is final: the same bytes are sent once more.
            accepted = Transaction.objects.filter(pk=sent.pk, state=TransactionState.ACCEPTED)
            accepted.update(state=TransactionState.PREPARED)
            return False
        known = [o.id for o in outcomes if o.code is Code.ALREADY_APPLIED and o.id in open_ids]
        if known:
            # Applied by an earlier transaction, whose event was heard before the command was in this outbox.
            with transaction.atomic():
                _write_receipts(list(Event.objects.filter(command_id__in=known, code=Code.APPLIED)))
    if sent.commands.filter(state=CommandState.SENT).exists():
        return False
    settle(sent, adapter)
    Transaction.objects.filter(pk=sent.pk).update(state=TransactionState.FINAL)
    return True


def consume(ledger: str) -> None:
    """Let every app hear the events it has not heard yet. One app's failure does not keep the others from theirs.

    Each event is a transaction of its own: its rows are locked in the order in which services lock them, and freed
    before those of the next event.
    """
    for consumer in consumers():
        try:
            while _consume_next(ledger, consumer):
                pass
        except Exception:
            # Its transaction is rolled back, and the same event comes again at the next sweep.
            logger.exception("consumer_failed", ledger=ledger, consumer=consumer.name)


@transaction.atomic
def _consume_next(ledger: str, consumer: Consumer) -> bool:
    """Whether there may be more to hear. Events that are not for this consumer are passed over, those of commands that
    others' transactions had rejected, and those that were heard from another ledger before.
    """
    Cursor.objects.get_or_create(ledger=ledger, reader=consumer.name)
    cursor = Cursor.objects.select_for_update().get(ledger=ledger, reader=consumer.name)
    news = Event.objects.filter(ledger=ledger, position__gte=cursor.position)
    newest = news.aggregate(newest=Max("position"))["newest"]
    if newest is None:
        return False
    kinds = [kind.KIND for kind in consumer.confirmed]
    ours = Command.objects.filter(command_id=OuterRef("command_id"), event=OuterRef("position"))
    told = news.filter(Q(code=Code.APPLIED) | Exists(ours), kind__in=kinds, position__lte=newest, origin=None)
    event = told.order_by("position").first()
    if event is not None:
        _tell(consumer, event)
    cursor.position = (newest if event is None else event.position) + 1
    cursor.save(update_fields=["position"])
    return event is not None


def _tell(consumer: Consumer, event: Event) -> None:
    kind = commands.KINDS[event.kind]
    fields = commands.Command.from_bytes(bytes(event.envelope)).fields
    told = Told(event.ledger, event.position, bytes(event.command_id), fields, Code(event.code), event.time)
    if told.is_applied:
        consumer.confirmed[kind](told)
        return
    consumer.rejected[kind](told)
    if kind in consumer.resumes:
        Stream.objects.filter(ledger=event.ledger, parked_by__command_id=event.command_id).update(parked_by=None)
