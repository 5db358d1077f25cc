"""Files with readings on their way: received and checked, decided, stored a metering point at a time, stopped, resumed.

What there is to do stands in the database: `run_imports` takes it up after any crash, where it was.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import ApiClient, PartyKey, User
from apps.assets.models import MarketArea
from apps.metering.choices import ImportState, SourceKey
from apps.metering.deliveries import TableLayout
from apps.metering.exceptions import BatchRefused, ImportRefused
from apps.metering.models import Device, ReadingImport
from apps.metering.services.intake import Checked, check_content, store_part
from apps.metering.sources import FILES, read_file

LEASE = dt.timedelta(minutes=10)
SHOWN_PROBLEMS = 200
# So often a file may be taken up again after a worker died over it.
MOST_ATTEMPTS = 20

_TAKEN = (ImportState.QUEUED, ImportState.RUNNING, ImportState.STOPPED, ImportState.STORED)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a file: one of them."""

    person: User | None = None
    client: ApiClient | None = None
    device: Device | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """`is_new` is false for an interchange that is here already."""

    delivery: ReadingImport
    is_new: bool


def receive_file(
    area: MarketArea,
    source: SourceKey,
    name: str,
    content: bytes,
    sender: Sender,
    layout: TableLayout | None = None,
) -> Received:
    """Check a file and keep it with its report, until somebody decides. Nothing is stored as readings yet."""
    found = read_file(FILES[source], name[:200], content, area, layout)
    known = _known(area, source, found.reference, content) if found.reference else None
    if known is not None:
        return Received(known, is_new=False)
    checked = check_content(area, source, found)
    delivery = ReadingImport.objects.create(
        area=area,
        source=source,
        layout=layout,
        name=name[:200],
        reference=found.reference,
        sha256=hashlib.sha256(content).digest(),
        size=len(content),
        content=content if checked.is_usable else None,
        person=sender.person,
        client=sender.client,
        device=sender.device,
        state=ImportState.CHECKED if checked.is_usable else ImportState.REFUSED,
        finished_at=None if checked.is_usable else timezone.now(),
        report=report_of(checked),
        total=len(checked.parts),
    )
    return Received(delivery, is_new=True)


def _known(area: MarketArea, source: SourceKey, reference: str, content: bytes) -> ReadingImport | None:
    """The same interchange, if it came before. Raises `ImportRefused` when it had other content."""
    taken = ReadingImport.objects.filter(area=area, source=source, reference=reference, state__in=_TAKEN)
    known = taken.first()
    if known is not None and bytes(known.sha256) != hashlib.sha256(content).digest():
        message = _("The interchange %(reference)s came before with other content.") % {"reference": reference}
        raise ImportRefused("reference_reused", message)
    return known


def report_of(checked: Checked) -> dict[str, Any]:
    """What a file would do, as it is shown: counts, and its first problems by line."""
    by_rule: dict[str, int] = {}
    for problem in checked.problems:
        by_rule[problem.rule] = by_rule.get(problem.rule, 0) + 1
    for rule, count in checked.more_problems.items():
        by_rule[rule] = by_rule.get(rule, 0) + count
    return {
        "new": checked.new,
        "changed": checked.changed,
        "identical": checked.identical,
        "bad": checked.bad,
        "skipped": dict(checked.skipped),
        "rules": by_rule,
        "problems": [
            {"line": problem.line, "field": problem.field, "rule": problem.rule, "message": problem.message}
            for problem in checked.problems[:SHOWN_PROBLEMS]
        ],
        "points": [{"code": part.point.code, "use": part.use.value, "new": part.new} for part in checked.parts],
    }


def begin(delivery: ReadingImport, *, keep_good: bool = False) -> None:
    """Say that a file is to be stored, or goes on after it was stopped.

    Raises `ImportRefused`: it has bad rows and `keep_good` is not given, it is not usable, or the interchange came in
    between.
    """
    try:
        with transaction.atomic():
            locked = ReadingImport.objects.select_for_update().get(pk=delivery.pk)
            if locked.state not in (ImportState.CHECKED, ImportState.STOPPED):
                raise ImportRefused("not_waiting", _("This file does not wait for a decision."))
            if locked.state == ImportState.CHECKED and locked.report["bad"] and not keep_good:
                raise ImportRefused("bad_rows", _("The file has rows that cannot be used."))
            locked.keep_good |= keep_good
            locked.state = ImportState.QUEUED
            locked.save(update_fields=["keep_good", "state"])
    except IntegrityError:
        raise ImportRefused("interchange_known", _("The same interchange is here already.")) from None


