"""Whether the box does its work: told to systemd, and to whoever waits to see a new release at work.

systemd hears `WATCHDOG=1` from the loop that reads, and only as long as it comes round.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from meter_agent.journal.status import read_status

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


def notify(*states: str) -> bool:
    """Tell the service manager, if there is one: READY=1, WATCHDOG=1, STATUS=..., STOPPING=1."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto("\n".join(states).encode(), address)
        except OSError as error:
            log.error("the service manager cannot be told %s: %s", states, error.strerror)
            return False
    return True


class Heartbeat:
    """Called by the loop that reads, each time it comes round."""

    def __init__(self) -> None:
        self._is_ready = False

    def __call__(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            notify("READY=1")
        notify("WATCHDOG=1")


def has_worked(journal: Path, since: float) -> bool:
    """Whether something was read and something was taken by a head-end since an instant. Raises `JournalError`."""
    status = read_status(journal)
    taken = [each["at"] for each in status["last_acknowledgement"].values()]
    read = status["last_reading"]
    return read is not None and _instant(read) >= since and any(_instant(at) >= since for at in taken)


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def say_when_healthy(journal: Path, say: Callable[[], None], wall: Callable[[], float] = time.time) -> None:
    """Wait until the box has read and sent since now, and say so once."""
    since = int(wall())
    while not has_worked(journal, since):
        await asyncio.sleep(LOOK_SECONDS)
    say()
