"""Asks a market to take this box in: shows the one-time code, says which meters there are, fetches the settings.

Nothing is remembered but the key and the stored configuration. Stopped at any moment and started again with the same
code, it goes on: the market knows the box by its key and answers how far it has come.
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from evidence.box_forms import Signed, read_members, read_signed
from evidence.boxes import Enrolment, EnrolmentAnswer, Instruction, body_hash, code_id, code_key, mac
from evidence.canonical import check_depth, decode_bytes, encode_bytes
from evidence.keys import Signer
from meter_agent import VERSION
from meter_agent.config import read_config, read_journal_path
from meter_agent.configuration import (
    Configuration,
    configuration_path,
    read_stored,
    settings_of,
    store_configuration,
    trusted_keys,
)
from meter_agent.faults import Fault
from meter_agent.finding import LONGEST_ERROR, FoundMeter, read_now
from meter_agent.keys import KeyRefused, Keys
from meter_agent.keys.base import HeldKey
from meter_agent.reader import Reader
from meter_agent.tables import ConfigError
from meter_agent.uplink import Unavailable, is_refusal, pause, retry_after

log = logging.getLogger(__name__)

PATH = "/api/v1/enrolments"
LOOK_AGAIN_SECONDS = 60
ASK_AGAIN_SECONDS = 3.0
ASK_AGAIN_AT_LEAST_EVERY = 15.0
LONGEST_ANSWER = 2_000_000


class EnrolmentError(Exception):
    """The box is not taken in, with what to do about it."""


Discover = Callable[[], Awaitable[list[FoundMeter]]]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Told:
    """What the market answered."""

    state: str
    configuration: Configuration | None
    credential: bytes = b""


class Enroller:
    """One attempt to get into a market, by the settings in the file `path`."""

    def __init__(
        self,
        path: Path,
        server: str,
        code: str,
        keys: Keys,
        discover: Discover,
        client: httpx.AsyncClient,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.stored_at = configuration_path(read_journal_path(path))
        self.server = server
        self.code = code
        self.keys = keys
        self.key: Signer = HeldKey(keys, keys.make())
        self.discover = discover
        self.client = client
        self.sleep = sleep
        self.clock = clock
        self._fault = Fault(f"asking {server}")
        self._found: list[FoundMeter] = []
        self._looked_at: float | None = None
        # Why the settings that came cannot be used: the installer is told, and may send others.
        self._problem = ""
        self._state = ""
        self._credential = b""

    async def run(self) -> bytes:
        """Ask until the box is live; returns its device id. Raises `EnrolmentError`, `ConfigError`, ..."""
        failures, waited = 0, 0
        while True:
            try:
                told = await self._ask(await self._body())
            except Unavailable as error:
                failures += 1
                self._fault.failed(error)
                await self.sleep(pause(failures, error.retry_after, ASK_AGAIN_SECONDS))
                continue
            self._fault.cleared()
            failures = 0
            is_new = self._keep(told) or bool(told.credential)
            self._credential = told.credential
            if told.state != self._state:
                self._state, waited = told.state, 0
                log.info("%s", self._words(told))
            if told.state == "live" and told.configuration is not None:
                return told.configuration.said.device
            if not is_new:
                waited += 1
                await self.sleep(min(ASK_AGAIN_SECONDS * waited, ASK_AGAIN_AT_LEAST_EVERY))

    def _keep(self, told: Told) -> bool:
        """Store the settings, if there are any; whether they are new."""
        if told.configuration is None:
            return False
        before, problem = read_stored(self.stored_at), self._problem
        try:
            store_configuration(
                self.stored_at,
                told.configuration,
                lambda settings: read_config(self.path, settings),
                # The code vouches for what came with it: only who knows it could answer.
                first_trusted=trusted_keys(settings_of(told.configuration)),
            )
        except ConfigError as error:
            self._problem = str(error)
            if self._problem != problem:
                log.error("the settings that came cannot be used: %s", error)
            return self._problem != problem
        self._problem = ""
        self._state = ""
        self._credential = b""
        return before is None or before.said != told.configuration.said

    def _words(self, told: Told) -> str:
        if told.state == "configured":
            return "the settings are stored; the meters are read, and the installer compares what they show"
        if told.state == "live":
            return "the installer has confirmed the readings: the box is live"
        if told.state == "challenged":
            return "the TPM is asked to show that it holds the key"
        return f"{self.server} knows this box and its {len(self._found)} meters: the installer says what they measure"

    async def _body(self) -> bytes:
        now = self.clock()
        if self._looked_at is None or now - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._found, self._looked_at = await self.discover(), now
        content = {
            "agent": VERSION,
            "server": self.server,
            "meters": [meter.as_json() for meter in self._found],
            "tests": await self._tests(),
            "problem": self._problem[:LONGEST_ERROR],
            "attestation": self._origin(),
        }
        return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()

    def _origin(self) -> dict[str, str]:
        """What shows that the key is in a TPM; nothing for a key in a file, and once it was shown."""
        key = self.key.public_key.id
        if self._credential:
            return {"secret": encode_bytes(self.keys.activate(key, self._credential))}
        if self._state:
            return {}
        try:
            shown = self.keys.attest(key)
        except KeyRefused:
            return {}
        return {name: encode_bytes(getattr(shown, name)) for name in ("ek_certificate", "ek_public", "key_public")}

    async def _tests(self) -> list[dict[str, Any]]:
        """Each meter read by the stored settings, so that the installer can compare."""
        stored = read_stored(self.stored_at)
        if stored is None:
            return []
        config = read_config(self.path)
        reader = Reader(config.points)
        try:
            return [
                {"sequence": stored.said.sequence, "point": point.id.hex(), "role": str(role)}
                | await read_now(reader, point.id, role)
                for point in config.points
                for role in point.meters
            ]
        finally:
            await reader.close()

    async def _ask(self, body: bytes) -> Told:
        public = self.key.public_key
        said = Enrolment(code_id(self.code), public.algorithm, public.x, public.y, body_hash(body))
        asked = Signed(said, self.key.sign(said.digest), body).as_json("enrolment")
        asked["mac"] = encode_bytes(mac(code_key(self.code), said.digest))
        try:
            answer = await self.client.post(self.server + PATH, json=asked)
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__} {error}") from None
        if answer.status_code in (200, 202):
            return self._read(answer, said)
        if is_refusal(answer):
            raise EnrolmentError(_reason(answer))
        raise Unavailable(f"answered {answer.status_code}", retry_after(answer, time.time))

    def _read(self, answer: httpx.Response, said: Enrolment) -> Told:
        """What was told, by somebody who knows the code, about just this request. Raises `Unavailable`."""
        try:
            if len(answer.content) > LONGEST_ANSWER:
                raise ValueError("the answer is too long")
            content = json.loads(answer.content)
            told = read_members(EnrolmentAnswer, content["answer"])
            body, proof = decode_bytes(content["body"]), decode_bytes(content["mac"])
            if not hmac.compare_digest(proof, mac(code_key(self.code), told.digest)):
                raise ValueError("it does not come from who gave out the code")
            if (told.code, told.request, told.body) != (said.code, said.digest, body_hash(body)):
                raise ValueError("it answers something else")
            text = body.decode()
            check_depth(text)
            members_told = json.loads(text)
            given = members_told.get("configuration")
            configuration = None if given is None else read_signed(Instruction, "instruction", given)
            credential = decode_bytes(members_told.get("credential", ""))
            return Told(str(members_told["state"]), configuration, credential)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"the answer cannot be trusted: {error}") from None


def _reason(answer: httpx.Response) -> str:
    try:
        content = answer.json()
        detail = content["detail"]
    except (ValueError, TypeError, KeyError):
        detail = ""
    return str(detail) or f"the market refuses this box with status {answer.status_code}"