def stop(delivery: ReadingImport) -> bool:
    """Stop after the metering point that is being stored. False when there is nothing to stop."""
    running = ReadingImport.objects.filter(pk=delivery.pk, state__in=(ImportState.QUEUED, ImportState.RUNNING))
    return bool(running.update(state=ImportState.STOPPED))


def discard(delivery: ReadingImport) -> bool:
    """Drop a file that nobody wants stored; what of it is stored already stays. False when it is decided otherwise."""
    waiting = ReadingImport.objects.filter(pk=delivery.pk, state__in=(ImportState.CHECKED, ImportState.STOPPED))
    return bool(waiting.update(state=ImportState.DISCARDED, content=None, finished_at=timezone.now()))


def run_imports() -> int:
    """Store what waits or was left by a worker that died; returns how many files were taken up."""
    count = 0
    while (delivery := _claim()) is not None:
        count += 1
        _run(delivery)
    return count


def _claim() -> ReadingImport | None:
    now = timezone.now()
    left = Q(state=ImportState.RUNNING, lease_until__lt=now)
    with transaction.atomic():
        waiting = ReadingImport.objects.select_for_update(skip_locked=True, of=("self",))
        found = waiting.filter(Q(state=ImportState.QUEUED) | left).order_by("pk").first()
        if found is None:
            return None
        found.state, found.attempt, found.lease_until = ImportState.RUNNING, found.attempt + 1, now + LEASE
        found.save(update_fields=["state", "attempt", "lease_until"])
    if found.attempt > MOST_ATTEMPTS:
        _fail(found, "", "given_up", _("It was begun %(count)s times and never ended.") % {"count": MOST_ATTEMPTS})
        return _claim()
    return found


def _run(delivery: ReadingImport) -> None:
    """Check anew, since others may have stored in the meantime, and store a metering point after another."""
    area = delivery.area
    content = read_file(FILES[SourceKey(delivery.source)], delivery.name, _kept(delivery), area, delivery.layout)
    checked = check_content(area, SourceKey(delivery.source), content)
    if checked.bad and not delivery.keep_good:
        _finish(delivery, ImportState.FAILED, report=report_of(checked))
        return
    for done, part in enumerate(checked.parts, 1):
        try:
            with transaction.atomic():
                if not _still_ours(delivery):
                    return
                store_part(area.utility, part, delivery)
                ReadingImport.objects.filter(pk=delivery.pk).update(
                    done=done,
                    total=len(checked.parts),
                    stored=delivery.stored + part.new,
                    lease_until=timezone.now() + LEASE,
                )
        except BatchRefused as refused:
            _fail(delivery, part.point.code, refused.violations[0].rule, str(refused))
            return
        except PartyKey.DoesNotExist:
            message = _("%(utility)s has no key here that could sign an import.") % {"utility": area.utility}
            _fail(delivery, part.point.code, "no_key", message)
            return
        delivery.stored += part.new
    _finish(delivery, ImportState.STORED)


def _kept(delivery: ReadingImport) -> bytes:
    if delivery.content is None:
        raise ValueError(f"import {delivery.pk} has lost its file")
    return bytes(delivery.content)


def _still_ours(delivery: ReadingImport) -> bool:
    """Whether this worker is still the one that stores the file; holds its row until the metering point is stored."""
    row = ReadingImport.objects.select_for_update().filter(pk=delivery.pk).values_list("state", "attempt").get()
    return row == (ImportState.RUNNING, delivery.attempt)


def _fail(delivery: ReadingImport, code: str, rule: str, message: str) -> None:
    problem = {"line": 0, "field": code, "rule": rule, "message": message[:500]}
    report = {**delivery.report, "problems": [problem, *delivery.report["problems"]]}
    _finish(delivery, ImportState.FAILED, report=report)


def _finish(delivery: ReadingImport, state: ImportState, **fields: Any) -> None:
    ours = ReadingImport.objects.filter(pk=delivery.pk, state=ImportState.RUNNING, attempt=delivery.attempt)
    ours.update(state=state, content=None, lease_until=None, finished_at=timezone.now(), **fields)
