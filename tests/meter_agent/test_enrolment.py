"""The agent's half of an enrolment against a market of few lines that can be told to misbehave."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence.box_forms import members, read_members
from evidence.boxes import Enrolment, EnrolmentAnswer, body_hash, code_key, mac, new_code
from evidence.canonical import decode_bytes, encode_bytes
from meter_agent.configuration import NAME, read_stored
from meter_agent.enrolment import Enroller, EnrolmentError
from meter_agent.finding import FoundMeter, found_meters
from meter_agent.keys import KeySettings, open_keys, read_key_settings
from meter_agent.simulator import Simulation
from tests.meter_agent.support import PROFILE
from tests.meter_agent.test_configuration import signed

CODE = new_code()
SERVER = "https://market.example"
Answer = Callable[[httpx.Request], httpx.Response]


class Stopped(Exception):
    """The box lost its power."""


@dataclass
class FakeMarket:
    """`script` holds what to do with the next requests: a state to tell, a status, an error or a function."""

    script: list[Any]
    configuration: dict[str, Any] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/enrolments"
        content = json.loads(request.content)
        said = read_members(Enrolment, content["enrolment"])
        body = decode_bytes(content["body"])
        assert body_hash(body) == said.body
        assert decode_bytes(content["mac"]) == mac(code_key(CODE), said.digest)
        assert said.public_key.verifies(said.digest, decode_bytes(content["signature"]))
        self.asked.append(json.loads(body))
        self.keys.add(said.public_key.id)
        order = self.script.pop(0)
        if isinstance(order, type) and issubclass(order, Exception):
            raise order("as the test wants it")
        if isinstance(order, httpx.Response):
            return order
        told = self.told(said, str(order))
        return httpx.Response(202, json=told)

    def told(self, said: Enrolment, state: str, code: str = CODE) -> dict[str, Any]:
        content: dict[str, Any] = {"state": state}
        if state in ("configured", "live"):
            content["configuration"] = self.configuration
        body = json.dumps(content).encode()
        answer = EnrolmentAnswer(said.code, said.digest, body_hash(body))
        proof = mac(code_key(code), answer.digest)
        return {"answer": members(answer), "mac": encode_bytes(proof), "body": encode_bytes(body)}


def problem(status: int, detail: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail}, headers={"Content-Type": "application/problem+json"})


def local(folder: Path) -> Path:
    path = folder / "agent.toml"
    path.write_text('key_file = "key/device.pem"\njournal = "state/journal.sqlite"\n')
    return path


def enrol(folder: Path, market: FakeMarket, pauses: list[float] | None = None) -> bytes:
    path = local(folder)
    settings: KeySettings = read_key_settings(path)

    async def discover() -> list[FoundMeter]:
        return [FoundMeter({"host": "192.0.2.7", "unit": 2, "map": "sunspec203"}, "a meter", energy={"import": 5})]

    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    async def work() -> bytes:
        async with httpx.AsyncClient(transport=httpx.MockTransport(market)) as client:
            return await Enroller(path, SERVER, CODE, open_keys(settings), discover, client, sleep).run()

    return asyncio.run(work())


def unreachable_meter(sequence: int = 1) -> dict[str, Any]:
    meter = {"host": "127.0.0.1", "port": 9, "unit": 2, "map": "sunspec203"}
    points = [{"id": "ab" * 32, "secret": "cd" * 32, "grid": meter}]
    return signed(sequence, points=points).as_json("instruction")


def test_a_box_waits_keeps_its_settings_reads_its_meters_and_is_live(tmp_path: Path) -> None:
    market = FakeMarket(["waiting", "waiting", "configured", "configured", "live"], unreachable_meter())
    pauses: list[float] = []
    assert enrol(tmp_path, market, pauses) == signed().said.device
    stored = read_stored(tmp_path / "state" / NAME)
    assert stored is not None
    assert stored.as_json("instruction") == market.configuration
    first, *_, last = market.asked
    assert first["meters"][0]["energy"] == {"import": 5}
    assert (first["tests"], first["attestation"], first["server"]) == ([], {}, SERVER)
    (test,) = last["tests"]
    assert (test["sequence"], test["role"], test["energy"]) == (1, "grid", {})
    assert "accepts no connection" in test["error"]
    # Ever more slowly while nothing happens, at once when there are settings to be tried.
    assert pauses == [3, 6, 3]
    assert len(market.keys) == 1


def test_whatever_the_line_and_the_market_do_it_goes_on(tmp_path: Path) -> None:
    script = [
        httpx.ConnectError,
        httpx.ReadTimeout,
        httpx.Response(502, text="a proxy"),
        httpx.Response(404, text="not the market's word"),
        httpx.Response(429, headers={"Retry-After": "40"}),
        httpx.Response(200, text="no JSON"),
        httpx.Response(200, json=[]),
        "live",
    ]
    pauses: list[float] = []
    enrol(tmp_path, FakeMarket(script, unreachable_meter()), pauses)
    assert len(pauses) == 7
    assert pauses[4] >= 40


def test_killed_at_any_moment_it_goes_on_with_the_same_key(tmp_path: Path) -> None:
    """After each request, before and after the market has heard it."""
    whole = ["waiting", "configured", "configured", "live"]
    market = FakeMarket([], unreachable_meter())
    for told in range(len(whole)):
        market.script = [*whole[:told], Stopped]
        with pytest.raises(Stopped):
            enrol(tmp_path, market)
    market.script = ["live"]
    enrol(tmp_path, market)
    assert len(market.keys) == 1
    assert read_stored(tmp_path / "state" / NAME) is not None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (problem(403, "This enrolment code cannot be used."), "This enrolment code cannot be used."),
        (problem(409, "Give the box a new key."), "Give the box a new key."),
        (problem(422, ""), "refuses this box with status 422"),
    ],
)
def test_a_refusal_ends_it_with_the_markets_words(tmp_path: Path, answer: httpx.Response, words: str) -> None:
    with pytest.raises(EnrolmentError, match=words):
        enrol(tmp_path, FakeMarket([answer]))


def test_whoever_does_not_know_the_code_cannot_configure_the_box(tmp_path: Path) -> None:
    """An answer to another request, with another body, by another code: none is believed."""
    market = FakeMarket([], unreachable_meter())

    def forged(change: Callable[[dict[str, Any], Enrolment], None]) -> Answer:
        def answer(request: httpx.Request) -> httpx.Response:
            said = read_members(Enrolment, json.loads(request.content)["enrolment"])
            told = market.told(said, "live")
            change(told, said)
            return httpx.Response(200, json=told)

        return answer

    def other_code(told: dict[str, Any], said: Enrolment) -> None:
        told |= market.told(said, "live", code=new_code())

    def other_request(told: dict[str, Any], said: Enrolment) -> None:
        told |= market.told(Enrolment(said.code, said.algorithm, said.x, said.y, b"\x00" * 32), "live")

    def other_body(told: dict[str, Any], said: Enrolment) -> None:
        told["body"] = market.told(said, "waiting")["body"]

    answers = [forged(other_code), forged(other_request), forged(other_body)]

    def in_turn(request: httpx.Request) -> httpx.Response:
        return answers.pop(0)(request) if answers else market(request)

    market.script = [Stopped]
    with pytest.raises(Stopped):
        enrol(tmp_path, in_turn)  # type: ignore[arg-type]
    assert read_stored(tmp_path / "state" / NAME) is None
    assert answers == []


def test_settings_that_cannot_be_used_are_told_and_replaced(tmp_path: Path) -> None:
    market = FakeMarket(["configured", "configured"], signed(1, time_zone="Europe/Bielefeld").as_json("instruction"))
    market.script.append(Stopped)
    with pytest.raises(Stopped):
        enrol(tmp_path, market)
    assert market.asked[-1]["problem"].startswith("time_zone: 'Europe/Bielefeld' is not a known time zone")
    assert read_stored(tmp_path / "state" / NAME) is None
    market.configuration, market.script = unreachable_meter(2), ["configured", "live"]
    enrol(tmp_path, market)
    assert market.asked[-1]["problem"] == ""


def test_listed_meters_are_read_whatever_they_hang_on(tmp_path: Path) -> None:
    async def work() -> list[FoundMeter]:
        async with Simulation(PROFILE, host="127.0.0.1", port=0) as simulation:
            line = f'host = "127.0.0.1"\nport = {simulation.port}\n'
            path = local(tmp_path)
            path.write_text(
                path.read_text()
                + f'[[meters]]\n{line}unit = 2\nmap = "sunspec203"\n[[meters]]\n{line}unit = 99\nmap = "sunspec203"\n'
                + f'[[buses]]\nname = "cellar"\n{line}'
            )
            return await found_meters(path, range(1, 3))

    one, two, listed, silent = asyncio.run(work())
    assert [found.settings["unit"] for found in (one, two)] == [1, 2]
    assert one.settings["bus"] == "cellar"
    assert listed.energy is not None
    assert two.energy is not None
    # The meters count on meanwhile.
    assert all(0 <= wh - two.energy[name] <= 20 for name, wh in listed.energy.items())
    assert sorted(listed.energy) == ["export", "import"]
    assert silent.energy == {}
    assert silent.description != ""
