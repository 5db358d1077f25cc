"""Live values through the web server as it is shipped, and in a browser."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.db import connection

from apps.accounts.models import User
from apps.web.formatting import NBSP
from tests.conftest import signed_in
from tests.portal.browser import browser
from tests.portal.streams import Events, Watchers, make_watchers, path_of, send, slot_ago
from tests.web_server import web_server

STREAMS = 6


@pytest.fixture
def watchers(transactional_db: None) -> Watchers:
    return make_watchers()


@pytest.fixture
def server(watchers: Watchers, tmp_path: Path) -> Iterator[str]:
    # With DEBUG, static files are those of the sources.
    with web_server(tmp_path / "data", ENERGYMARKET_DEBUG="true", ENERGYMARKET_LIVE_STREAMS=str(STREAMS)) as address:
        yield address


def cookies_of(user: User) -> dict[str, str]:
    return {name: morsel.value for name, morsel in signed_in(user).cookies.items()}


def opened(server: str, user: User, path: str, timeout: float = 30) -> AbstractContextManager[httpx.Response]:
    return httpx.stream("GET", server + path, cookies=cookies_of(user), timeout=timeout)


def test_a_batch_is_told_within_seconds_to_its_customer_and_their_utility_and_to_nobody_else(
    watchers: Watchers, server: str
) -> None:
    first, second = watchers.points
    slot = slot_ago(2)
    with (
        opened(server, watchers.alice, path_of(first)) as alice,
        opened(server, watchers.clerk, path_of(first, second, watchers.elsewhere)) as clerk,
        opened(server, watchers.stranger, path_of(), timeout=2) as stranger,
    ):
        assert {each.headers["Content-Type"] for each in (alice, clerk, stranger)} == {"text/event-stream"}
        posted = time.monotonic()
        send(watchers.head_end, 1, slot, 250, points=2)
        (at, of_alice), (_, of_clerk) = Events(alice.iter_lines()).next(), Events(clerk.iter_lines()).next()
        assert time.monotonic() - posted < 10
        assert [(value["key"], value["slot"], value["energy"]) for value in of_alice] == [
            (f"{first.pk}-1", slot, f"0.25{NBSP}kWh")
        ]
        assert {value["key"] for value in of_clerk} == {f"{first.pk}-1", f"{second.pk}-1"}
        assert abs(at - time.time() * 1000) < 5_000
        with pytest.raises(httpx.ReadTimeout):
            Events(stranger.iter_lines()).next()


def test_streams_that_wait_hold_no_connection_and_are_bounded_and_make_room_when_they_are_left(
    watchers: Watchers, server: str
) -> None:
    most = settings.LIVE_STREAMS_OF_A_PERSON
    with ExitStack() as streams:
        for user, count in ((watchers.alice, most), (watchers.clerk, STREAMS - most)):
            for _ in range(count):
                stream = streams.enter_context(opened(server, user, path_of(watchers.points[0])))
                assert stream.status_code == 200
        # One too many of one person, one too many for the process.
        for user in (watchers.alice, watchers.stranger):
            with opened(server, user, path_of()) as refused:
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
                assert "by themselves" in refused.read().decode()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            # Those who were refused may have left theirs open for the next request.
            assert cursor.fetchone()[0] <= 2
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(httpx.get, [f"{server}/healthz"] * 4))
        assert {answer.status_code for answer in answers} == {200}
    left = time.monotonic()
    while True:
        with opened(server, watchers.alice, path_of()) as stream:
            if stream.status_code == 200:
                break
        assert time.monotonic() - left < 20
        time.sleep(0.1)


def test_a_server_that_is_stopped_does_not_wait_for_open_pages(watchers: Watchers, tmp_path: Path) -> None:
    with ExitStack() as streams:
        with web_server(tmp_path / "data") as server:
            events = Events(streams.enter_context(opened(server, watchers.alice, path_of())).iter_lines())
            told = time.monotonic()
        assert time.monotonic() - told < 20
        with pytest.raises(StopIteration):
            events.next()


@pytest.mark.browser
def test_an_open_page_shows_a_batch_within_three_seconds(watchers: Watchers, server: str, tmp_path: Path) -> None:
    first, second = watchers.points
    key = f"document.querySelector('[data-live-key=\"{first.pk}-1\"]')"
    with browser(tmp_path / "browser") as page:
        for sequence, path, value in ((1, f"/metering-points/{first.pk}/", 310), (2, "/", 620)):
            page.open(server + path, cookies_of(watchers.alice))
            page.until("document.querySelector('[data-live-on]')?.hidden === false")
            page.value("window.sameAsBefore = true")
            send(watchers.head_end, sequence, slot_ago(4 - sequence), value)
            assert page.until(f"{key}.innerText.includes('0.{value // 10}{NBSP}kWh')") < 3
            assert page.value("window.sameAsBefore") is True
        assert page.value(f"{key}.closest('[aria-live]').ariaLive") == "polite"
        # The other point's place is there as well, and has nothing yet.
        assert page.value(f"document.querySelector('[data-live-key=\"{second.pk}-1\"]').dataset.liveSlot") is None
        page.open(f"{server}/metering-points/{first.pk}/", cookies_of(watchers.alice))
        page.until("document.querySelector('[data-live-on]')?.hidden === false")
        # A value of an earlier slot that comes late is no news; one of the same slot replaces it.
        send(watchers.head_end, 3, slot_ago(8), 990)
        send(watchers.head_end, 4, slot_ago(2), 710)
        page.until(f"{key}.innerText.includes('0.71{NBSP}kWh')", 3)
