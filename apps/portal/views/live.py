"""Live values as server-sent events. A stream holds a thread and no connection to the database; see docs/adr/0016."""

import secrets
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.accounts.permissions import Viewer
from apps.assets.models import MeteringPoint
from apps.metering.doorbell import NoRoom
from apps.metering.live import LIVE, Away, Watch
from apps.metering.readings import Row
from apps.portal.access import for_viewer
from apps.portal.live import MOST_POINTS, event_of, newest, now_ms, watchable
from apps.portal.selectors import visible_points

HEARTBEAT = 15.0  # seconds
LASTS = 300.0  # seconds: then the browser connects again, and session and permissions are looked at anew
TICK = 1.0  # seconds between looks at whether anybody is still there
ASK_AGAIN = 60  # seconds, where there is no room


@never_cache
@require_GET
@for_viewer
def points(request: HttpRequest, viewer: Viewer) -> HttpResponseBase:
    """Newest values of every `?point=`, without it of all that the viewer sees, if these are not too many.

    What arrived after Last-Event-ID, or else after `?since=`, comes first; both in milliseconds. 404 where the viewer
    sees none of the points, 503 where too many streams are open or nothing can be heard.
    """
    shown = _shown(request, viewer)
    since = watchable(viewer, shown)
    with ExitStack() as stack:
        limits = (settings.LIVE_STREAMS, settings.LIVE_STREAMS_OF_A_PERSON)
        try:
            watch = stack.enter_context(LIVE.watching(viewer.user.pk, since, *limits))
        except NoRoom:
            return _not_now(_("Too many pages are open that show new values by themselves."))
        except Away:
            return _not_now(_("New values cannot be shown by themselves at the moment."))
        at, after = now_ms(), _after(request)
        visible = [point for point in shown if point.pk in since]
        missed = newest(visible, since, after) if after is not None else []
        if not connection.in_atomic_block:
            # Whoever waits needs no connection meanwhile.
            connection.close()
        stream = Stream(watch, visible, (at, missed), _still_there(request), stack.pop_all().close)
    response = StreamingHttpResponse(stream, content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


def _shown(request: HttpRequest, viewer: Viewer) -> Sequence[MeteringPoint]:
    """What is asked for of what the viewer may see."""
    asked = request.GET.getlist("point")
    if not all(pk.isascii() and pk.isdigit() and len(pk) < 10 for pk in asked):
        raise Http404("no number of a metering point")
    seen = visible_points(viewer)
    shown = list(seen.filter(pk__in=asked)[: MOST_POINTS + 1] if asked else seen[: MOST_POINTS + 1])
    if not 0 < len(shown) <= MOST_POINTS:
        raise Http404(f"from 1 to {MOST_POINTS} metering points can be watched at once")
    return shown


def _after(request: HttpRequest) -> int | None:
    """Milliseconds, or None. What is no such number was not given by us, and nothing was missed."""
    text = request.headers.get("Last-Event-ID") or request.GET.get("since", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 15 else None


def _not_now(reason: str) -> HttpResponse:
    headers = {"Retry-After": str(ASK_AGAIN)}
    return HttpResponse(reason, status=503, content_type="text/plain; charset=utf-8", headers=headers)


def _still_there(request: HttpRequest) -> Callable[[], bool]:
    """Whether the browser still listens. Other servers than ours find out with the next heartbeat."""
    client: socket.socket | None = request.META.get("gunicorn.socket")
    if client is None:
        return lambda: True
    poll = select.poll()
    poll.register(client, select.POLLIN | select.POLLHUP)
    # A browser sends nothing more on this connection: what can be read is its end.
    return lambda: not poll.poll(0)


class Stream:
    """The body of one response. Closing it makes room for another, whether it was begun or not."""

    def __init__(
        self,
        watch: Watch,
        points: Sequence[MeteringPoint],
        missed: tuple[int, Sequence[Row]],
        is_there: Callable[[], bool],
        close: Callable[[], None],
    ) -> None:
        self._watch = watch
        self._points: Mapping[int, MeteringPoint] = {point.pk: point for point in points}
        self._missed = missed
        self._is_there = is_there
        self._language = translation.get_language()
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        # Not all at once after a restart; milliseconds.
        yield f"retry: {2_000 + secrets.randbelow(3_000)}\n\n".encode()
        at, missed = self._missed
        yield self._event(missed, at)
        end = time.monotonic() + LASTS
        beat = time.monotonic() + HEARTBEAT
        while time.monotonic() < end and not self._watch.is_over and LIVE.serves() and self._is_there():
            at = now_ms()
            news = self._event(self._watch.take(TICK), at)
            if not news and time.monotonic() >= beat:
                news = b":\n\n"
            if news:
                beat = time.monotonic() + HEARTBEAT
                yield news

    def _event(self, rows: Sequence[Row], at: int) -> bytes:
        with translation.override(self._language):
            return event_of(rows, self._points, at)
