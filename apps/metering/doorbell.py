"""Wakes requests that wait for something to tell a device: PostgreSQL's NOTIFY, which comes with the commit.

One thread per process listens, while somebody waits; those who wait hold no connection to the database.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection

log = logging.getLogger(__name__)

CHANNEL = "metering_doorbell"
STARTS_WITHIN = 5.0  # seconds
PAUSE = 1.0  # after an error
LINGER = 5.0  # without anybody who waits


def ring(device: int) -> None:
    """Wake who waits for this device, once the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(device)])


class NoRoom(Exception):
    """As many wait in this process as may."""


class Doorbell:
    """Thread-safe. Each device may wait once: a later request ends the wait of the one before it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, threading.Event] = {}
        self._listener: threading.Thread | None = None
        self._listening = threading.Event()
        self._closing = threading.Event()

    @contextmanager
    def waiting(self, device: int, most: int) -> Iterator[threading.Event]:
        """An event that is set when the device is rung for. What was said before is not heard: look first.

        Raises `NoRoom` when `most` wait already.
        """
        event = threading.Event()
        with self._lock:
            before = self._waiting.pop(device, None)
            if before is not None:
                before.set()
            if len(self._waiting) >= most:
                raise NoRoom
            self._waiting[device] = event
            self._start()
        try:
            self._listening.wait(STARTS_WITHIN)
            yield event
        finally:
            with self._lock:
                if self._waiting.get(device) is event:
                    del self._waiting[device]

    def close(self) -> None:
        """Stop listening; who waits is woken."""
        self._closing.set()
        listener = self._listener
        if listener is not None:
            listener.join()

    def _start(self) -> None:
        if self._listener is None:
            self._closing.clear()
            settings = connection.get_connection_params()
            self._listener = threading.Thread(target=self._listen, args=[settings], name="doorbell", daemon=True)
            self._listener.start()

    def _listen(self, settings: dict[str, object]) -> None:
        settings = {key: settings[key] for key in settings if key not in {"cursor_factory", "context"}}
        while not self._is_done():
            try:
                self._hear(settings)
            except psycopg.Error as error:
                log.warning("nobody is woken for devices until the database answers: %s", error)
                self._listening.clear()
                self._closing.wait(PAUSE)
            # What was said meanwhile was not heard.
            self._ring_all()

    def _hear(self, settings: dict[str, object]) -> None:
        with psycopg.connect(**settings, autocommit=True) as heard:  # type: ignore[arg-type]
            heard.execute(f"LISTEN {CHANNEL}")
            self._listening.set()
            idle = 0.0
            while idle < LINGER and not self._closing.is_set():
                for notice in heard.notifies(timeout=0.5):
                    self._ring(int(notice.payload))
                with self._lock:
                    idle = 0.0 if self._waiting else idle + 0.5

    def _is_done(self) -> bool:
        with self._lock:
            if self._waiting and not self._closing.is_set():
                return False
            self._listener = None
            self._listening.clear()
            return True

    def _ring(self, device: int) -> None:
        with self._lock:
            event = self._waiting.get(device)
        if event is not None:
            event.set()

    def _ring_all(self) -> None:
        with self._lock:
            events = list(self._waiting.values())
        for event in events:
            event.set()


DOORBELL = Doorbell()
