"""How a ledger is doing, for those who look after it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Count, Min, Q
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from apps.ledger.choices import CommandState
from apps.ledger.ledgers import get_ledger
from apps.ledger.models import LANES, Attempt, Command, Cursor, Lane, Stream
from apps.ledger.services.status import Status, standing_of, status
from apps.portal.records import kind_title, short
from apps.web.components import Column, Table
from apps.web.formatting import decimal_text
from ledger_adapters.exceptions import LedgerError

ROWS = 10


@dataclass(frozen=True, slots=True)
class Overview:
    """`status` is None, with a `failure`, while the ledger cannot be reached."""

    ledger: str
    backend: str
    status: Status | None
    failure: str
    readers: Table
    lanes: Table
    parked: Table | None
    attempts: Table | None
    waiting_since: str


def overviews(aliases: Iterable[str]) -> Iterator[Overview]:
    for alias in aliases:
        found, failure = None, ""
        try:
            found = status(alias)
        except LedgerError as error:
            failure = str(error) or _("The ledger does not answer.")
        yield Overview(
            alias,
            type(get_ledger(alias)).__name__,
            found,
            failure,
            _readers(alias, found),
            _lanes(alias),
            _parked(alias),
            _attempts(alias),
            _waiting_since(alias),
        )


def _number(value: int) -> str:
    return decimal_text(Decimal(value), most=0)


def _ago(instant: object) -> str:
    return timesince(instant, timezone.now(), depth=1)  # type: ignore[arg-type]


def _waiting_since(alias: str) -> str:
    """How long the oldest command has been waiting; empty when none waits."""
    waiting = Command.objects.filter(stream__ledger=alias, state__in=[CommandState.QUEUED, CommandState.SENT])
    oldest = waiting.filter(stream__parked_by=None).aggregate(oldest=Min("created_at"))["oldest"]
    return _ago(oldest) if oldest else ""


def _readers(alias: str, found: Status | None) -> Table:
    """How far each reader of the events has come."""
    columns = (Column(_("Reader")), Column(_("Next entry"), numeric=True), Column(_("Behind"), numeric=True))
    rows = tuple(
        (
            cursor.reader,
            _number(cursor.position),
            _number(max(0, found.size - cursor.position)) if found else "",
        )
        for cursor in Cursor.objects.filter(ledger=alias).order_by("reader")
    )
    return Table(_("Who listens, and how far each has come"), columns, rows)


def _lanes(alias: str) -> Table:
    waiting = Q(commands__state=CommandState.QUEUED, parked_by=None)
    per_lane = Stream.objects.filter(ledger=alias).values("lane").order_by("lane")
    counts = {
        row["lane"]: row
        for row in per_lane.annotate(
            streams=Count("pk", distinct=True),
            queued=Count("commands", filter=waiting),
            sent=Count("commands", filter=Q(commands__state=CommandState.SENT)),
        )
    }
    leases = {lane.number: lane for lane in Lane.objects.filter(ledger=alias)}
    columns = (
        Column(_("Lane")),
        Column(_("Streams"), numeric=True),
        Column(_("Queued"), numeric=True),
        Column(_("Sent"), numeric=True),
        Column(_("Worker")),
    )
    rows = []
    for number in range(LANES):
        row, lane = counts.get(number), leases.get(number)
        busy = lane is not None and lane.leased_until is not None and lane.leased_until > timezone.now()
        numbers = [_number(row[name]) if row else "0" for name in ("streams", "queued", "sent")]
        rows.append((str(number), *numbers, _("at work") if busy else _("free")))
    return Table(_("Lanes, each pushed by one worker at a time"), columns, tuple(rows))


def _parked(alias: str) -> Table | None:
    """Streams that a rejection stopped; None when all run."""
    streams = Stream.objects.filter(ledger=alias, parked_by__isnull=False).select_related("parked_by")
    found = list(streams.annotate(behind=Count("commands", filter=Q(commands__state=CommandState.QUEUED)))[:ROWS])
    if not found:
        return None
    columns = (
        Column(_("Stream")),
        Column(_("Stopped by")),
        Column(_("Reason")),
        Column(_("Waiting behind it"), numeric=True),
    )
    rows = tuple(
        (
            short(bytes(stream.domain)),
            kind_title(stream.parked_by.kind),
            standing_of(stream.parked_by).reason,
            _number(stream.behind),
        )
        for stream in found
        if stream.parked_by is not None
    )
    return Table(_("Streams that wait for a person"), columns, rows)


def _attempts(alias: str) -> Table | None:
    """The last tries to send, newest first; None before the first."""
    attempts = Attempt.objects.filter(transaction__ledger=alias).select_related("transaction").order_by("-pk")
    found = list(attempts.annotate(commands=Count("transaction__commands"))[:ROWS])
    if not found:
        return None
    columns = (
        Column(_("When")),
        Column(_("Lane"), numeric=True),
        Column(_("Commands"), numeric=True),
        Column(_("Result")),
        Column(_("Reason")),
    )
    rows = tuple(
        (
            _("%(time)s ago") % {"time": _ago(attempt.started_at)},
            str(attempt.transaction.lane),
            _number(attempt.commands),
            attempt.get_result_display(),
            attempt.message,
        )
        for attempt in found
    )
    return Table(_("Last tries to send"), columns, rows)
