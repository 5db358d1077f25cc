"""What a process says about its ledgers as it starts."""

from threading import Thread

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.ledger.ledgers import get_ledger
from ledger_adapters.exceptions import LedgerError, Misconfigured

logger = structlog.get_logger(__name__)


def look_at_ledgers() -> None:
    """Log one error for each ledger whose settings do not fit it; it names the setting."""
    for ledger in settings.LEDGERS:
        try:
            get_ledger(ledger).genesis()
        except (Misconfigured, ImproperlyConfigured) as error:
            logger.error("ledger_misconfigured", ledger=ledger, error=str(error))
        except LedgerError as error:
            logger.warning("ledger_away", ledger=ledger, error=str(error))


def look_at_ledgers_meanwhile() -> None:
    """The same while the process goes on: a ledger that hangs must not keep it from its work."""
    Thread(target=look_at_ledgers, name="look-at-ledgers", daemon=True).start()
