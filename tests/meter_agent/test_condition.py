"""What a box says about itself, and how it goes on when it is not heard."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence import canonical
from evidence.box_forms import Signed, read_signed
from evidence.boxes import BoxStatus
from evidence.readings import Reading, Register
from meter_agent.condition import LONGEST_ERROR, Condition
from meter_agent.destinations import Market
from meter_agent.faults import Fault
from meter_agent.journal import Journal
from meter_agent.link import Allowance
from tests.meter_agent.support import DEVICE, HOUSE, KEY, NOON, STEP, make_config, store

SAID = "http://market.test/api/v1/box-status"


@dataclass
class Ear:
    """A market that answers with what `script` says, then with 200."""

    script: list[httpx.Response | Exception] = field(default_factory=list)
    heard: list[Signed[BoxStatus]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("POST", SAID)
        said = read_signed(BoxStatus, "status", json.loads(request.content))
        assert KEY.public_key.verifies(said.said.digest, said.signature)
        assert (said.said.device, said.said.key) == (DEVICE, KEY.public_key.id)
        self.heard.append(said)
        answer = self.script.pop(0) if self.script else httpx.Response(200, headers={"Date": formatdate(NOON)})
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def contents(self) -> list[Any]:
        return [canonical.loads(said.body) for said in self.heard]

    @property
    def sequences(self) -> list[int]:
        return [said.said.sequence for said in self.heard]


def say(
    folder: Path,
    journal: Journal,
    ear: Ear,
    times: int = 1,
    clock: Callable[[], float] = lambda: NOON,
    faults: list[Fault] | None = None,
    per_day: int | None = None,
) -> list[bool]:
    async def work() -> list[bool]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(ear)) as client:
            allowance = Allowance(journal, per_day, clock)
            market = Market("market", "http://market.test")
            condition = Condition(
                market, make_config(folder), journal, KEY, client, allowance, lambda: faults or [], clock
            )
            return [await condition.say() for _ in range(times)]

    return asyncio.run(work())


def test_a_box_says_how_it_is(tmp_path: Path, journal: Journal) -> None:
    store(journal, [Reading(HOUSE, Register.CONSUMPTION, slot, 5) for slot in (NOON, NOON + STEP)])
    ear, fault = Ear(), Fault("house grid meter")
    fault.failed("x" * 500)
    assert say(tmp_path, journal, ear, faults=[fault, Fault("the journal")]) == [True]
    (content,) = ear.contents
    assert int(content.pop("free_disk")) > 0
    assert content == {
        "at": str(NOON),
        "version": "0.1.0",
        "backlog": {"readings": "2", "batches": "0"},
        "refused": "0",
        "errors": ["house grid meter: " + "x" * (LONGEST_ERROR - 18)],
    }


def test_errors_travel_whatever_they_hold(tmp_path: Path, journal: Journal) -> None:
    ear, fault = Ear(), Fault("a\0b")
    fault.failed("\udcff\nü")
    assert say(tmp_path, journal, ear, faults=[fault]) == [True]
    assert ear.contents[0]["errors"] == ["a?b: ??ü"]


def test_the_version_is_that_of_the_release_that_runs(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METER_AGENT_RELEASE", "1.4.2")
    ear = Ear()
    say(tmp_path, journal, ear)
    assert ear.contents[0]["version"] == "1.4.2"


def test_sequences_are_milliseconds_and_rise_also_when_the_clock_stands(tmp_path: Path, journal: Journal) -> None:
    ear = Ear()
    assert say(tmp_path, journal, ear, 3) == [True] * 3
    assert ear.sequences == [NOON * 1000, NOON * 1000 + 1, NOON * 1000 + 2]


def test_it_goes_on_where_the_market_says(tmp_path: Path, journal: Journal) -> None:
    later = NOON * 1000 + 50_000
    ear = Ear([httpx.Response(409, headers={"Box-Sequence": str(later)})])
    assert say(tmp_path, journal, ear, 2) == [True, True]
    assert ear.sequences == [NOON * 1000, later, later + 1]


@pytest.mark.parametrize("text", ["", "-5", "²", "9" * 40])
def test_a_number_that_is_none_is_not_taken(tmp_path: Path, journal: Journal, text: str) -> None:
    ear = Ear([httpx.Response(409, headers=[(b"Box-Sequence", text.encode("latin-1"))])])
    assert say(tmp_path, journal, ear, 2) == [False, True]
    assert ear.sequences == [NOON * 1000, NOON * 1000 + 1]


def test_it_finds_how_far_its_clock_is_off(tmp_path: Path, journal: Journal) -> None:
    ear = Ear()
    say(tmp_path, journal, ear, 2, clock=lambda: NOON + 7)
    assert [content.get("clock_offset") for content in ear.contents] == [None, "7"]


@pytest.mark.parametrize("trouble", [httpx.ConnectError("away"), httpx.Response(500), httpx.Response(409)])
def test_what_is_not_heard_is_told_once_and_left(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture, trouble: httpx.Response | Exception
) -> None:
    caplog.set_level(logging.ERROR)
    ear = Ear([trouble, trouble])
    assert say(tmp_path, journal, ear, 3) == [False, False, True]
    assert [record.message.partition(": ")[0] for record in caplog.records] == ["saying to market how the box is"]


def test_on_a_dear_line_readings_come_first(tmp_path: Path, journal: Journal) -> None:
    ear = Ear()
    allowance = Allowance(journal, 10_000, lambda: NOON)
    allowance.spend(allowance.left() - 100)
    assert say(tmp_path, journal, ear, per_day=10_000) == [False]
    assert ear.heard == []
