"""How a ledger is doing, for those who look after it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from apps.ledger.choices import CommandState
from apps.ledger.models import Attempt, Stream
from apps.ledger.services.figures import Figures, figures
from apps.ledger.services.status import standing_of
from apps.portal.records import kind_title, short
from apps.web.components import Column, Table
from apps.web.formatting import decimal_text

ROWS = 10


@dataclass(frozen=True, slots=True)
class Overview:
    """`waiting_since`: for how long the oldest command has been waiting, empty when none waits."""

    figures: Figures
    readers: Table
    lanes: Table
    parked: Table | None
    attempts: Table | None
    waiting_since: str

    @property
    def fails(self) -> bool:
        """Whether what was tried last in some lane failed, and nothing has worked there since."""
        return any(lane.last_failure and not lane.over for lane in self.figures.lanes)


def overviews(aliases: Iterable[str]) -> Iterator[Overview]:
    for alias in aliases:
        found = figures(alias)
        waiting = found.waiting_seconds
        yield Overview(
            found,
            _readers(found),
            _lanes(found),
            _parked(alias),
            _attempts(alias),
            "" if waiting is None else _ago(timezone.now() - timedelta(seconds=waiting)),
        )


def _number(value: int) -> str:
    return decimal_text(Decimal(value), most=0)


def _ago(instant: object) -> str:
    return timesince(instant, timezone.now(), depth=1)  # type: ignore[arg-type]


def _readers(found: Figures) -> Table:
    """How far each reader of the events has come."""
    columns = (Column(_("Reader")), Column(_("Next entry"), numeric=True), Column(_("Behind"), numeric=True))
    rows = tuple(
        (reader.name, _number(reader.position), "" if reader.behind is None else _number(reader.behind))
        for reader in found.readers
    )
    return Table(_("Who listens, and how far each has come"), columns, rows)


def _lanes(found: Figures) -> Table:
    columns = (
        Column(_("Lane")),
        Column(_("Streams"), numeric=True),
        Column(_("Queued"), numeric=True),
        Column(_("Sent"), numeric=True),
        Column(_("Conflicts in a row"), numeric=True),
        Column(_("Worker")),
        Column(_("Last failure")),
    )
    rows = tuple(
        (
            str(lane.number),
            *(_number(value) for value in (lane.streams, lane.queued, lane.sent, lane.conflicts)),
            _("at work") if lane.at_work else _("free"),
            lane.last_failure,
        )
        for lane in found.lanes
    )
    return Table(_("Lanes, each pushed by one worker at a time"), columns, rows)


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
