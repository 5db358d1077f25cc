"""Hands batches to a market's head-end: POST {server}/api/v1/meter-batches.

A batch is signed and stored before it is first sent, and the stored bytes are sent until the head-end names their
sequence in a 200. A 4xx with a problem document (RFC 9457) puts the batch aside; anything else is tried again, ever
later. A 4xx without a problem document is not the head-end's word - a proxy, a wrong address - and is tried again too.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import Any

import httpx

from evidence.canonical import decode_bytes, encode_bytes
from evidence.keys import Signer
from evidence.readings import Quality, Reading, Register, Statement, batch_root
from meter_agent.config import Config
from meter_agent.destinations import Market, Measures
from meter_agent.faults import Fault
from meter_agent.journal import LARGEST_BATCH, Batch, Journal
from meter_agent.journal.errors import JournalError
from meter_agent.keys import KeyFault, read_private_file
from meter_agent.link import Allowance
from meter_agent.measures import credentials, measure_document

log = logging.getLogger(__name__)

PATH = "/api/v1/meter-batches"
LARGEST_BATCH_ON_A_SLOW_LINE = 500
SMALLEST_BODY = 1000
LONGEST_PAUSE = 300
LONGEST_RETRY_AFTER = 3600
# Request time-out, "too early", "too many requests": the same bytes may be taken later.
PASSING = {408, 425, 429}
LONGEST_PROBLEM = 4000
REFUSED_DOCUMENT = {400, 409, 413, 415, 422}


class Unavailable(Exception):
    """The head-end did not say what became of the batch, or nobody signs one. `retry_after` is its wish in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@contextmanager
