"""Exchanges the key of the box when the utility asks for it.

The next key is made, a command that the current key signs tells the ledger of it, and once that is applied the next key
becomes the current one. What was begun lies in a file beside the journal before anything is sent: after a power cut the
same command is sent again, and the ledger knows it. It is not given up while nobody knows what became of it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace

from evidence.abi import Bytes32, Struct
from evidence.commands import Command
from evidence.commands.kinds import RotateDeviceKey
from evidence.hashing import tagged
from evidence.keys import Signer
from ledger_adapters.contract.errors import Code
from meter_agent.channel.orders import INTERRUPTED, Failure, How, Order, Outcome, Refusal, done
from meter_agent.config import Config
from meter_agent.destinations import Ledger
from meter_agent.faults import Fault
from meter_agent.journal import Report
from meter_agent.keys import KeyFault, KeyFileError, Keys, Place, read_private_file
from meter_agent.keys.base import HeldKey
from meter_agent.keys.files import replace_private_file
from meter_agent.reporter import PASSING
from meter_agent.senders import LedgerSender
from meter_agent.slots import day_number, local_day
from meter_agent.tables import ConfigError, Table, bytes32, integer
from meter_agent.uplink import Unavailable, pause

log = logging.getLogger(__name__)

NAME = "exchange.json"
PATH = "/api/v1/key-rotations"
GRACE_DAYS = 30
MOST_GRACE_DAYS = 400
SECONDS_PER_DAY = 86_400
TIDY_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class _Nonce(Struct):
    device: Bytes32
    key: Bytes32


@dataclass(frozen=True, slots=True)
class Exchange:
    """For a key that speaks from `day` on (days since 1970-01-01), begun by the instruction with this sequence.

    Once the ledger has applied it the old key may speak about the days before, `until` an instant in UTC seconds.
    """

    sequence: int
    key: bytes
    day: int
    grace_days: int
    envelope: bytes
    until: int | None = None


class Exchanges:
    """The last exchange of a box, and which key speaks about which day. Everything raises `KeyFault`."""

    def __init__(self, config: Config, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.keys = keys
        self.clock = clock
        self.path = config.journal.with_name(NAME)

    def last(self) -> Exchange | None:
        if not self.path.exists():
            return None
        try:
            content = json.loads(read_private_file(self.path))
            content |= {name: bytes.fromhex(content[name]) for name in ("key", "envelope")}
            return Exchange(**content)
        except (ValueError, TypeError, KeyError):
            raise KeyFileError(f"{self.path} is damaged: the ledger knows which key is the current one") from None

    def _write(self, exchange: Exchange) -> None:
        content = asdict(exchange) | {"key": exchange.key.hex(), "envelope": exchange.envelope.hex()}
        replace_private_file(self.path, json.dumps(content).encode())

    def begin(self, sequence: int, ledger: bytes, market: bytes, grace_days: int) -> Exchange:
        held = self.keys.held()
        current, following = HeldKey(self.keys, held.keys[Place.CURRENT]), self.keys.make_next()
        # From tomorrow on: today's total may have been signed by the current key already.
        day = day_number(local_day(int(self.clock()), self.config.time_zone)) + 1
        device = self.config.device
        fields = RotateDeviceKey(device, following.algorithm, following.x, following.y, day, grace_days)
        nonce = tagged("em/exchange-nonce/1", _Nonce(device, following.id).encode())
        command = Command(market, nonce, fields).signed_by(ledger, current)
        exchange = Exchange(sequence, following.id, day, grace_days, command.envelope.encode())
        self._write(exchange)
        return exchange

    def complete(self, exchange: Exchange) -> None:
        """The ledger has applied it."""
        if exchange.until is None:
            self._write(replace(exchange, until=int(self.clock()) + exchange.grace_days * SECONDS_PER_DAY))
        self.keys.promote(exchange.key)

    def drop(self) -> None:
        """The ledger has refused it: the next key stays for another attempt."""
        self.path.unlink(missing_ok=True)

    def tidy(self) -> bool:
        """Forget the old key once its time is over; whether it is gone."""
        held = self.keys.held()
        if Place.OLD not in held.keys and Place.OLD not in held.faults:
            return True
        last = self.last()
        if last is None or last.until is None or self.clock() <= last.until:
            return False
        self.keys.forget(Place.OLD)
        log.info("the old key is forgotten")
        return True

    def key_of(self, day: int, current: Signer) -> Signer:
        """The key that speaks about a day."""
        last = self.last()
        if last is None or last.until is None or day >= last.day:
            return current
        old = self.keys.held().keys.get(Place.OLD)
        return current if old is None else HeldKey(self.keys, old)


class RotateKey:
    """{"grace_days": 30, "ledger": "<64 hex>", "market": "<64 hex>"}: the latter two where no destination says them.

    `answer` stores what became of an instruction, `end` lets the box begin again with its new key.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        sender: LedgerSender,
        answer: Callable[[Order, Outcome], None],
        end: Callable[[How], Awaitable[None]],
        shortest_pause: float = 5,
    ) -> None:
        self.exchanges = exchanges
        self.sender = sender
        self.answer = answer
        self.end = end
        self.shortest_pause = shortest_pause
        self._order: Order | None = None
        self._begun = asyncio.Event()
        self._fault = Fault("the exchange of the key")

    async def act(self, order: Order) -> None:
        ledgers = [each for each in self.exchanges.config.destinations if isinstance(each, Ledger)]
        table = Table(order.body, "")
        try:
            grace_days = table.take("grace_days", integer(1, MOST_GRACE_DAYS), GRACE_DAYS)
            ledger = table.take("ledger", bytes32, ledgers[0].id if ledgers else None)
            market = table.take("market", bytes32, ledgers[0].market if ledgers else None)
            table.finish()
        except ConfigError as error:
            raise Refusal("format", message=str(error)) from None
        try:
            if not self.exchanges.tidy():
                raise Refusal("grace_running")
            if self._pending() is not None:
                raise Refusal("busy")
            self.exchanges.begin(order.sequence, ledger, market, grace_days)
        except KeyFault as error:
            raise Failure("key", message=str(error)) from None
        self._order = order
        self._begun.set()

    async def resume(self, order: Order) -> Outcome | None:
        try:
            last = self.exchanges.last()
            if last is None or last.sequence != order.sequence:
                return INTERRUPTED
            if last.until is None:
                self._order = order
                return None
            self.exchanges.complete(last)
        except KeyFault as error:
            raise Failure("key", message=str(error)) from None
        return done(key=last.key.hex(), day=last.day)

    def _pending(self) -> Exchange | None:
        last = self.exchanges.last()
        return last if last is not None and last.until is None else None

    async def run(self) -> None:
        """For ever: finish what was begun, and forget old keys. Raises `Ending`."""
        while True:
            self._begun.clear()
            try:
                await self._turn()
            except KeyFault as error:
                self._fault.failed(error)
            try:
                async with asyncio.timeout(TIDY_SECONDS):
                    await self._begun.wait()
            except TimeoutError:
                continue

    async def _turn(self) -> None:
        last = self.exchanges.last()
        if last is not None and last.until is None:
            await self._finish(last)
        elif last is not None and self._is_next(last.key):
            # The power went between the ledger's word and the promotion.
            await self._complete(last)
        self.exchanges.tidy()

    def _is_next(self, key: bytes) -> bool:
        following = self.exchanges.keys.held().keys.get(Place.NEXT)
        return following is not None and following.id == key

    async def _finish(self, exchange: Exchange) -> None:
        code = await self._word(exchange)
        if code in (Code.APPLIED, Code.ALREADY_APPLIED):
            await self._complete(exchange)
            return
        log.error("the ledger refuses the next key: %s", code.name)
        self.exchanges.drop()
        self._say(Failure("ledger", reason=code.name).outcome)

    async def _complete(self, exchange: Exchange) -> None:
        self.exchanges.complete(exchange)
        log.info("the key was exchanged: %s speaks from day %d on", exchange.key.hex(), exchange.day)
        self._say(done(key=exchange.key.hex(), day=exchange.day))
        await self.end(How.RELOAD)

    async def _word(self, exchange: Exchange) -> Code:
        """The ledger's last word, however long it takes."""
        failures = 0
        while True:
            wish = None
            try:
                code = await self.sender.send(Report(exchange.day, exchange.envelope, None), lambda sent: None)
                self._fault.cleared()
                if code is not None and code not in PASSING:
                    return code
            except Unavailable as error:
                self._fault.failed(error)
                wish = error.retry_after
            failures += 1
            await asyncio.sleep(pause(failures, wish, self.shortest_pause))

    def _say(self, outcome: Outcome) -> None:
        if self._order is not None:
            self.answer(self._order, outcome)
            self._order = None
