import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence.readings import Reading
from meter_agent.journal import Journal
from meter_agent.uplink import LONGEST_PAUSE, Unavailable, Uplink, pause, retry_after
from tests.meter_agent.support import HOUSE, HeadEnd, make_config, make_uplink, store

DAY = 86400
PROBLEM = "application/problem+json"


def keep(journal: Journal, *readings: Reading) -> None:
    store(journal, readings)


def with_uplink(journal: Journal, address: str, use: Callable[[Uplink], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        config = make_config(Path("."), address)
        client = httpx.AsyncClient(timeout=0.3)
        async with client:
            return await use(make_uplink(config, journal, client, 0.01))

    return asyncio.run(run())


def drain(journal: Journal, address: str, attempts: int = 4) -> bool:
    return bool(with_uplink(journal, address, lambda uplink: uplink.drain(attempts)))


def test_what_is_acknowledged_is_deleted(journal: Journal, head_end: HeadEnd) -> None:
    keep(journal, Reading(HOUSE, 1, 0, 5), Reading(HOUSE, 2, 0, 6), Reading(HOUSE, 1, DAY, 7))
    assert drain(journal, head_end.address)
    assert sorted(head_end.stored) == [1, 2]
    assert head_end.readings == [Reading(HOUSE, 1, 0, 5), Reading(HOUSE, 2, 0, 6), Reading(HOUSE, 1, DAY, 7)]
    status = journal.status()
    assert status["backlog"] == {"readings": 0, "oldest": None, "batches": 0, "readings_in_batches": 0}
    assert status["last_acknowledgement"]["market"]["sequence"] == 2


@pytest.mark.parametrize(
    "trouble",
    [
        (500, "text/plain", "broken"),
        (503, PROBLEM, {"title": "later"}),
        (429, PROBLEM, {"title": "slower"}),
        (408, PROBLEM, {"title": "too slow"}),
        (404, "text/html", "<h1>Not found</h1>"),
        (302, "text/html", "elsewhere"),
        (200, "text/html", "<h1>Welcome to the hotel</h1>"),
        (200, "application/json", {"sequence": "9", "status": "stored"}),
        (200, "application/json", ["1"]),
        "hang up",
        "hang up after storing",
        "late",
    ],
)
def test_after_trouble_the_very_same_bytes_are_sent_again(journal: Journal, head_end: HeadEnd, trouble: Any) -> None:
    head_end.script = [trouble, trouble]
    keep(journal, Reading(HOUSE, 1, 0, 5))
    assert drain(journal, head_end.address)
    assert len(head_end.received) == 3
    assert len(set(head_end.received)) == 1
    assert head_end.readings == [Reading(HOUSE, 1, 0, 5)]
    assert journal.next_batch() is None


def test_nothing_is_lost_while_the_head_end_is_away(journal: Journal, head_end: HeadEnd) -> None:
    keep(journal, Reading(HOUSE, 1, 0, 5))
    assert not drain(journal, "http://127.0.0.1:9", attempts=2)
    keep(journal, Reading(HOUSE, 1, 900, 6))
    assert drain(journal, head_end.address)
    assert [reading.value for reading in head_end.readings] == [5, 6]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422])
def test_a_refused_batch_is_put_aside_and_the_next_one_sent(
    journal: Journal, head_end: HeadEnd, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    head_end.script = [(code, PROBLEM, {"title": "energy is negative"})]
    keep(journal, Reading(HOUSE, 1, 0, 5), Reading(HOUSE, 1, DAY, 7))
    assert drain(journal, head_end.address)
    assert sorted(head_end.stored) == [2]
    (refused,) = journal.status()["refused"]
    assert (refused["sequence"], refused["status"], refused["readings"]) == (1, code, 1)
    assert "energy is negative" in refused["problem"]
    assert f"batch 1 is refused by market: {code}" in caplog.text


def test_the_first_error_is_loud_and_repeats_are_quiet(
    journal: Journal, head_end: HeadEnd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "meter_agent")
    head_end.script = [(500, "text/plain", "broken")] * 3
    keep(journal, Reading(HOUSE, 1, 0, 5))
    assert drain(journal, head_end.address)
    levels = [record.levelname for record in caplog.records if record.name == "meter_agent.faults"]
    assert levels == ["ERROR", "DEBUG", "DEBUG", "WARNING"]


def test_it_keeps_sending_until_it_is_cancelled(journal: Journal, head_end: HeadEnd) -> None:
    head_end.script = [(500, "text/plain", "broken")] * 2

    async def use(uplink: Uplink) -> None:
        sending = asyncio.create_task(uplink.run())
        for number in (1, 2):
            keep(journal, Reading(HOUSE, 1, number * DAY, number))
            uplink.wake()
            while number not in head_end.stored or journal.next_batch():
                await asyncio.sleep(0.01)
        sending.cancel()

    with_uplink(journal, head_end.address, use)
    assert [reading.value for reading in head_end.readings] == [1, 2]


def test_pauses_grow_to_a_limit_and_respect_the_head_end() -> None:
    for failures in range(1, 60):
        longest = min(LONGEST_PAUSE, 2 ** (failures - 1))
        assert longest / 2 <= pause(failures, None) <= longest
    assert pause(1, 120) == 120
    assert pause(1, 10**9) == 3600


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime.now(UTC).replace(microsecond=0)

    def read(value: str) -> float | None:
        return retry_after(httpx.Response(503, headers={"Retry-After": value}), now.timestamp)

    assert read("17") == 17
    assert read(format_datetime(now + timedelta(seconds=90), usegmt=True)) == 90
    assert read(format_datetime(now - timedelta(seconds=90), usegmt=True)) == 0
    assert read("soon") is None
    assert retry_after(httpx.Response(503), time.time) is None


def test_the_wish_of_the_head_end_reaches_the_pause(journal: Journal, head_end: HeadEnd) -> None:
    head_end.script = [(503, PROBLEM, {"title": "later"}, {"Retry-After": "42"})]
    keep(journal, Reading(HOUSE, 1, 0, 5))

    async def use(uplink: Uplink) -> None:
        with pytest.raises(Unavailable) as error:
            await uplink.send_next()
        assert error.value.retry_after == 42

    with_uplink(journal, head_end.address, use)


def test_the_body_is_what_the_head_end_expects(journal: Journal, head_end: HeadEnd) -> None:
    keep(journal, Reading(HOUSE, 1, 0, 5), Reading(HOUSE, 1, 900, 6), Reading(HOUSE, 2, 0, 7))
    assert drain(journal, head_end.address)
    body = json.loads(head_end.received[0])
    assert body.keys() == {"statement", "signature", "series"}
    assert {name: body["statement"][name] for name in ("sequence", "start", "end", "unit", "count")} == {
        "sequence": "1",
        "start": "0",
        "end": "1800",
        "unit": "1",
        "count": "3",
    }
    point = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo"
    assert body["series"] == [
        {"point": point, "register": 1, "start": 0, "step": 900, "quality": 1, "values": [5, 6]},
        {"point": point, "register": 2, "start": 0, "step": 900, "quality": 1, "values": [7]},
    ]
