"""What transactions cost, on ledgers that are paid for."""

from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from apps.ledger.choices import AttemptResult
from apps.ledger.models import Attempt, Replaced, Transaction
from ledger_adapters import base
from ledger_adapters.base import LedgerAdapter

DAY = timedelta(days=1)
# Tries after which the ledger may have the bytes.
TAKEN = [AttemptResult.RUNNING, AttemptResult.ACCEPTED, AttemptResult.UNKNOWN, AttemptResult.CONFLICT]


def as_sent(sent: Transaction) -> base.Transaction:
    return base.Transaction(bytes(sent.transaction_id), bytes(sent.payload), int(sent.cost), sent.former)


def afford(sent: Transaction, adapter: LedgerAdapter) -> None:
    """Raises `Transient` when a try to send goes beyond what may be spent. Write the try down before.

    Every try that others wrote down counts, so that of two at once at least one sees the other.
    """
    if sent.cost:
        adapter.afford(as_sent(sent), _spent(sent))


def _spent(sent: Transaction) -> int:
    """What all other transactions cost that were tried in the last day; of those still open, the most they can."""
    tried = Attempt.objects.filter(started_at__gt=timezone.now() - DAY, result__in=TAKEN)
    others = Transaction.objects.filter(ledger=sent.ledger, pk__in=tried.values("transaction")).exclude(pk=sent.pk)
    return int(others.aggregate(total=Sum("cost"))["total"] or 0)


def replace(sent: Transaction, adapter: LedgerAdapter) -> None:
    """Put better bytes in place of those that did not do; the old ones are kept, since the ledger may still take them.

    Call it inside a database transaction that holds the lane. Raises as `prepare` does.
    """
    better = adapter.replacement(as_sent(sent))
    if better is None:
        return
    Replaced.objects.create(successor=sent, transaction_id=sent.transaction_id, payload=sent.payload)
    sent.transaction_id, sent.payload, sent.cost = better.id, better.payload, Decimal(better.cost)
    sent.save(update_fields=["transaction_id", "payload", "cost"])


@transaction.atomic
def settle(sent: Transaction, adapter: LedgerAdapter, *, is_void: bool = False) -> None:
    """Write down what a transaction did cost that is over; of several bytes those stay that the ledger took.

    One that is void costs nothing, unless it is on the ledger and was paid for. Any other that is not on the ledger may
    still come there, and counts with the most that it can cost.
    """
    if not sent.cost:
        return
    known = {each: adapter.cost(each) for each in (bytes(sent.transaction_id), *sent.former)}
    paid = {each: cost for each, cost in known.items() if cost is not None}
    for taken, cost in paid.items():
        _keep(sent, taken)
        sent.cost = Decimal(cost)
    if is_void and not paid:
        sent.cost = Decimal(0)
    sent.save(update_fields=["transaction_id", "payload", "cost"])


def _keep(sent: Transaction, taken: bytes) -> None:
    """Have the bytes that the ledger took stand for the transaction."""
    if taken == bytes(sent.transaction_id):
        return
    former = sent.replaced.get(transaction_id=taken)
    payload = bytes(former.payload)
    former.transaction_id, former.payload = sent.transaction_id, sent.payload
    former.save(update_fields=["transaction_id", "payload"])
    sent.transaction_id, sent.payload = taken, payload
