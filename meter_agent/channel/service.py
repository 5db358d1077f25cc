"""Asks for instructions for as long as the box runs, and sees to it that each is carried out at most once.

An instruction counts as begun once its sequence is stored, and that is before anything is done. Whoever is not known to
be the utility gets no answer; what the utility said and cannot be done is refused with a reason.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from evidence.box_forms import Signed, read_signed
from evidence.boxes import Instruction, InstructionAnswer, InstructionKind, body_hash
from evidence.canonical import check_depth
from evidence.keys import PublicKey, Signer
from meter_agent.channel.instants import Instants
from meter_agent.channel.line import Line
from meter_agent.channel.orders import INTERRUPTED, Ending, Failure, Handler, How, Order, Outcome, Refusal
from meter_agent.channel.store import Store, StoreError
from meter_agent.faults import Fault
from meter_agent.keys import KeyFault
from meter_agent.uplink import Unavailable, pause

log = logging.getLogger(__name__)

# An instruction is handed out when its time has come: a clock behind by more than this is not to be trusted.
BEHIND_SECONDS = 300
SHORTEST_PAUSE = 1.0


class Untrusted(Exception):
    """Not the utility's word to this device, or not its next."""


class Channel:
    """`quiet` is held by whatever must not be interrupted by an ending."""

    def __init__(
        self,
        device: bytes,
        key: Signer,
        trusted: Iterable[PublicKey],
        store: Store,
        line: Line,
        instants: Instants,
        quiet: Callable[[], AbstractAsyncContextManager[Any]],
        *,
        wait_seconds: int,
        pause_seconds: float,
    ) -> None:
        self.device = device
        self.key = key
        self.trusted = {each.id: each for each in trusted}
        self.store = store
        self.line = line
        self.handlers: dict[InstructionKind, Handler] = {}
        self.instants = instants
        self.quiet = quiet
        self.wait_seconds = wait_seconds
        self.pause_seconds = pause_seconds
        self.heard_at: float | None = None
        self._fault = Fault(f"channel to {line.url}")
        self._strange = Fault("instructions")
        self._posting = asyncio.Lock()
        self._owed: deque[tuple[Order, Outcome]] = deque()
        self._answered = asyncio.Event()

    def silent_seconds(self) -> float | None:
        """How long ago the head-end last answered; None when it has not since the start."""
        return None if self.heard_at is None else self.instants.monotonic() - self.heard_at

    async def run(self) -> None:
        """For ever. Raises `Ending` when an instruction asks for it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._poll_for_ever())
                tasks.create_task(self._post_for_ever())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _post_for_ever(self) -> None:
        """What is answered while a poll is held open does not wait for its end."""
        while True:
            await self._answered.wait()
            self._answered.clear()
            try:
                await self.post_answers()
            except (Unavailable, StoreError) as error:
                # The next turn tries again, and says so.
                log.debug("an answer has to wait: %s", error)

    async def _poll_for_ever(self) -> None:
        failures, is_settled = 0, False
        while True:
            try:
                if not is_settled:
                    await self.settle()
                    is_settled = True
                rest = await self.turn()
                failures = 0
            except Unavailable as error:
                failures += 1
                self._fault.failed(error)
                rest = pause(failures, error.retry_after, SHORTEST_PAUSE)
            except (StoreError, KeyFault) as error:
                failures += 1
                self._fault.failed(error)
                rest = pause(failures, None, SHORTEST_PAUSE)
            else:
                self._fault.cleared()
            await asyncio.sleep(max(rest, self.line.pause()))

    async def settle(self) -> None:
        """Say what became of everything that was begun before the process ended."""
        for order in self.store.unanswered():
            handler = self._handler(order.kind)
            try:
                outcome = INTERRUPTED if handler is None else await handler.resume(order)
            except (Refusal, Failure) as error:
                outcome = error.outcome
            if outcome is not None:
                log.warning("instruction %d was begun before: %s %s", order.sequence, outcome.state.name, outcome.body)
                self.answer(order, outcome)

    async def turn(self) -> float:
        """Post answers, poll once, do what was told; the seconds to wait before the next turn."""
        self._pay()
        await self.post_answers()
        sequence, _ = self.store.reached()
        # The first one after a start is short: until somebody answers, what is steered from afar stays safe.
        wait = 0 if self.heard_at is None else self.wait_seconds
        asked_at = self.instants.monotonic()
        found, rest = await self.line.poll(sequence, wait)
        self.heard_at = self.instants.monotonic()
        taken = [await self.take(each) for each in found]
        if any(taken):
            await self.post_answers()
            return rest
        # Answered at once again and again, it would ask without end.
        at_once = self.heard_at - asked_at < SHORTEST_PAUSE
        return max(rest, self.pause_seconds, SHORTEST_PAUSE if at_once else 0)

    async def post_answers(self) -> None:
        async with self._posting:
            while (waiting := self.store.next_answer()) is not None:
                sequence, body = waiting
                how = await self.line.answer(body)
                self.store.posted(sequence, how)
                log.log(logging.ERROR if how.startswith("refused") else logging.INFO, "answer %d: %s", sequence, how)

    async def take(self, value: object) -> bool:
        """Carry out one instruction. False when it is not the utility's next word to this device."""
        try:
            signed = self._trust(value)
        except Untrusted as error:
            self._strange.failed(error)
            return False
        self._strange.cleared()
        said = signed.said
        body, wrong = read_body(signed.body)
        text = json.dumps(body)
        self.store.begin(said.sequence, said.digest, said.kind, said.since, said.until, text)
        order = Order(said.sequence, said.digest, said.kind, said.since, said.until, body, signed)
        try:
            outcome = await self._act(order, wrong)
        except (Refusal, Failure) as error:
            outcome = error.outcome
        if outcome is None:
            return True
        log.info("instruction %d: %s %s", order.sequence, outcome.state.name, outcome.body)
        self.answer(order, outcome)
        if outcome.then is not None:
            await self.end(outcome.then)
        return True

    async def end(self, how: How) -> None:
        async with self.quiet():
            raise Ending(how)

    def answer(self, order: Order, outcome: Outcome) -> None:
        """Sign and store what became of an instruction, or do it as soon as key and disk allow."""
        self._owed.append((order, outcome))
        try:
            self._pay()
        except (StoreError, KeyFault) as error:
            self._fault.failed(f"the answer to {order.sequence} has to wait: {error}")

    def _pay(self) -> None:
        while self._owed:
            order, outcome = self._owed[0]
            body = json.dumps(outcome.body, separators=(",", ":"), sort_keys=True).encode()
            said = InstructionAnswer(
                self.device,
                self.key.public_key.id,
                order.sequence,
                order.digest,
                outcome.state,
                max(0, int(self.instants.wall())),
                body_hash(body),
            )
            self.store.answer(order.sequence, Signed(said, self.key.sign(said.digest), body).as_json("answer"))
            self._owed.popleft()
            self._answered.set()

    def _trust(self, value: object) -> Signed[Instruction]:
        try:
            signed = read_signed(Instruction, "instruction", value)
        except ValueError as error:
            raise Untrusted(f"not an instruction: {error}") from None
        said = signed.said
        if said.device != self.device:
            raise Untrusted("an instruction to another device")
        issuer = self.trusted.get(said.issuer)
        if issuer is None:
            raise Untrusted(f"an instruction by the unknown key {said.issuer.hex()}")
        if not issuer.verifies(said.digest, signed.signature):
            raise Untrusted("an instruction with a wrong signature")
        last, _ = self.store.reached()
        if said.sequence <= last:
            raise Untrusted(f"instruction {said.sequence} again, or late: {last} was begun already")
        return signed

    async def _act(self, order: Order, wrong: str) -> Outcome | None:
        wall, now = self.instants.wall(), self.instants.now()
        if wall < order.since - BEHIND_SECONDS:
            raise Refusal("not_yet", clock=int(wall))
        self.store.believe(order.since)
        self.instants.learn(order.since)
        if now >= order.until:
            raise Refusal("expired", clock=int(now))
        if wrong:
            raise Refusal("format", message=wrong)
        handler = self._handler(order.kind)
        if handler is None:
            raise Refusal("not_offered", kind=order.kind)
        try:
            return await handler.act(order)
        except Ending as ending:
            await self.end(ending.how)
            raise

    def _handler(self, kind: int) -> Handler | None:
        return self.handlers.get(InstructionKind(kind)) if kind in list(InstructionKind) else None


def read_body(body: bytes) -> tuple[dict[str, Any], str]:
    """The JSON object, or an empty one and what is wrong."""
    try:
        text = body.decode()
        check_depth(text)
        content = json.loads(text)
    except ValueError as error:
        return {}, f"no JSON: {error}"[:200]
    if not isinstance(content, dict):
        return {}, "not a JSON object"
    return content, ""
