"""How a ledger is doing, in figures: for the command line, the administration, the portal and `/metrics` alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.ledger.choices import CommandState, TransactionState
from apps.ledger.ledgers import get_ledger
from apps.ledger.models import LANES, Attempt, Command, Cursor, Event, Lane, Stream, Transaction
from apps.ledger.services.expiries import ExpiryFigures, expiries
from apps.ledger.services.listen import LISTENER
from ledger_adapters.base import Health, LedgerAdapter
from ledger_adapters.exceptions import LedgerError

# How many of the last tries are looked through for the last failure of a lane.
TRIES = 10_000


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """`conflicts`: transactions in a row that were not applied. `last_failure` is empty when no recent try failed;
    it is `over` once a later transaction of the lane has become final.
    """

    number: int
    streams: int
    queued: int
    sent: int
    conflicts: int
    at_work: bool
    last_failure: str
    failed_at: datetime | None
    over: bool


@dataclass(frozen=True, slots=True)
class ReaderFigures:
    """How far a reader of the events has come, in entries or blocks.

    `behind`: of the listener in entries or blocks, None while the ledger is away; of others in events that were heard.
    """

    name: str
    position: int
    behind: int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """`failure` says why the ledger does not answer; then what only it knows is None.

    `size` counts its entries or blocks, `time` is its time in UTC seconds, `lag` how much of it was not heard yet.
    `waiting_seconds` is the age of the oldest command that is queued or sent and not held up by a parked stream.
    """

    ledger: str
    backend: str
    failure: str
    size: int | None
    time: int | None
    lag: int | None
    queued: int
    sent: int
    in_flight: int
    parked: int
    waiting_seconds: int | None
    lanes: tuple[LaneFigures, ...]
    readers: tuple[ReaderFigures, ...]
    expiries: tuple[ExpiryFigures, ...]


def figures(ledger: str) -> Figures:
    """Never fails because of the ledger: what cannot be asked is left out, with the reason."""
    adapter = get_ledger(ledger)
    health, failure = _ask(adapter)
    readers = tuple(_readers(adapter, health))
    lanes = tuple(_lanes(ledger))
    heard = next((reader.behind for reader in readers if reader.name == LISTENER), health.size if health else None)
    in_flight = Transaction.objects.filter(ledger=ledger).exclude(state=TransactionState.FINAL)
    return Figures(
        ledger=ledger,
        backend=type(adapter).__name__,
        failure=failure,
        size=health.size if health else None,
        time=health.time if health else None,
        lag=heard,
        queued=sum(lane.queued for lane in lanes),
        sent=sum(lane.sent for lane in lanes),
        in_flight=in_flight.count(),
        parked=Stream.objects.filter(ledger=ledger).exclude(parked_by=None).count(),
        waiting_seconds=_waiting_seconds(ledger),
        lanes=lanes,
        readers=readers,
        expiries=tuple(expiries(adapter)),
    )


def _ask(adapter: LedgerAdapter) -> tuple[Health | None, str]:
    """Its health, and what stands in the way: of answering at all, or of hearing what comes next."""
    try:
        adapter.genesis()
        health = adapter.health()
    except LedgerError as error:
        return None, str(error) or type(error).__name__
    listener = Cursor.objects.filter(ledger=adapter.alias, reader=LISTENER).first()
    try:
        if listener is not None:
            adapter.events(listener.position, 1, bytes(listener.mark))
    except LedgerError as error:
        return health, str(error) or type(error).__name__
    return health, ""


def _readers(adapter: LedgerAdapter, health: Health | None) -> Iterator[ReaderFigures]:
    ahead = Event.objects.filter(ledger=OuterRef("ledger"), position__gte=OuterRef("position")).order_by()
    counted = ahead.values("ledger").annotate(count=Count("pk")).values("count")
    cursors = Cursor.objects.filter(ledger=adapter.alias).annotate(unheard=Coalesce(Subquery(counted), 0))
    for cursor in cursors.order_by("reader"):
        behind: int | None = cursor.unheard
        if cursor.reader == LISTENER:
            behind = max(0, health.size - adapter.entries_before(cursor.position)) if health else None
        yield ReaderFigures(cursor.reader, adapter.entries_before(cursor.position), behind)


def _waiting_seconds(ledger: str) -> int | None:
    waiting = Command.objects.filter(
        stream__ledger=ledger, stream__parked_by=None, state__in=[CommandState.QUEUED, CommandState.SENT]
    )
    oldest = waiting.aggregate(oldest=Min("created_at"))["oldest"]
    return int((timezone.now() - oldest).total_seconds()) if oldest else None


def _lanes(ledger: str) -> Iterator[LaneFigures]:
    streams = dict(Stream.objects.filter(ledger=ledger).values_list("lane").annotate(Count("pk")).order_by())
    waiting = Command.objects.filter(stream__ledger=ledger, state__in=[CommandState.QUEUED, CommandState.SENT])
    by_lane = waiting.values_list("stream__lane", "state").annotate(count=Count("pk")).order_by()
    counts = {(lane, state): count for lane, state, count in by_lane}
    lanes = {lane.number: lane for lane in Lane.objects.filter(ledger=ledger)}
    failures = _failures(ledger)
    now = timezone.now()
    for number in range(LANES):
        lane, failure = lanes.get(number), failures.get(number)
        yield LaneFigures(
            number=number,
            streams=streams.get(number, 0),
            queued=counts.get((number, CommandState.QUEUED), 0),
            sent=counts.get((number, CommandState.SENT), 0),
            conflicts=lane.conflicts if lane else 0,
            at_work=lane is not None and lane.leased_until is not None and lane.leased_until > now,
            last_failure=failure.message if failure else "",
            failed_at=failure.ended_at or failure.started_at if failure else None,
            over=failure is not None and failure.over,
        )


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    started_at: datetime
    ended_at: datetime | None
    over: bool


def _failures(ledger: str) -> dict[int, _Failure]:
    """The last try of each lane that failed, among the last tries of all."""
    last = Attempt.objects.aggregate(last=Max("pk"))["last"] or 0
    failed = Attempt.objects.filter(pk__gt=last - TRIES, transaction__ledger=ledger).exclude(message="")
    done = Transaction.objects.filter(
        ledger=ledger, lane=OuterRef("transaction__lane"), pk__gte=OuterRef("transaction"), commands__isnull=False
    )
    newest = done.filter(state=TransactionState.FINAL).values("pk")[:1]
    rows = (
        failed.order_by("transaction__lane", "-pk")
        .distinct("transaction__lane")
        .annotate(done=Subquery(newest))
        .values_list("transaction__lane", "message", "started_at", "ended_at", "done")
    )
    return {lane: _Failure(message, start, end, done is not None) for lane, message, start, end, done in rows}
