"""Tell a worker that there is something to do. Only a hint: the periodic sweep finds all work without it."""

import time

import structlog
from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

PUSH = "ledger.push"
PAUSE = 5.0  # seconds after a failure in which nobody is woken: each further try would cost its caller a second

_failed_at = float("-inf")


def wake(ledger: str) -> None:
    hint(PUSH, ledger)


def hint(task: str, *args: str) -> None:
    """Have a task run soon, if a broker is there to hear of it."""
    global _failed_at
    if time.monotonic() < _failed_at + PAUSE:
        return
    try:
        current_app.send_task(task, args=args, retry=False, expires=10)
    except (OperationalError, RedisError, OSError) as error:
        _failed_at = time.monotonic()
        logger.warning("wake_up_failed", task=task, args=args, error=str(error))
