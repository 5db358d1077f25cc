"""Hands over to a new key: the one before signs for it, the ledger takes it, and only then does it sign.

What is sent is kept beside the journal first (`rotation.json`). Stopped at any moment and started again, the same
command is sent again, and the ledger knows it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx

from evidence.canonical import CanonicalError, decode_bytes, encode_bytes
from evidence.commands import Command
from evidence.commands.kinds import RotateDeviceKey
from evidence.hashing import tagged
from evidence.keys import Signer
from ledger_adapters.contract.errors import Code
from meter_agent.config import Config
from meter_agent.configuration import replace_file
from meter_agent.destinations import Ledger, Market
from meter_agent.faults import Fault
from meter_agent.keys import Keys, Place
from meter_agent.keys.base import HeldKey
from meter_agent.slots import day_number, day_text, local_day
from meter_agent.uplink import Unavailable, is_refusal, pause, retry_after

log = logging.getLogger(__name__)

PATH = "/api/v1/key-rotations"
NAME = "rotation.json"
# A box that was away for a month still speaks with its old key about the days before.
GRACE_DAYS = 40
ASK_AGAIN_SECONDS = 3.0
LONGEST_WAIT = 60.0
D = TypeVar("D", Market, Ledger)


class RotationError(Exception):
    """The key is not exchanged, with what to do about it."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """`day`: the first one for which the key with the id `key` speaks, in days since 1970-01-01."""

    key: bytes
    day: int
    envelope: bytes
    is_done: bool = False

    @property
    def grace_ends(self) -> int:
        return self.day + GRACE_DAYS


def read_rotation(path: Path) -> Rotation | None:
    """The last rotation, done or not. Raises `RotationError` for a file that holds none."""
    try:
        content = json.loads(path.read_bytes())
        return Rotation(
            bytes.fromhex(content["key"]), int(content["day"]), decode_bytes(content["envelope"]), content["done"]
        )
    except FileNotFoundError:
        return None
    except (OSError, CanonicalError, ValueError, KeyError, TypeError) as error:
        raise RotationError(f"{path} cannot be read: {error}") from None


def write_rotation(path: Path, rotation: Rotation) -> None:
    content = {
        "key": rotation.key.hex(),
        "day": str(rotation.day),
        "envelope": encode_bytes(rotation.envelope),
        "done": rotation.is_done,
    }
    replace_file(path, json.dumps(content).encode())


def key_in_time(keys: Keys, path: Path) -> Callable[[int], Signer]:
    """Which key speaks about a day: the one before, as long as it is there, about the days before the last exchange."""
    held, rotation = keys.held().keys, read_rotation(path)
    current = HeldKey(keys, held[Place.CURRENT])
    old = HeldKey(keys, held[Place.OLD]) if Place.OLD in held else None

    def key_of(day: int) -> Signer:
        is_past = rotation is not None and rotation.is_done and day < rotation.day
        return old if old is not None and is_past else current

    return key_of


class Rotator:
    """One exchange of the key of a box."""

    def __init__(
        self,
        config: Config,
        keys: Keys,
        client: httpx.AsyncClient,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.keys = keys
        self.client = client
        self.sleep = sleep
        self.path = config.journal.with_name(NAME)
        self.today = day_number(local_day(int(clock()), config.time_zone))
        self.server = _first(config, Market).server
        self._fault = Fault(f"asking {self.server}")

    async def run(self) -> Rotation:
        """Exchange the key, or finish what was begun. Raises `RotationError`, `KeyFault`."""
        rotation = read_rotation(self.path)
        if rotation is None or rotation.is_done:
            self._forget_old(rotation)
            rotation = self._begin()
            write_rotation(self.path, rotation)
        code = await self._settled(rotation)
        if code not in (Code.APPLIED, Code.ALREADY_APPLIED):
            self.path.unlink()
            raise RotationError(f"the ledger refuses the new key: {code.name}; the key stays as it was")
        self.keys.promote(rotation.key)
        done = Rotation(rotation.key, rotation.day, rotation.envelope, is_done=True)
        write_rotation(self.path, done)
        return done

    def _forget_old(self, last: Rotation | None) -> None:
        if Place.OLD not in self.keys.held().keys:
            return
        if last is not None and self.today < last.grace_ends:
            raise RotationError(
                f"the key before this one still speaks about earlier days, until {day_text(last.grace_ends)}:"
                " exchange the key after that"
            )
        self.keys.forget(Place.OLD)

    def _begin(self) -> Rotation:
        """From tomorrow on, so that the current key stays right for all of today."""
        ledger, current = _first(self.config, Ledger), self.keys.make()
        new, day = self.keys.make_next(), self.today + 1
        fields = RotateDeviceKey(self.config.device, new.algorithm, new.x, new.y, day, GRACE_DAYS)
        nonce = tagged("em/rotation-nonce/1", self.config.device + new.id)
        command = Command(ledger.market, nonce, fields).signed_by(ledger.id, HeldKey(self.keys, current))
        return Rotation(new.id, day, command.envelope.encode())

    async def _settled(self, rotation: Rotation) -> Code:
        """What the ledger said, asked for until it has said something."""
        failures, waited = 0, 0
        while True:
            try:
                code = await self._ask(rotation)
            except Unavailable as error:
                failures += 1
                self._fault.failed(error)
                await self.sleep(pause(failures, error.retry_after, ASK_AGAIN_SECONDS))
                continue
            self._fault.cleared()
            failures = 0
            if code is not None:
                return code
            waited += 1
            await self.sleep(min(ASK_AGAIN_SECONDS * waited, LONGEST_WAIT))

    async def _ask(self, rotation: Rotation) -> Code | None:
        """The ledger's answer, None while it has none. Raises `Unavailable`, and `RotationError` for a refusal."""
        body = {"envelope": encode_bytes(rotation.envelope)}
        try:
            answer = await self.client.post(self.server + PATH, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__} {error}") from None
        if is_refusal(answer) and answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            return _refusal(answer)
        if not answer.is_success:
            raise Unavailable(f"answered {answer.status_code}", retry_after(answer, time.time))
        try:
            code = answer.json()["code"]
            return None if code is None else Code(int(code))
        except (ValueError, KeyError, TypeError):
            raise Unavailable("answered without saying what became of the key") from None


def _refusal(answer: httpx.Response) -> Code:
    """A rule of the contract that the market has found broken before it asked the ledger."""
    try:
        error = answer.json()["errors"][0]
        return Code[str(error["rule"]).upper()]
    except (ValueError, KeyError, IndexError, TypeError):
        raise RotationError(f"the market does not take the new key: {answer.text[:300]}") from None


def _first(config: Config, kind: type[D]) -> D:
    for destination in config.destinations:
        if isinstance(destination, kind):
            return destination
    raise RotationError(f"destinations: none is a {kind.__name__.lower()}, and a new key has to be made known there")
