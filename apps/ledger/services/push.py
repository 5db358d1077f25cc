"""Send what waits in the outbox. Many workers may run this at once: a lane belongs to one of them at a time."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.ledger.choices import AttemptResult, CommandState, TransactionState
from apps.ledger.ledgers import get_ledger
from apps.ledger.models import LANES, Attempt, Command, Lane, Stream, Transaction
from apps.ledger.services.costs import afford, as_sent, replace, settle
from apps.ledger.services.listen import finish, listen, outcome_of
from ledger_adapters import base
from ledger_adapters.base import LedgerAdapter, Limits
from ledger_adapters.exceptions import Conflict, Misconfigured, OutcomeUnknown, Rejected, Transient

logger = structlog.get_logger(__name__)

LEASE = timedelta(seconds=40)
# After so many in a row a lane waits for the next sweep.
MOST_CONFLICTS = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to push a lane, for as long as its token is the lane's."""

    ledger: str
    lane: int
    token: int


class LostLane(Exception):
    """The lease ended and somebody else has the lane."""


def push(ledger: str) -> None:
    """Push every lane that has work and is free. Must not be called inside a database transaction."""
    with transaction.atomic(durable=True):
        Lane.objects.bulk_create([Lane(ledger=ledger, number=n) for n in range(LANES)], ignore_conflicts=True)
    lanes = lanes_with_work(ledger)
    if get_ledger(ledger).is_remote and len(lanes) > 1:
        with ThreadPoolExecutor(len(lanes)) as threads:
            list(threads.map(partial(_push_in_thread, ledger), lanes))
    else:
        for lane in lanes:
            _push_if_free(ledger, lane)


def _push_in_thread(ledger: str, lane: int) -> None:
    try:
        _push_if_free(ledger, lane)
    finally:
        connection.close()


def _push_if_free(ledger: str, lane: int) -> None:
    claim = claim_lane(ledger, lane)
    if claim is None:
        return
    try:
        push_lane(claim)
    except LostLane:
        logger.warning("lane_lost", ledger=ledger, lane=lane)
    except (Transient, Misconfigured) as error:
        logger.warning("ledger_away", ledger=ledger, lane=lane, error=str(error))
    except Exception:
        # A defect in what one lane holds must not keep the others from theirs.
        logger.exception("lane_failed", ledger=ledger, lane=lane)
    finally:
        Lane.objects.filter(ledger=ledger, number=lane, token=claim.token).update(leased_until=None)


def lanes_with_work(ledger: str) -> list[int]:
    waiting = Stream.objects.filter(ledger=ledger, parked_by=None, commands__state=CommandState.QUEUED)
    in_flight = Transaction.objects.filter(ledger=ledger).exclude(state=TransactionState.FINAL)
    return sorted({*waiting.values_list("lane", flat=True).distinct(), *in_flight.values_list("lane", flat=True)})


def claim_lane(ledger: str, number: int) -> Claim | None:
    with transaction.atomic():
        free = Lane.objects.filter(Q(leased_until=None) | Q(leased_until__lt=Now()), ledger=ledger, number=number)
        lane = free.select_for_update(skip_locked=True).first()
        if lane is None:
            return None
        lane.token += 1
        lane.leased_until = timezone.now() + LEASE
        lane.save(update_fields=["token", "leased_until"])
    return Claim(ledger, number, lane.token)


def push_lane(claim: Claim) -> None:
    """Send one transaction after another until the lane is empty or the ledger has to be waited for."""
    adapter = get_ledger(claim.ledger)
    while True:
        sent = _in_flight(claim) or _prepare(claim, adapter)
        if sent is None:
            return
        try:
            if sent.state == TransactionState.PREPARED and not _send(claim, sent, adapter):
                return
            listen(claim.ledger)
            if not finish(sent, adapter):
                return
        except Conflict as conflict:
            settle(sent, adapter, is_void=True)
            if _take_back(claim, sent, conflict) > MOST_CONFLICTS:
                return
        else:
            Lane.objects.filter(ledger=claim.ledger, number=claim.lane).exclude(conflicts=0).update(conflicts=0)


def _queue_again(sent: Transaction) -> None:
    """End a transaction that did nothing; those of its commands that have no receipt wait as before."""
    Command.objects.filter(transaction=sent, state=CommandState.SENT).update(
        state=CommandState.QUEUED, transaction=None
    )
    Transaction.objects.filter(pk=sent.pk).update(state=TransactionState.FINAL)


def _set_aside(sent: Transaction, message: str) -> bool:
    """Park the stream of a command that the ledger does not even take; of several, the one has yet to be found."""
    with transaction.atomic():
        commands = list(sent.commands.select_for_update().filter(state=CommandState.SENT))
        if len(commands) > 1:
            return False
        for command in commands:
            logger.error("command_not_taken", command=str(command), kind=command.kind, error=message)
            Stream.objects.filter(pk=command.stream_id, parked_by=None).update(parked_by=command)
        _queue_again(sent)
    return True