def signing() -> Generator[None, None, None]:
    """Whoever holds the key may be away, as a head-end may. Raises `Unavailable`."""
    try:
        yield
    except KeyFault as error:
        raise Unavailable(str(error)) from None


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
    """The JSON of a batch. `readings` of one unit, in order of their leaf ids."""
    statement = Statement(
        device=device,
        key=key.public_key.id,
        sequence=sequence,
        start=min(reading.slot for reading in readings),
        end=max(reading.slot for reading in readings) + step,
        unit=Register(readings[0].register).unit,
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


class Sealer:
    """Makes signed batches of what the journal holds, for all destinations that take batches."""

    def __init__(self, config: Config, journal: Journal, key: Signer) -> None:
        self.config = config
        self.journal = journal
        self.key = key
        self.names = [each.name for each in config.destinations if isinstance(each, Market | Measures)]
        # A line that is dear is a slow one too: a batch that breaks off should not cost much.
        self.most = LARGEST_BATCH if config.bytes_per_day is None else LARGEST_BATCH_ON_A_SLOW_LINE

    def seal(self) -> None:
        self.journal.seal(self.config.secrets, self.config.time_zone, self._sign, self.names, self.most)

    def _sign(self, sequence: int, step: int, readings: list[Reading]) -> bytes:
        return signed_body(self.config.device, self.key, self.config.secrets, sequence, step, readings)


class Uplink:
    """Sends what the journal holds for one destination, oldest first."""

    def __init__(
        self,
        destination: Market | Measures,
        sealer: Sealer,
        client: httpx.AsyncClient,
        allowance: Allowance,
        shortest_pause: float = 1,
    ) -> None:
        self.destination = destination
        self.sealer = sealer
        self.journal = sealer.journal
        self.client = client
        self.allowance = allowance
        self.shortest_pause = shortest_pause
        self._waiting = asyncio.Event()
        self.fault = Fault(f"sending to {destination.name}")

    @property
    def url(self) -> str:
        return self.destination.server + PATH if isinstance(self.destination, Market) else self.destination.url

    def wake(self) -> None:
        """There are new readings."""
        self._waiting.set()

    async def time(self) -> float | None:
        """What time it is at the destination, to the second; None when it does not say."""
        try:
            answer = await self.client.head(self.url)
            return parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (httpx.HTTPError, KeyError, ValueError):
            return None

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
                await asyncio.sleep(pause(failures, error.retry_after, self.shortest_pause))
            except JournalError as error:
                self.fault.failed(error)
                await asyncio.sleep(LONGEST_PAUSE)
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
                seconds = pause(failures, error.retry_after, self.shortest_pause)
                if failures >= attempts or seconds > LONGEST_PAUSE:
                    return False
                await asyncio.sleep(seconds)

    async def send_next(self) -> bool:
        """Settle the fate of one batch. False when there is none. Raises `Unavailable`."""
        batch = self.journal.next_batch(self.destination.name)
        if batch is None:
            if not self.journal.has_readings(self.sealer.config.secrets):
                return False
            # What is sealed grows no more: on a dear line it waits until it may be sent.
            await self.allowance.afford(SMALLEST_BODY, self.url)
            try:
                with signing():
                    self.sealer.seal()
            except Unavailable as error:
                self.fault.failed(error)
                raise
            batch = self.journal.next_batch(self.destination.name)
            if batch is None:
                return True
        await self.allowance.afford(len(batch.body), self.url)
        try:
            await self._send(batch)
        except Unavailable as error:
            self.fault.failed(f"batch {batch.sequence}: {error}")
            raise
        self.fault.cleared()
        return True

    async def _send(self, batch: Batch) -> None:
        name, now = self.destination.name, int(time.time())
        status = ""
        with signing():
            requests = self._requests(batch)
        for request in requests:
            try:
                answer = await self.client.send(request)
            except httpx.HTTPError as error:
                raise Unavailable(f"{type(error).__name__} {error}") from None
            if "sequence_not_rising" in rules_of(answer):
                self._seal_again(batch, now)
                return
            if self._is_refusal(answer):
                problem = answer.text[:LONGEST_PROBLEM]
                self.journal.refuse(batch.sequence, answer.status_code, problem, now, name)
                log.error("batch %d is refused by %s: %d %s", batch.sequence, name, answer.status_code, problem)
                return
            if not answer.is_success:
                raise Unavailable(f"answered {answer.status_code}", retry_after(answer))
            status = acknowledged_status(answer, batch.sequence) if self.is_market else "taken"
        self.journal.acknowledge(batch.sequence, status, now, name)
        log.info("batch %d with %d readings for %s: %s", batch.sequence, batch.count, name, status)

    @property
    def is_market(self) -> bool:
        return isinstance(self.destination, Market)

    def _is_refusal(self, answer: httpx.Response) -> bool:
        """Others than a market's head-end do not know its problem documents."""
        return is_refusal(answer) if self.is_market else answer.status_code in REFUSED_DOCUMENT

    def _requests(self, batch: Batch) -> list[httpx.Request]:
        """The batch as it is, or a document for each of its metering points."""
        if isinstance(self.destination, Market):
            headers = {"Content-Type": "application/json"}
            return [self.client.build_request("POST", self.url, content=batch.body, headers=headers)]
        sent = json.loads(batch.body)
        true_values = [reading for reading in readings_of(sent) if reading.quality == Quality.TRUE_VALUE]
        found = []
        for point, readings in groupby(true_values, key=lambda reading: reading.point):
            body = measure_document(point.hex(), self.destination.device_name, list(readings), step_of(sent))
            headers = self._credentials(self.destination, body)
            found.append(self.client.build_request("POST", self.url, content=body, headers=headers))
        return found

    def _credentials(self, destination: Measures, body: bytes) -> dict[str, str]:
        """The token of the destination, or where it has none the device's own signature."""
        if destination.token_file is None:
            return credentials(self.sealer.config.device, self.sealer.key, body)
        token = read_private_file(destination.token_file).decode("ascii").strip()
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def _seal_again(self, batch: Batch, now: int) -> None:
        """This journal is not the first of its device: it goes on beyond every sequence that was ever used.

        No box has sent more than a batch per second since 1970.
        """
        log.error("the head-end has seen later sequences than %d: they go on from %d", batch.sequence, now)
        body = json.loads(batch.body)
        self.journal.unseal(batch.sequence, readings_of(body), step_of(body), now)


def readings_of(body: Mapping[str, Any]) -> list[Reading]:
    """The readings of a batch's body, in its order."""
    return [
        Reading(decode_bytes(run["point"]), run["register"], run["start"] + i * run["step"], value, run["quality"])
        for run in body["series"]
        for i, value in enumerate(run["values"])
    ]


def step_of(body: Mapping[str, Any]) -> int:
    return int(body["series"][0]["step"])


def pause(failures: int, retry_after: float | None, shortest: float = 1) -> float:
    """Seconds until the next attempt: doubling up to five minutes, with jitter, not before the head-end's wish."""
    longest: float = min(LONGEST_PAUSE, shortest * 2 ** min(failures - 1, 16))
    jittered = longest * (0.5 + secrets.randbelow(1000) / 2000)
    return max(jittered, min(retry_after or 0, LONGEST_RETRY_AFTER))


def rules_of(answer: httpx.Response) -> set[str]:
    """The rules that a problem document names."""
    if answer.status_code != 409 or not is_refusal(answer):
        return set()
    try:
        errors = answer.json().get("errors", [])
    except (ValueError, AttributeError):
        return set()
    return {str(error.get("rule")) for error in errors if isinstance(error, dict)}


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


def retry_after(answer: httpx.Response, clock: Callable[[], float] = time.time) -> float | None:
    """The Retry-After header in seconds from now; it may be a number or a date."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - clock())
