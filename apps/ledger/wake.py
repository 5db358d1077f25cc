"""Tell a worker that there is something to do. Only a hint: the periodic sweep finds all work without it."""

import structlog
from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

PUSH = "ledger.push"


def wake(ledger: str) -> None:
    try:
        current_app.send_task(PUSH, args=[ledger], retry=False, expires=10)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("wake_up_failed", ledger=ledger, error=str(error))