def _take_back(claim: Claim, sent: Transaction, conflict: Conflict) -> int:
    """Queue the commands of a transaction that never will be applied again; returns how many such came in a row."""
    logger.warning("transaction_taken_back", transaction=str(sent), error=str(conflict))
    with transaction.atomic():
        lane = Lane.objects.select_for_update().get(ledger=claim.ledger, number=claim.lane)
        lane.conflicts += 1
        lane.save(update_fields=["conflicts"])
        _queue_again(sent)
        # Most conflicts show only after the try itself went well.
        last = sent.attempts.order_by("-pk").values("pk")[:1]
        Attempt.objects.filter(pk__in=last).update(result=AttemptResult.CONFLICT, message=str(conflict))
    return lane.conflicts


def _in_flight(claim: Claim) -> Transaction | None:
    unfinished = Transaction.objects.filter(ledger=claim.ledger, lane=claim.lane)
    return unfinished.exclude(state=TransactionState.FINAL).first()


def _prepare(claim: Claim, adapter: LedgerAdapter) -> Transaction | None:
    """Sign the lane's next commands and store the bytes, before anything is sent."""
    with transaction.atomic():
        lane = _hold(claim)
        chosen = list(_choose(claim, adapter.limits.after(lane.conflicts)))
        if not chosen:
            return None
        last = Transaction.objects.filter(ledger=claim.ledger, lane=claim.lane).order_by("-pk").first()
        place = base.Lane(claim.lane, bytes(last.payload) if last else None)
        prepared = adapter.prepare([bytes(command.envelope) for command in chosen], place)
        stored = Transaction.objects.create(
            ledger=claim.ledger,
            transaction_id=prepared.id,
            lane=claim.lane,
            payload=prepared.payload,
            cost=prepared.cost,
        )
        ids = [command.pk for command in chosen]
        Command.objects.filter(pk__in=ids).update(state=CommandState.SENT, transaction=stored)
    return stored


def _hold(claim: Claim) -> Lane:
    """Lock the lane and renew its lease. Raises `LostLane`."""
    lane = Lane.objects.select_for_update().get(ledger=claim.ledger, number=claim.lane)
    if lane.token != claim.token:
        raise LostLane
    lane.leased_until = timezone.now() + LEASE
    lane.save(update_fields=["leased_until"])
    return lane


def _choose(claim: Claim, limits: Limits) -> Iterator[Command]:
    """Commands that may go now, streams taking turns; one whose predecessor is still on its way holds its stream up."""
    queued = Command.objects.filter(
        state=CommandState.QUEUED, stream__ledger=claim.ledger, stream__lane=claim.lane, stream__parked_by=None
    )
    candidates = list(queued.order_by("position", "stream_id")[: limits.commands])
    on_their_way = _on_their_way(command.after for command in candidates if command.after)
    held_up: set[int] = set()
    size = 0
    for command in candidates:
        if command.after and bytes(command.after) in on_their_way:
            held_up.add(command.stream_id)
        size += len(command.envelope)
        if size > limits.bytes:
            return
        if command.stream_id not in held_up:
            yield command


def _on_their_way(ids: Iterable[bytes]) -> set[bytes]:
    waiting = Command.objects.filter(command_id__in=list(ids), state__in=[CommandState.QUEUED, CommandState.SENT])
    return {bytes(command_id) for command_id in waiting.values_list("command_id", flat=True)}


def _send(claim: Claim, sent: Transaction, adapter: LedgerAdapter) -> bool:
    """Whether the ledger has taken the transaction. After a try of unknown outcome, the ledger is asked first."""
    doubtful = [AttemptResult.RUNNING, AttemptResult.UNKNOWN]
    ask_first = sent.attempts.filter(result__in=doubtful).exists()
    is_again = sent.attempts.exists()
    attempt = Attempt.objects.create(transaction=sent)
    result, message = AttemptResult.ACCEPTED, ""
    try:
        if not (ask_first and outcome_of(sent, adapter) is not None):
            if is_again:
                with transaction.atomic():
                    _hold(claim)
                    replace(sent, adapter)
            afford(sent, adapter)
            adapter.submit(as_sent(sent))
    except Transient as error:
        result, message = AttemptResult.TRANSIENT, str(error)
    except (OutcomeUnknown, Misconfigured) as error:
        # What does not fit may have been noticed after the bytes were out.
        result, message = AttemptResult.UNKNOWN, str(error)
    except Conflict as error:
        result, message = AttemptResult.CONFLICT, str(error)
    except Rejected as error:
        result, message = AttemptResult.FAILED, str(error)
    Attempt.objects.filter(pk=attempt.pk).update(result=result, message=message, ended_at=timezone.now())
    if result == AttemptResult.CONFLICT or (result == AttemptResult.FAILED and not _set_aside(sent, message)):
        raise Conflict(message)
    if result != AttemptResult.ACCEPTED:
        logger.warning("ledger_push_failed", transaction=str(sent), result=result, error=message)
        return False
    sent.state = TransactionState.ACCEPTED
    Transaction.objects.filter(pk=sent.pk, state=TransactionState.PREPARED).update(state=sent.state)
    return True
