"""OpenEMS as a source, against a server that answers as an edge and as a backend do."""

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from meter_agent.gateways.openems import OpenemsGateway
from meter_agent.meters import OpenemsConfig
from meter_agent.registers import MICRO, MeterError, RawCounter

BOUGHT, SOLD = "_sum/GridBuyActiveEnergy", "_sum/GridSellActiveEnergy"
PASSWORD = "owner"


def channel(value: object, unit: str = "Wh_Σ") -> bytes:
    """As an edge answers, in the form of its documentation."""
    return json.dumps({"type": "LONG", "accessMode": "RO", "text": "", "unit": unit, "value": value}).encode()


@contextmanager
def openems(answers: dict[str, bytes]) -> Iterator[str]:
    """REST answers by path; /jsonrpc answers from the same values, for edge0."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(answers.get(self.path.removeprefix("/rest/channel/")))

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, request["method"]) == ("/jsonrpc", "getEdgesChannelsValues")
            if request["params"]["ids"] != ["edge0"]:
                self.answer(b'{"jsonrpc": "2.0", "id": "1", "error": {"code": 1}}')
                return
            values = {each: json.loads(answers[each])["value"] for each in request["params"]["channels"]}
            self.answer(json.dumps({"jsonrpc": "2.0", "id": "1", "result": {"edge0": values}}).encode())

        def answer(self, body: bytes | None) -> None:
            allowed = self.headers["Authorization"] == "Basic " + base64.b64encode(b"x:" + PASSWORD.encode()).decode()
            self.send_response(401 if not allowed else 404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def edge(**changes: bytes) -> dict[str, bytes]:
    return {BOUGHT: channel(5_832_000), SOLD: channel(1_200), "_sum/State": channel(0, ""), **changes}


def read(answers: dict[str, bytes], addresses: list[str], **config: Any) -> dict[str, RawCounter]:
    async def run(url: str) -> dict[str, RawCounter]:
        settings = {"name": "ems", "url": url, "user": "x", "password": PASSWORD, "edge": None} | config
        gateway = OpenemsGateway(OpenemsConfig(**settings))
        try:
            return await gateway.counters(addresses, 0)
        finally:
            await gateway.close()

    with openems(answers) as url:
        return asyncio.run(run(url))


@pytest.mark.parametrize("by_edge", [None, "edge0"], ids=["REST", "JSON-RPC"])
def test_counters_are_read(by_edge: str | None) -> None:
    assert read(edge(), [BOUGHT, SOLD], edge=by_edge) == {
        BOUGHT: RawCounter(5_832_000 * 10**6, MICRO, None),
        SOLD: RawCounter(1_200 * 10**6, MICRO, None),
    }


def test_a_channel_in_kwh_is_exact_to_the_last_digit() -> None:
    answers = edge() | {BOUGHT: b'{"unit": "kWh", "value": 0.1000001}'}
    assert read(answers, [BOUGHT]) == {BOUGHT: RawCounter(100_000_100, MICRO, None)}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (channel(None), "GridBuyActiveEnergy at ems shows nothing"),
        (channel(50, "W"), "is in W, which is no energy"),
        (channel(True), "shows 'True', which is no number"),
        (channel("12"), "shows '12', which is no number"),
        (channel(-1), "is not what a counter shows"),
        (b'{"unit": "Wh", "value": NaN}', "something that is not JSON"),
        (b"[" * 50_000, "something that is not JSON"),
        (b"[]", "something else than one channel"),
        (b"<html>", "something that is not JSON"),
    ],
)
def test_what_is_not_a_counter_is_refused(answer: bytes, message: str) -> None:
    with pytest.raises(MeterError, match=message):
        read(edge() | {BOUGHT: answer}, [BOUGHT])


@pytest.mark.parametrize("by_edge", [None, "edge0"])
def test_a_component_with_a_fault_is_not_believed(by_edge: str | None) -> None:
    with pytest.raises(MeterError, match="_sum/State at ems is a fault"):
        read(edge() | {"_sum/State": channel(3, "")}, [BOUGHT], edge=by_edge)
    assert read(edge() | {"_sum/State": channel(2, "")}, [BOUGHT], edge=by_edge)  # a warning


def test_who_is_not_let_in_and_what_is_not_there_is_named() -> None:
    with pytest.raises(MeterError, match="answers /rest/channel/_sum/GridBuyActiveEnergy with status 401"):
        read(edge(), [BOUGHT], password="guest")
    with pytest.raises(MeterError, match="with status 404"):
        read(edge(), ["_sum/Nothing"])
    with pytest.raises(MeterError, match=r"ems knows no edge edge1: .*code"):
        read(edge(), [BOUGHT], edge="edge1")


def test_a_system_that_is_away_is_named() -> None:
    async def run() -> None:
        gateway = OpenemsGateway(OpenemsConfig("ems", "http://127.0.0.1:9", "x", PASSWORD, None))
        with pytest.raises(MeterError, match="ems does not answer"):
            await gateway.counters([BOUGHT], 0)
        await gateway.close()

    asyncio.run(run())
