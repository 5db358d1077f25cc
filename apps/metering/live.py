"""Newest values on their way to whoever looks: told through Redis after the commit, heard by one thread per process.

Only a hint: the database has what was not heard, and whoever connects again reads it there.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial

import redis
import structlog
from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.metering.doorbell import NoRoom
from apps.metering.readings import Row

logger = structlog.get_logger(__name__)

WINDOW = 7 * 24 * 3600  # seconds: what is older is no news
LONGEST = 0.25  # seconds that Redis may take
PAUSE = 5.0  # seconds after a failure in which nobody is told
STARTS_WITHIN = 2.0  # seconds
LINGER = 5.0  # seconds without anybody who watches


class Away(Exception):
    """Nothing can be heard: Redis does not answer."""


def publish(rows: Sequence[Row], backup: Sequence[bool] | None = None) -> None:
    """Tell the newest slot of each point and register once the transaction commits.

    `rows` in the order of their leaves; `backup` says of each whether it only informs, which is no news.
    """
    standing = rows if backup is None else [row for row, informs in zip(rows, backup, strict=True) if not informs]
    # The last one of each is its newest.
    newest = {(row.point, row.register): row for row in standing}
    since = time.time() - WINDOW
    news = [row for row in newest.values() if row.slot >= since]
    if news:
        transaction.on_commit(partial(TELLER.tell, news))


class Teller:
    """Sends news, and says once that nobody can be told until it works again."""

    def __init__(self) -> None:
        self._again_at = float("-inf")
        self._is_away = False

    def tell(self, news: Sequence[Row]) -> None:
        if time.monotonic() < self._again_at:
            return
        try:
            _client().publish(_channel(), json.dumps(news, separators=(",", ":")))
        except (redis.RedisError, OSError) as error:
            self._again_at = time.monotonic() + PAUSE
            if not self._is_away:
                logger.warning("live_values_not_told", error=str(error))
            self._is_away = True
            return
        self._is_away = False


TELLER = Teller()


@cache
def _client() -> redis.Redis:
    # Once more only where the connection was found broken, as after a restart of Redis.
    once_more = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=LONGEST, socket_connect_timeout=LONGEST, retry=once_more
    )


@cache
def _channel() -> str:
    """Channels are common to all databases of a Redis: another installation's points have the same numbers."""
    return f"metering.live.{salted_hmac('metering.live', 'channel').hexdigest()[:20]}"


class Watch:
    """What one stream waits for: of each point, slots from `since[point]` on. Keeps the newest of each register."""

    def __init__(self, person: object, since: Mapping[int, int]) -> None:
        self.person = person
        self.since = since
        self.is_over = False
        self._changed = threading.Condition()
        self._news: dict[tuple[int, int], Row] = {}

    def hear(self, news: Sequence[Row]) -> None:
        mine = [row for row in news if row.slot >= self.since.get(row.point, row.slot + 1)]
        if not mine:
            return
        with self._changed:
            for row in mine:
                known = self._news.get((row.point, row.register))
                if known is None or known.slot <= row.slot:
                    self._news[row.point, row.register] = row
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def take(self, seconds: float) -> list[Row]:
        """What was heard since the last time; waits for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._news or self.is_over, seconds)
            news, self._news = self._news, {}
        return list(news.values())


class Live:
    """Thread-safe. Listens while somebody watches; when it can no longer hear, every watch ends."""

    def __init__(self) -> None:
        # Whether this process goes on; asked by streams.
        self.serves: Callable[[], bool] = lambda: True
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._listener: threading.Thread | None = None
        self._listening = threading.Event()
        self._closing = threading.Event()
        self._is_away = False

    @contextmanager
    def watching(self, person: object, since: Mapping[int, int], most: int, most_of_person: int) -> Iterator[Watch]:
        """A watch over points. What was told before is not heard: look afterwards.

        Raises `NoRoom` when `most` in this process, or `most_of_person` of theirs, watch already; and `Away`.
        """
        watch = Watch(person, since)
        with self._lock:
            theirs = sum(each.person == person for each in self._watches)
            if len(self._watches) >= most or theirs >= most_of_person:
                raise NoRoom
            self._watches.add(watch)
            self._start()
        try:
            if not self._listening.wait(STARTS_WITHIN) or watch.is_over:
                raise Away
            yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)

    def close(self) -> None:
        """Stop listening; every watch ends."""
        self._closing.set()
        listener = self._listener
        if listener is not None:
            listener.join()
        self._end_all()

    def _start(self) -> None:
        if self._listener is None:
            self._closing.clear()
            self._listener = threading.Thread(target=self._listen, name="live", daemon=True)
            self._listener.start()

    def _listen(self) -> None:
        while not self._is_done():
            try:
                self._hear()
            except (redis.RedisError, OSError) as error:
                if not self._is_away:
                    logger.warning("live_values_not_heard", error=str(error))
                self._is_away = True
                self._listening.clear()
                # What is told meanwhile is not heard: whoever watched connects again and reads it.
                self._end_all()
                self._closing.wait(1)

    def _hear(self) -> None:
        with (
            redis.Redis.from_url(
                settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
            ) as client,
            client.pubsub() as heard,
        ):
            heard.subscribe(_channel())
            if heard.get_message(timeout=1) is None:
                raise redis.TimeoutError("no answer to the subscription")
            self._is_away = False
            self._listening.set()
            watched_at = time.monotonic()
            while time.monotonic() < watched_at + LINGER and not self._closing.is_set():
                message = heard.get_message(timeout=0.5)
                watches = self._all()
                if watches:
                    watched_at = time.monotonic()
                if message is not None:
                    news = [Row(*each) for each in json.loads(message["data"])]
                    for watch in watches:
                        watch.hear(news)

    def _is_done(self) -> bool:
        with self._lock:
            if self._watches and not self._closing.is_set():
                return False
            self._listener = None
            self._listening.clear()
            return True

    def _end_all(self) -> None:
        for watch in self._all():
            watch.end()

    def _all(self) -> list[Watch]:
        with self._lock:
            return list(self._watches)


LIVE = Live()
