"""Hold the database against the ledger, and name every difference. Nothing is changed.

Both go on while they are compared, and the database hears of the ledger a moment later: what differs is looked at a
second time at the end, and is named only if it still does.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from apps.ledger import models
from apps.ledger.catalogue import kind_name
from apps.ledger.choices import CommandState, LedgerState
from apps.ledger.ledgers import get_ledger
from apps.ledger.models import Command, Cursor, OnLedger
from apps.ledger.reconcilers import Expected, Reconciler, reconcilers
from apps.ledger.services.listen import LISTENER
from evidence.abi import EncodingError
from evidence.commands import Command as SignedCommand
from evidence.commands import CommandError
from ledger_adapters.base import Event, LedgerAdapter
from ledger_adapters.contract import Code

AT_ONCE = 500
# The states of an object that go with those of its command.
_FITTING = {
    LedgerState.PENDING: {CommandState.QUEUED, CommandState.SENT},
    LedgerState.CONFIRMED: {CommandState.CONFIRMED},
    LedgerState.REJECTED: {CommandState.REJECTED},
}

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """`where`: the entry or the object; `what`: what is here, and what is on the ledger."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


Check = Callable[[], list[Difference]]


def audit(ledger: str, progress: Progress = lambda what, done: None) -> list[Difference]:
    """Compare every entry with its receipt and every object with its record.

    `progress` is called with what is being compared and how many of it are done. Raises `Transient` when the ledger
    cannot be reached.
    """
    adapter = get_ledger(ledger)
    doubtful = [check for check in _checks(adapter, progress) if check()]
    return [difference for check in doubtful for difference in check()]


def _checks(adapter: LedgerAdapter, progress: Progress) -> Iterator[Check]:
    for done, events, start, end in _pages(adapter):
        yield partial(_compare_events, adapter.alias, events, start, end)
        progress("entries", done)
    for done, ids in _chunks(_receipts(adapter.alias)):
        yield partial(_compare_receipts, adapter.alias, ids)
        progress("receipts", done)
    for reconciler in reconcilers():
        for done, ids in _chunks(reconciler.objects(adapter.alias)):
            yield partial(_compare_objects, reconciler, adapter, ids)
            progress(reconciler.name, done)


def _pages(adapter: LedgerAdapter) -> Iterator[tuple[int, Sequence[Event], int, int]]:
    """Events of the ledger that were heard here, with the positions that they lie between."""
    position, mark, done = 0, b"", 0
    while position < _heard(adapter.alias):
        page = adapter.events(position, AT_ONCE, mark)
        if page.next == position:
            # Heard of here, and not there.
            page_end = _heard(adapter.alias)
            yield done, (), position, page_end
            return
        done += len(page.events)
        yield done, page.events, position, page.next
        position, mark = page.next, page.mark


