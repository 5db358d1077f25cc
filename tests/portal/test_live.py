"""GET /live/points: who is told what, what was missed, and what happens without Redis."""

import datetime as dt
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Party, User
from apps.accounts.services.parties import _new_key
from apps.assets.models import Occupancy
from apps.metering import live, readings
from apps.metering.live import LIVE, WINDOW
from apps.metering.readings import Row
from apps.metering.services.imports import import_series
from apps.portal.views import live as views
from energymarket.pytest_servers import LocalServers
from energymarket.supervisor.redis_server import launch_redis
from evidence.readings import Register
from tests.conftest import signed_in
from tests.metering.head_end import STEP
from tests.portal.streams import Events, Watchers, make_watchers, path_of, send, slot_ago

pytestmark = pytest.mark.django_db(transaction=True)


_responses: list[Any] = []


@pytest.fixture
def watchers() -> Iterator[Watchers]:
    yield make_watchers()
    while _responses:
        leave(_responses.pop())
    LIVE.close()


def opened(user: User, path: str, **headers: str) -> Any:
    """A response; a stream is closed after the test."""
    response = signed_in(user).get(path, headers=headers)
    if response.streaming:
        _responses.append(response)
    return response


def leave(response: Any) -> None:
    """As the web server does when the browser is gone."""
    response._iterator.close()
    response.close()


def lines(response: Any) -> Iterator[str]:
    for part in response.streaming_content:
        yield from part.decode().splitlines()


def keys(event: tuple[int, list[dict[str, Any]]]) -> list[tuple[str, str]]:
    return [(value["key"], value["energy"].replace("\xa0", " ")) for value in event[1]]


def test_strangers_and_guests_get_nothing(watchers: Watchers, client: Any) -> None:
    path = path_of(*watchers.points)
    answer = client.get(path)
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/accounts/login/")
    assert opened(watchers.stranger, path).status_code == 404
    assert opened(watchers.alice, path_of(watchers.elsewhere)).status_code == 404
    for wrong in ("?point=x", "?point=-1", "?point=99999999999999999999", "?point="):
        assert opened(watchers.alice, f"/live/points{wrong}").status_code == 404
    assert not LIVE._watches
    assert signed_in(watchers.alice).post(path).status_code == 405


