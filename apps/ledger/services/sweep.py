"""One round of everything: what a wake-up and the periodic sweep do."""

import structlog

from apps.ledger.choices import CommandState
from apps.ledger.models import Command
from apps.ledger.services.listen import consume, listen
from apps.ledger.services.push import push
from ledger_adapters.exceptions import LedgerError, Transient

logger = structlog.get_logger(__name__)


def sweep(ledger: str) -> None:
    """What was heard is consumed even while the ledger itself is away, or its chain was reorganised."""
    push(ledger)
    try:
        listen(ledger)
    except Transient as error:
        logger.warning("ledger_away", ledger=ledger, error=str(error))
    except LedgerError:
        # Somebody has to look; what was heard before is not kept from the apps, nor other ledgers from theirs.
        logger.exception("ledger_not_heard", ledger=ledger)
    consume(ledger)


def drain(ledger: str) -> None:
    """Sweep until nothing moves any more: for commands that must see the end of what they started."""
    waiting = -1
    while True:
        sweep(ledger)
        left = Command.objects.filter(state__in=[CommandState.QUEUED, CommandState.SENT]).count()
        if left in (0, waiting):
            return
        waiting = left
