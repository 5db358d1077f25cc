"""How the ledgers are doing, for /readyz."""

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from apps.ledger.services.status import status
from apps.web.health import Finding, State
from ledger_adapters.exceptions import LedgerError, Misconfigured

logger = structlog.get_logger(__name__)

MOST_LAG = 1_000


def check_ledgers() -> Finding:
    """Pages go on without the ledger, commands wait: nothing of it makes this process unfit for requests."""
    for ledger in settings.LEDGERS:
        try:
            found = status(ledger)
        except (Misconfigured, ImproperlyConfigured) as error:
            return Finding(State.DEGRADED, str(error))
        except (LedgerError, DatabaseError) as error:
            logger.warning("ledger_not_ready", ledger=ledger, error=str(error))
            return Finding(State.DEGRADED, f"{ledger}: the ledger does not answer.")
        if found.lag > MOST_LAG:
            return Finding(State.DEGRADED, f"{ledger}: {found.lag} events have not been heard yet.")
        if found.parked:
            return Finding(State.DEGRADED, f"{ledger}: {found.parked} streams are parked.")
    return Finding(State.OK)
