"""Hands batches to the head-end: POST {server}/api/v1/meter-batches.

A batch is signed and stored before it is first sent, and the stored bytes are sent until the head-end names their
sequence in a 200. A 4xx with a problem document (RFC 9457) puts the batch aside; anything else is tried again, ever
later. A 4xx without a problem document is not the head-end's word - a proxy, a wrong address - and is tried again too.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import Any

import httpx

from evidence.canonical import encode_bytes
from evidence.keys import Signer
from evidence.readings import Reading, Statement, Unit, batch_root
from meter_agent.config import Config
from meter_agent.faults import Fault
from meter_agent.journal import Batch, Journal

log = logging.getLogger(__name__)

PATH = "/api/v1/meter-batches"
TIMEOUT = httpx.Timeout(30, connect=10)
LONGEST_PAUSE = 300
LONGEST_RETRY_AFTER = 3600
# Request time-out, "too early", "too many requests": the same bytes may be taken later.
PASSING = {408, 425, 429}
LONGEST_PROBLEM = 4000


class Unavailable(Exception):
    """The head-end did not say what became of the batch. `retry_after` is its wish in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def series(readings: Sequence[Reading], step: int) -> Iterator[dict[str, Any]]:
    """Runs without a gap and of one quality, in the order of the leaf ids, which `readings` must have."""

    def run(item: tuple[int, Reading]) -> tuple[bytes, int, int, int]:
        index, reading = item
        return reading.point, reading.register, reading.quality, reading.slot - index * step

    for _, items in groupby(enumerate(readings), key=run):
        run_of_readings = [reading for _, reading in items]
        first = run_of_readings[0]
        yield {
            "point": encode_bytes(first.point),
            "register": int(first.register),
            "start": first.slot,
            "step": step,
            "quality": int(first.quality),
            "values": [reading.value for reading in run_of_readings],
        }


def signed_body(
    device: bytes, key: Signer, point_secrets: Mapping[bytes, bytes], sequence: int, step: int, readings: list[Reading]
) -> bytes:
    """The JSON of a batch. `readings` in order of their leaf ids."""
    statement = Statement(
        device=device,
        key=key.public_key.id,
        sequence=sequence,
        start=min(reading.slot for reading in readings),
        end=max(reading.slot for reading in readings) + step,
        unit=Unit.WH,
        count=len(readings),
        root=batch_root(readings, dict(point_secrets)),
    )
    body = {
        "statement": {
            "device": encode_bytes(statement.device),
            "key": encode_bytes(statement.key),
            "sequence": str(statement.sequence),
            "start": str(statement.start),
            "end": str(statement.end),
            "unit": str(int(statement.unit)),
            "count": str(statement.count),
            "root": encode_bytes(statement.root),
        },
        "signature": encode_bytes(key.sign(statement.digest)),
        "series": list(series(readings, step)),
    }
    return json.dumps(body, separators=(",", ":")).encode()


class Uplink:
    """Sends what the journal holds, oldest first."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        key: Signer,
        client: httpx.AsyncClient | None = None,
        shortest_pause: float = 1,
    ) -> None:
        self.config = config
        self.journal = journal
        self.key = key
        self.client = client or httpx.AsyncClient(timeout=TIMEOUT)
        self.shortest_pause = shortest_pause
        self._waiting = asyncio.Event()
        self._fault = Fault(f"upload to {config.server}")

    async def close(self) -> None:
        await self.client.aclose()

    def wake(self) -> None:
        """There are new readings."""
        self._waiting.set()

    async def run(self) -> None:
        """Send for ever."""
        failures = 0
        while True:
            self._waiting.clear()
            try:
                while await self.send_next():
                    failures = 0
            except Unavailable as error:
                failures += 1
                await asyncio.sleep(self.pause(failures, error.retry_after))
            else:
                await self._waiting.wait()

    async def drain(self, attempts: int) -> bool:
        """Send until nothing is left (true), or until so many attempts in a row have failed (false)."""
        failures = 0
        while True:
            try:
                while await self.send_next():
                    failures = 0
                return True
            except Unavailable as error:
                failures += 1
                pause = self.pause(failures, error.retry_after)
                if failures >= attempts or pause > LONGEST_PAUSE:
                    return False
                await asyncio.sleep(pause)

    def pause(self, failures: int, retry_after: float | None) -> float:
        """Seconds until the next attempt: doubling up to five minutes, with jitter, not before the head-end's wish."""
        longest: float = min(LONGEST_PAUSE, self.shortest_pause * 2 ** min(failures - 1, 16))
        jittered = longest * (0.5 + secrets.randbelow(1000) / 2000)
        return max(jittered, min(retry_after or 0, LONGEST_RETRY_AFTER))

    async def send_next(self) -> bool:
        """Settle the fate of one batch. False when there is none. Raises `Unavailable`."""
        batch = self.journal.next_batch()
        if batch is None:
            if not self.journal.seal(self.config.secrets, self.config.time_zone, self._sign):
                return False
            batch = self.journal.next_batch()
            assert batch is not None  # noqa: S101
        try:
            await self._send(batch)
        except Unavailable as error:
            self._fault.failed(f"batch {batch.sequence}: {error}")
            raise
        self._fault.cleared()
        return True

    def _sign(self, sequence: int, step: int, readings: list[Reading]) -> bytes:
        return signed_body(self.config.device, self.key, self.config.secrets, sequence, step, readings)

    async def _send(self, batch: Batch) -> None:
        try:
            answer = await self.client.post(
                self.config.server + PATH, content=batch.body, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__} {error}") from None
        now = int(time.time())
        if answer.status_code == 200:
            status = acknowledged_status(answer, batch.sequence)
            self.journal.acknowledge(batch.sequence, status, now)
            log.info("batch %d with %d readings: %s", batch.sequence, batch.count, status)
        elif is_refusal(answer):
            problem = answer.text[:LONGEST_PROBLEM]
            self.journal.refuse(batch.sequence, answer.status_code, problem, now)
            log.error("batch %d is refused and put aside: %d %s", batch.sequence, answer.status_code, problem)
        else:
            raise Unavailable(f"answered {answer.status_code}", retry_after(answer, time.time))


def acknowledged_status(answer: httpx.Response, sequence: int) -> str:
    """What the head-end did with the batch. Raises `Unavailable` when the 200 is not about this batch."""
    try:
        content = answer.json()
    except ValueError:
        raise Unavailable("answered 200 without JSON") from None
    if not isinstance(content, dict) or content.get("sequence") != str(sequence):
        raise Unavailable("answered 200 without naming the batch")
    return str(content.get("status"))


def is_refusal(answer: httpx.Response) -> bool:
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return answer.is_client_error and answer.status_code not in PASSING and media_type == "application/problem+json"


def retry_after(answer: httpx.Response, clock: Callable[[], float]) -> float | None:
    """The Retry-After header in seconds from now; it may be a number or a date."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - clock())