def _chunks(objects: Any) -> Iterator[tuple[int, list[int]]]:
    last, done = 0, 0
    while ids := list(objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        last, done = ids[-1], done + len(ids)
        yield done, ids


def _heard(ledger: str) -> int:
    return Cursor.objects.filter(ledger=ledger, reader=LISTENER).values_list("position", flat=True).first() or 0


# Entries


def _compare_events(ledger: str, events: Sequence[Event], start: int, end: int) -> list[Difference]:
    heard = _heard(ledger)
    known = [event for event in events if event.position < heard]
    found = list(_stored(ledger, known, start, min(end, heard)))
    found += _told(ledger, known)
    found += _sent(known)
    return found


def _stored(ledger: str, events: Sequence[Event], start: int, end: int) -> Iterator[Difference]:
    """Each entry is stored here as the ledger tells it, and nothing else is."""
    rows = models.Event.objects.filter(ledger=ledger, position__gte=start, position__lt=end)
    stored = {row.position: row for row in rows}
    for event in events:
        row = stored.pop(event.position, None)
        if row is None:
            yield _entry(event, "is on the ledger and not stored here")
            continue
        here = {
            "id": bytes(row.command_id),
            "outcome": row.code,
            "time": row.time,
            "transaction": bytes(row.transaction_id),
            "command": bytes(row.envelope),
            "origin": bytes(row.origin or b""),
        }
        outcome = event.outcome
        there = {
            "id": outcome.id,
            "outcome": int(outcome.code),
            "time": outcome.time,
            "transaction": event.transaction,
            "command": outcome.envelope,
            "origin": outcome.origin,
        }
        for name, value in there.items():
            if here[name] != value:
                yield _entry(event, _differs(name, here[name], value))
    for position in sorted(stored):
        yield Difference(f"entry {position}", "is stored here and not on the ledger")


def _told(ledger: str, events: Sequence[Event]) -> Iterator[Difference]:
    """A command's receipt is the entry that applied it, or else the rejection of the transaction that we sent it in."""
    found = Command.objects.filter(command_id__in=[event.outcome.id for event in events], stream__ledger=ledger)
    found = found.select_related("transaction").defer("envelope", "transaction__payload")
    receipts = {bytes(command.command_id): command for command in found}
    for event in events:
        receipt = receipts.get(event.outcome.id)
        if receipt is None:
            continue
        applied = event.outcome.code is Code.APPLIED
        if receipt.event != event.position:
            rejected_ours = _is_of(receipt, event) and receipt.state != CommandState.CONFIRMED
            if applied or rejected_ours:
                shown = "none" if receipt.event is None else f"that of entry {receipt.event}"
                yield _entry(event, f"the command's receipt is {shown}")
            continue
        state = CommandState.CONFIRMED if applied else CommandState.REJECTED
        pairs = (
            ("outcome", receipt.code, int(event.outcome.code)),
            ("time", receipt.ledger_time, event.outcome.time),
            ("state", receipt.state, str(state)),
        )
        for name, here, there in pairs:
            if here != there:
                yield _entry(event, f"the receipt's {_differs(name, here, there)}")


def _is_of(receipt: Command, event: Event) -> bool:
    return receipt.transaction is not None and receipt.transaction.is_known_as(event.transaction)


def _sent(events: Sequence[Event]) -> Iterator[Difference]:
    """What was applied has its object here. Kinds that change no object are passed over."""
    applied: dict[int, dict[bytes, Event]] = defaultdict(dict)
    for event in events:
        if event.outcome.code is Code.APPLIED:
            applied[SignedCommand.from_bytes(event.outcome.envelope).fields.KIND][event.outcome.id] = event
    for reconciler in reconcilers():
        for kind, column in reconciler.sent_by.items():
            waiting = applied.get(kind.KIND, {})
            if not waiting:
                continue
            objects = reconciler.model._default_manager.filter(**{f"{column}__in": list(waiting)})
            present = {bytes(command_id) for command_id in objects.values_list(column, flat=True)}
            for command_id, event in waiting.items():
                if command_id not in present:
                    yield _entry(event, f"there is nothing among the {reconciler.name} that it is about")


def _entry(event: Event, what: str) -> Difference:
    try:
        name = kind_name(SignedCommand.from_bytes(event.outcome.envelope).fields.KIND)
    except CommandError:
        name = "no command"
    return Difference(f"entry {event.position} ({name} {event.outcome.id.hex()[:16]})", what)


# Receipts


def _receipts(ledger: str) -> Any:
    answered = [CommandState.CONFIRMED, CommandState.REJECTED]
    return Command.objects.filter(stream__ledger=ledger, state__in=answered)


def _compare_receipts(ledger: str, ids: Iterable[int]) -> list[Difference]:
    """Every receipt names an entry; what the entry says was compared with the ledger before."""
    receipts = list(_receipts(ledger).filter(pk__in=ids).defer("envelope"))
    wanted = [receipt.event for receipt in receipts if receipt.event is not None]
    entries = dict(
        models.Event.objects.filter(ledger=ledger, position__in=wanted).values_list("position", "command_id")
    )
    found = []
    for receipt in receipts:
        if receipt.event is None and receipt.code == Code.LEDGER_CLOSED:
            # By the ledger from which the market moved to this one.
            continue
        if receipt.event is None or entries.get(receipt.event) != bytes(receipt.command_id):
            where = f"command {kind_name(receipt.kind)} {receipt}"
            found.append(Difference(where, f"is {receipt.state} by entry {receipt.event}, which is not about it"))
    return found


# Objects


def _compare_objects(reconciler: Reconciler[Any], adapter: LedgerAdapter, ids: Iterable[int]) -> list[Difference]:
    objects = list(reconciler.objects(adapter.alias).filter(pk__in=ids).order_by("pk"))
    sent_by = {bytes(thing.command_id) for thing in objects if thing.command_id}
    states = {
        bytes(command_id): state
        for command_id, state in Command.objects.filter(command_id__in=sent_by).values_list("command_id", "state")
    }
    expected = {thing.pk: reconciler.expected(thing) for thing in objects if thing.is_confirmed}
    keys = {one.record.key(*one.ids) for one in expected.values() if one is not None}
    values = adapter.read(keys)
    found = []
    for thing in objects:
        where = f"{reconciler.name} {thing.pk} ({thing})"
        found += [Difference(where, what) for what in _standing(thing, states)]
        wanted = expected.get(thing.pk)
        if wanted is not None:
            found += [Difference(where, what) for what in _against(wanted, values)]
    return found


def _standing(thing: OnLedger, states: dict[bytes, str]) -> Iterator[str]:
    """Whether an object stands where its command does. One without a command was never sent."""
    if thing.command_id is None:
        if thing.ledger_state != LedgerState.PENDING:
            yield f"is {thing.ledger_state} here, and was never sent"
        return
    state = states.get(bytes(thing.command_id))
    if state is None:
        yield f"is {thing.ledger_state} here, by a command that is not in the outbox"
    elif state not in _FITTING[LedgerState(thing.ledger_state)]:
        yield f"is {thing.ledger_state} here, and its command is {state}"


def _against(wanted: Expected, values: dict[bytes, bytes | None]) -> Iterator[str]:
    value = values[wanted.record.key(*wanted.ids)]
    if value is None:
        yield f"is confirmed here, and the ledger has no {wanted.record.__name__} of it"
        return
    try:
        record = wanted.record.decode(value)
    except EncodingError as error:
        yield f"the ledger's record cannot be read: {error}"
        return
    for name, here in wanted.values.items():
        there = wanted.there(record, name)
        if here != there:
            yield _differs(name, here, there)


def _differs(name: str, here: object, there: object) -> str:
    return f"{name} is {_shown(here)} here and {_shown(there)} on the ledger"


def _shown(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    text = value.hex()
    return text if len(text) <= 64 else f"{text[:64]}…"