def test_what_was_missed_is_read_once(watchers: Watchers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.portal.live.OVERLAP", 0)
    first, second = watchers.points
    send(watchers.head_end, 1, slot_ago(3), 100, points=2)
    time.sleep(0.05)
    before = int(time.time() * 1000)
    time.sleep(0.05)
    send(watchers.head_end, 2, slot_ago(2), 200)
    # From the page's own time, and from the last event instead where there was one.
    both = [(f"{first.pk}-1", "0.2 kWh"), (f"{second.pk}-1", "0.1 kWh")]
    response = opened(watchers.alice, path_of(first, second, since=1))
    at, values = event = Events(lines(response)).next()
    assert keys(event) == both
    assert before < at <= time.time() * 1000
    assert [value["slot"] for value in values] == [slot_ago(2), slot_ago(3)]
    later = opened(watchers.alice, path_of(first, second, since=1), **{"Last-Event-ID": str(before)})
    assert keys(Events(lines(later)).next()) == both[:1]
    nothing = Events(lines(opened(watchers.alice, path_of(first, second), **{"Last-Event-ID": str(at)})))
    unknown = Events(lines(opened(watchers.alice, path_of(first, second), **{"Last-Event-ID": "x"})))
    send(watchers.head_end, 3, slot_ago(1), 300)
    assert keys(nothing.next()) == keys(unknown.next()) == [(f"{first.pk}-1", "0.3 kWh")]


def test_what_is_no_news_is_not_told(watchers: Watchers) -> None:
    """What only informs, what is old, other registers."""
    (first, second), area = watchers.points, watchers.head_end.area
    utility = Party.objects.get(pk=area.utility_id)
    _new_key(utility)
    stream = Events(lines(opened(watchers.alice, path_of(first, second))))
    old = slot_ago(0) - WINDOW - 10 * STEP
    import_series(area, utility, {first: {Register.CONSUMPTION: {slot_ago(1): 10}}}, informs=True)
    import_series(area, utility, {second: {Register.CONSUMPTION: {old: 20}}})
    import_series(area, utility, {first: {Register.GRID_IMPORT: {slot_ago(2): 30}}})
    import_series(area, utility, {first: {Register.CONSUMPTION: {slot_ago(2): 40}}})
    assert keys(stream.next()) == [(f"{first.pk}-1", "0.04 kWh")]


def test_what_a_predecessor_used_is_not_told(watchers: Watchers) -> None:
    point, zone = watchers.points[0], watchers.head_end.area.zone
    today = dt.datetime.now(zone).date()
    Occupancy.objects.filter(point=point).update(since=today)
    yesterday = int(dt.datetime.combine(today, dt.time(), zone).timestamp()) - STEP
    readings.prepare_partitions(yesterday, yesterday + STEP)
    own = Events(lines(opened(watchers.alice, path_of(point))))
    staff = Events(lines(opened(watchers.clerk, path_of(point))))
    live.publish([Row(point.pk, 1, yesterday, 70, 1)])
    assert keys(staff.next()) == [(f"{point.pk}-1", "0.07 kWh")]
    live.publish([Row(point.pk, 1, yesterday + STEP, 80, 1)])
    assert keys(own.next()) == [(f"{point.pk}-1", "0.08 kWh")]


def test_a_stream_that_waits_asks_the_database_nothing_and_ends(
    watchers: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "HEARTBEAT", 0.2)
    monkeypatch.setattr(views, "TICK", 0.05)
    monkeypatch.setattr(views, "LASTS", 1.0)
    response = opened(watchers.alice, path_of())
    with CaptureQueriesContext(connection) as captured:
        told = b"".join(response.streaming_content)
    assert not captured.captured_queries
    assert told.startswith(b"retry: ")
    assert 3 <= told.count(b":\n\n") <= 5
    assert not LIVE._watches


def test_a_stream_that_was_never_read_makes_room(watchers: Watchers) -> None:
    responses = [opened(watchers.alice, path_of()) for _ in range(settings.LIVE_STREAMS_OF_A_PERSON)]
    assert opened(watchers.alice, path_of()).status_code == 503
    leave(responses[0])
    assert opened(watchers.alice, path_of()).status_code == 200


def test_a_watch_keeps_only_the_newest(watchers: Watchers) -> None:
    watch = live.Watch(1, {7: 100, 8: 500})
    rows = [Row(7, 1, slot, slot, 1) for slot in (50, 100, 900, 200)] + [Row(8, 1, 400, 1, 1), Row(9, 1, 900, 1, 1)]
    watch.hear(rows)
    assert watch.take(0) == [Row(7, 1, 900, 900, 1)]
    assert watch.take(0) == []


# Without Redis.


@pytest.fixture
def own_redis(servers: LocalServers, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServers]:
    if not servers.needs_redis:
        pytest.skip("REDIS_URL names a server that is not ours to stop")
    monkeypatch.setattr(live, "TELLER", live.Teller())
    yield servers
    launch_redis(servers.supervisor)


def test_a_redis_that_is_away_costs_a_batch_nothing_and_is_logged_once(
    watchers: Watchers, own_redis: LocalServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAUSE", 0.1)
    stream = opened(watchers.alice, path_of())
    own_redis.supervisor.stop_child("redis")
    with structlog.testing.capture_logs() as logged:
        for sequence in (1, 2, 3):
            begun = time.monotonic()
            send(watchers.head_end, sequence, slot_ago(5 - sequence), 100)
            assert time.monotonic() - begun < 10
            time.sleep(0.15)
    assert [entry["event"] for entry in logged].count("live_values_not_told") == 1
    # Who watched connects again; where nothing can be heard, that is refused.
    assert b"data" not in b"".join(stream.streaming_content)
    refused = opened(watchers.alice, path_of())
    assert (refused.status_code, refused["Retry-After"]) == (503, "60")
    assert "at the moment" in refused.content.decode()
    launch_redis(own_redis.supervisor)
    again = Events(lines(opened(watchers.alice, path_of(watchers.points[0], since=1))))
    assert keys(again.next()) == [(f"{watchers.points[0].pk}-1", "0.1 kWh")]
    send(watchers.head_end, 4, slot_ago(1), 400)
    assert keys(again.next()) == [(f"{watchers.points[0].pk}-1", "0.4 kWh")]


def test_a_redis_that_is_silent_costs_many_batches_its_time_out_once(
    watchers: Watchers, own_redis: LocalServers
) -> None:
    pid = own_redis.supervisor.pid("redis")
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        live.publish([Row(1, 1, slot_ago(1), 1, 1)])
        first = time.monotonic() - begun
        for _ in range(100):
            live.publish([Row(1, 1, slot_ago(1), 1, 1)])
        assert live.LONGEST <= first < 1
        assert time.monotonic() - begun < first + 5
    finally:
        os.kill(pid, signal.SIGCONT)
