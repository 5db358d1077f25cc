"""Waiting for what other processes do."""

import http.client
import time
from collections.abc import Callable

from django.db.models import Max

from apps.ledger.choices import CommandState
from apps.ledger.consumers import consumers
from apps.ledger.models import Command, Cursor, Event
from apps.portal.demo.exceptions import DemoError

PATIENCE = 120.0  # seconds
PAUSE = 0.1


def wait_until(condition: Callable[[], bool], what: str, watch: Callable[[], None]) -> None:
    """Look again and again until `condition` holds. `watch` raises when one of those who work has died."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        watch()
        if time.monotonic() > deadline:
            raise DemoError(f"Waited {PATIENCE:.0f} seconds in vain for {what}.")
        time.sleep(PAUSE)


def wait_for_ledger(watch: Callable[[], None]) -> None:
    """Until every command has its answer and every app has heard it. What was rejected shows in the objects."""
    wait_until(everything_heard, "the ledger", watch)


def everything_heard() -> bool:
    if Command.objects.filter(state__in=[CommandState.QUEUED, CommandState.SENT], stream__parked_by=None).exists():
        return False
    positions = {(cursor.ledger, cursor.reader): cursor.position for cursor in Cursor.objects.all()}
    newest = Event.objects.order_by().values_list("ledger").annotate(Max("position"))
    return all(
        positions.get((ledger, consumer.name), 0) > position for ledger, position in newest for consumer in consumers()
    )


def wait_for_web(port: int, watch: Callable[[], None]) -> None:
    wait_until(lambda: _is_ready(port), "the web server", watch)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
