"""GET /live/points: what a browser is told while a page is open, and who is told nothing."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.db import connection

from apps.accounts.choices import MemberRole
from apps.accounts.models import User
from apps.assets.models import MeteringPoint
from apps.web.formatting import NBSP
from tests.conftest import signed_in
from tests.factories import MembershipFactory, PointFactory, UserFactory
from tests.metering.head_end import STEP, HeadEnd, make_head_end, post

ROOT = Path(__file__).parents[2]


@pytest.fixture
def head_end(transactional_db: None) -> HeadEnd:
    return make_head_end(points=2)


@dataclass
class People:
    """Alice, whose points they are; a clerk of their utility; a stranger with a point of another one."""

    alice: User
    clerk: User
    stranger: User
    elsewhere: MeteringPoint


@pytest.fixture
def people(head_end: HeadEnd) -> People:
    alice, clerk, stranger = (UserFactory.make(email=f"{name}@example.org") for name in ("alice", "clerk", "stranger"))
    elsewhere = PointFactory.make(code="elsewhere")
    MembershipFactory.make(user=alice, party=head_end.device.owner)
    MembershipFactory.make(user=clerk, party=head_end.area.utility, role=MemberRole.STAFF)
    MembershipFactory.make(user=stranger, party=elsewhere.party)
    return People(alice, clerk, stranger, elsewhere)


@pytest.fixture
def server(head_end: HeadEnd, tmp_path: Path) -> Iterator[str]:
    """The web server as it is shipped, on the database of the tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    about = connection.get_connection_params()
    url = f"postgresql://{about['user']}:{about.get('password', '')}@/{about['dbname']}?host={about['host']}"
    environment = os.environ | {
        "DATABASE_URL": url + (f"&port={about['port']}" if about.get("port") else ""),
        "ENERGYMARKET_SECRET_KEY": settings.SECRET_KEY,
        "ENERGYMARKET_DEBUG": "true",  # static files from where they were written
        "ENERGYMARKET_DATA_DIR": str(tmp_path),
        "ENERGYMARKET_ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "energymarket.settings.base",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:energymarket.gunicorn", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is None and _answers(address), 60)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def until(holds: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def browser_of(user: User, timeout: float = 30) -> httpx.Client:
    """With the session of a person who is signed in."""
    cookies = {name: morsel.value for name, morsel in signed_in(user).cookies.items()}
    return httpx.Client(cookies=cookies, timeout=timeout)


def send(head_end: HeadEnd, sequence: int, slots_ago: int, value: int, points: int = 1) -> int:
    """Post a signed batch of one slot; gives its start. The slot lies so many slots before the one that runs."""
    slot = int(time.time()) // STEP * STEP - slots_ago * STEP
    answer = post(head_end.body(head_end.readings([slot], value, points), sequence))
    assert answer.status_code in {200, 201}, answer.content
    return slot


class Events:
    """What comes of one stream."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        self._lines = response.iter_lines()

    def next(self) -> tuple[int, list[dict[str, Any]]]:
        """Id and values of the next event with data; comments are passed over."""
        number = None
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "id":
                number = int(value)
            elif field == "data":
                assert number is not None
                return number, json.loads(value)
        raise AssertionError("the stream ended")


def url_of(server: str, *points: MeteringPoint, since: int | None = None) -> str:
    named = "&".join(f"point={point.pk}" for point in points)
    return f"{server}/live/points?{named}" + (f"&since={since}" if since is not None else "")


def test_a_batch_is_told_within_seconds_to_its_customer_and_their_utility_and_to_nobody_else(
    head_end: HeadEnd, people: People, server: str
) -> None:
    first, second = head_end.points
    with (
        browser_of(people.alice).stream("GET", url_of(server, first)) as alice,
        browser_of(people.clerk).stream("GET", url_of(server, first, second, people.elsewhere)) as clerk,
        browser_of(people.stranger, timeout=2).stream("GET", url_of(server)) as stranger,
    ):
        streams = Events(alice), Events(clerk)
        posted = time.monotonic()
        slot = send(head_end, 1, 2, 250, points=2)
        (number, of_alice), (_, of_clerk) = (stream.next() for stream in streams)
        assert time.monotonic() - posted < 3
        assert [(value["key"], value["slot"], value["energy"]) for value in of_alice] == [
            (f"{first.pk}-1", slot, f"0.25{NBSP}kWh")
        ]
        assert {value["key"] for value in of_clerk} == {f"{first.pk}-1", f"{second.pk}-1"}
        assert abs(number - time.time() * 1000) < 5_000
        with pytest.raises(httpx.ReadTimeout):
            Events(stranger).next()
