"""What workers do when woken up."""

from celery import shared_task
from django.conf import settings

from apps.ledger.services.expiries import warn_of_expiries
from apps.ledger.services.sweep import sweep
from apps.ledger.wake import PUSH


@shared_task(name=PUSH)
def push(ledger: str) -> None:
    sweep(ledger)


@shared_task(name="ledger.sweep")
def sweep_all() -> None:
    for ledger in settings.LEDGERS:
        sweep(ledger)


@shared_task(name="ledger.expiries")
def warn_of_all_expiries() -> None:
    for ledger in settings.LEDGERS:
        warn_of_expiries(ledger)
