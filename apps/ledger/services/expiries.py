"""Until when the certificates are good that a ledger is reached with, and a word in the log before they end."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.utils import timezone

from apps.ledger.ledgers import get_ledger
from ledger_adapters.base import LedgerAdapter

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ExpiryFigures:
    """`seconds` are left until the certificate that `setting` names ends, negative afterwards.

    It is `near` when somebody should have renewed it by now.
    """

    setting: str
    ends: datetime
    seconds: int
    near: bool


def expiries(adapter: LedgerAdapter) -> Iterator[ExpiryFigures]:
    now = timezone.now()
    for each in adapter.expiries():
        yield ExpiryFigures(each.setting, each.ends, int((each.ends - now).total_seconds()), each.warn <= now)


def warn_of_expiries(ledger: str) -> None:
    for each in expiries(get_ledger(ledger)):
        if each.near:
            logger.warning("certificate_ends", ledger=ledger, setting=each.setting, ends=each.ends.isoformat())
