"""The requests of the channel: GET {server}/api/v1/box-channel waits for instructions, POST hands in an answer."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from evidence.boxes import ChannelPoll
from evidence.canonical import encode_bytes
from evidence.keys import Signer
from meter_agent.link import Allowance, cost_of_exchange
from meter_agent.uplink import LONGEST_PROBLEM, Unavailable, is_refusal, retry_after, signing

PATH = "/api/v1/box-channel"
CLOCK = "Box-Clock"
LONGEST_WAIT = 25
ANSWER_WITHIN = 30.0
ANSWER_BYTES = 1000


class Line:
    """One device's requests, one after another. Raises `Unavailable`."""

    def __init__(
        self,
        server: str,
        device: bytes,
        key: Signer,
        client: httpx.AsyncClient,
        allowance: Allowance,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.url = server + PATH
        self.device = device
        self.key = key
        self.client = client
        self.allowance = allowance
        self.wall = wall
        self._last = 0
        self._offset = 0

    def pause(self) -> float:
        """Seconds until a poll may be paid."""
        return self.allowance.pause_before(cost_of_exchange(ANSWER_BYTES, self.url))

    async def poll(self, sequence: int, wait: int) -> tuple[list[Any], float]:
        """Instructions after `sequence` as JSON, oldest first, and the seconds before the next poll is welcome."""
        with signing():
            headers = {"Authorization": self._credentials(sequence)}
        answer = await self._send("GET", f"{self.url}?wait={wait}", wait + ANSWER_WITHIN, headers=headers)
        if answer.status_code == 204:
            return [], retry_after(answer) or 0
        if answer.status_code == 200:
            return _instructions(answer), 0
        self._set_clock(answer)
        raise Unavailable(_reason(answer), retry_after(answer))

    async def answer(self, body: str) -> str:
        """Hand in an answer; how it was taken, `refused: ...` when it never will be."""
        content = body.encode()
        headers = {"Content-Type": "application/json"}
        answer = await self._send("POST", self.url, ANSWER_WITHIN, content=content, headers=headers)
        if answer.status_code == 200:
            return str(_json(answer).get("status"))
        if is_refusal(answer):
            return f"refused: {_reason(answer)}"
        raise Unavailable(_reason(answer), retry_after(answer))

    async def _send(self, method: str, url: str, seconds: float, **request: Any) -> httpx.Response:
        try:
            return await self.client.request(method, url, timeout=httpx.Timeout(seconds, connect=20), **request)
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__} {error}") from None

    def _credentials(self, sequence: int) -> str:
        """The number of a poll is this clock in milliseconds, brought to rise and to suit the head-end."""
        self._last = max(self._last + 1, int(self.wall() * 1000) + self._offset)
        poll = ChannelPoll(self.device, self.key.public_key.id, sequence, self._last)
        return "Box " + encode_bytes(poll.encode() + self.key.sign(poll.digest))

    def _set_clock(self, answer: httpx.Response) -> None:
        value = answer.headers.get(CLOCK, "")
        if value.isascii() and value.isdigit() and len(value) < 16:
            self._offset = int(value) - int(self.wall() * 1000)
            self._last = 0


def _instructions(answer: httpx.Response) -> list[Any]:
    found = _json(answer).get("instructions")
    if not isinstance(found, list):
        raise Unavailable("answered 200 without instructions")
    return found


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        raise Unavailable("answered 200 without JSON") from None
    if not isinstance(content, dict):
        raise Unavailable("answered 200 without a JSON object")
    return content


def _reason(answer: httpx.Response) -> str:
    return f"answered {answer.status_code} {answer.text[:LONGEST_PROBLEM] if is_refusal(answer) else ''}".strip()
