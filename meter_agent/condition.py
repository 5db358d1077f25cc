"""What a box says about itself, signed: POST {server}/api/v1/box-status, every quarter of an hour, or every six hours

where each byte counts.

It never keeps readings from being sent: what cannot be said now is not said later, the next time says more.
"""

import asyncio
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import Any

import httpx

from evidence import canonical
from evidence.box_forms import Signed
from evidence.boxes import BoxStatus, body_hash
from evidence.canonical import encode_int
from evidence.keys import Signer
from meter_agent.config import Config
from meter_agent.destinations import Market
from meter_agent.faults import Fault
from meter_agent.journal import Journal
from meter_agent.journal.errors import JournalError
from meter_agent.keys.errors import KeyFault
from meter_agent.link import Allowance, cost_of_exchange
from meter_agent.update.handler import running_release

log = logging.getLogger(__name__)

PATH = "/api/v1/box-status"
SEQUENCE = "Box-Sequence"
SECONDS = 900
SECONDS_ON_A_DEAR_LINE = 6 * 3600
FIRST_SECONDS = 20  # after the start, when readings that waited have been sent
MOST_ERRORS = 20
LONGEST_ERROR = 200


class Condition:
    """Says to one market how the box is. Sequences are the clock's milliseconds, or more where it was set back."""

    def __init__(
        self,
        destination: Market,
        config: Config,
        journal: Journal,
        key: Signer,
        client: httpx.AsyncClient,
        allowance: Allowance,
        faults: Callable[[], Iterable[Fault]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = destination.server + PATH
        self.config = config
        self.journal = journal
        self.key = key
        self.client = client
        self.allowance = allowance
        self.faults = faults
        self.clock = clock
        self.sequence = 0
        self.clock_offset: int | None = None
        self._fault = Fault(f"saying to {destination.name} how the box is")

    async def run(self) -> None:
        """Say it for ever."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            await self.say()
            await asyncio.sleep(SECONDS if self.allowance.per_day is None else SECONDS_ON_A_DEAR_LINE)

    async def say(self) -> bool:
        """True when it was heard. On a dear line it waits for no allowance: readings come first."""
        try:
            answer = await self._send()
            if answer is not None and (acceptable := acceptable_sequence(answer)) is not None:
                # Its clock was ahead when it said this the last time.
                self.sequence = acceptable - 1
                answer = await self._send()
        except (httpx.HTTPError, JournalError, KeyFault, OSError) as error:
            self._fault.failed(f"{type(error).__name__} {error}")
            return False
        if answer is None:
            return False
        if not answer.is_success:
            self._fault.failed(f"answered {answer.status_code}")
            return False
        self._fault.cleared()
        return True

    async def _send(self) -> httpx.Response | None:
        content = self._signed()
        if self.allowance.pause_before(cost_of_exchange(len(content), self.url)) > 0:
            log.debug("no allowance to say how the box is")
            return None
        began = self.clock()
        answer = await self.client.post(self.url, content=content, headers={"Content-Type": "application/json"})
        self.clock_offset = offset(answer, began, self.clock())
        return answer

    def _signed(self) -> bytes:
        self.sequence = max(self.sequence + 1, int(self.clock() * 1000))
        body = canonical.dumps(self.content())
        said = BoxStatus(self.config.device, self.key.public_key.id, self.sequence, body_hash(body))
        return json.dumps(Signed(said, self.key.sign(said.digest), body).as_json("status")).encode()

    def content(self) -> dict[str, Any]:
        """Instants in UTC seconds, numbers as decimal strings. What is not known is left out."""
        status = self.journal.status()
        backlog, newest = status["backlog"], status["last_reading"]
        errors = [plain(f"{fault.subject}: {fault.reason}") for fault in self.faults() if fault.active]
        found: dict[str, Any] = {
            "at": encode_int(int(self.clock())),
            "version": release(),
            "backlog": {
                "readings": encode_int(backlog["readings"] + backlog["readings_in_batches"]),
                "batches": encode_int(backlog["batches"]),
            },
            "refused": encode_int(len(status["refused"])),
            "errors": errors[:MOST_ERRORS],
            "free_disk": encode_int(shutil.disk_usage(self.journal.path.parent).free),
        }
        if newest is not None:
            found["newest"] = encode_int(int(datetime.fromisoformat(newest).timestamp()))
        if self.clock_offset is not None:
            found["clock_offset"] = encode_int(self.clock_offset)
        return found


def acceptable_sequence(answer: httpx.Response) -> int | None:
    """From where on the market takes sequences, where it refused one that does not rise."""
    text = answer.headers.get(SEQUENCE, "")
    is_number = text.isascii() and text.isdigit() and len(text) < 19
    return int(text) if answer.status_code == 409 and is_number else None


def release() -> str:
    """The version that runs: of the release, or of the package that was installed."""
    try:
        return running_release() or metadata.version("energymarket")
    except metadata.PackageNotFoundError:
        return "not installed"


def plain(text: str) -> str:
    """What an error says, in characters that travel: names of files and answers of meters may hold any."""
    return "".join(character if character.isprintable() else "?" for character in text)[:LONGEST_ERROR]


def offset(answer: httpx.Response, began: float, ended: float) -> int | None:
    """Seconds that the box's clock is ahead of the market's, in the middle of an exchange; None if that is not said."""
    try:
        there = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None
    return round((began + ended) / 2 - there)
