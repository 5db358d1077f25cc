"""The agent itself: reads at each slot boundary, sends in between."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from evidence.keys import Signer
from evidence.readings import Reading
from meter_agent.clock import Watch, since_boot
from meter_agent.condition import Condition
from meter_agent.config import Config, PointConfig
from meter_agent.destinations import Ledger, Market, Measures
from meter_agent.energy import PUNCTUAL_SECONDS, PointState, read_slot
from meter_agent.faults import Fault
from meter_agent.inputs import Change, Inputs
from meter_agent.journal import Journal
from meter_agent.journal.errors import JournalFull
from meter_agent.link import Allowance, open_client
from meter_agent.reader import Reader
from meter_agent.registers import MeterError, Quantity, RawCounter
from meter_agent.reporter import Reporter
from meter_agent.senders import open_sender
from meter_agent.slots import iso, slot_start
from meter_agent.terms import Role
from meter_agent.uplink import Sealer, Uplink

log = logging.getLogger(__name__)


# Between two questions for the time.
ASK_SECONDS = 60
# Readings of points that wait in memory while the journal cannot be written: a day of ten points.
MOST_UNSTORED = 1000


@dataclass(frozen=True, slots=True)
class Stored:
    """What one reading of a point's meters leads to."""

    point: PointConfig
    state: PointState
    readings: list[Reading]


def _report(change: Change) -> None:
    words = {True: "alarm", False: "no alarm", None: "unknown"}
    log.warning("input %s: %s since %s", change.name, words[change.alarm], iso(change.at))


class Agent:
    """One device with its meters, journal and uplink. Made inside a running event loop."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        key: Signer,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        steady: Callable[[], float] = since_boot,
        key_of: Callable[[int], Signer] | None = None,
    ) -> None:
        self.config = config
        self.journal = journal
        self.clock = clock
        self.sleep = sleep
        # Held while a slot is read: whoever ends the agent on purpose waits for it.
        self.reading = asyncio.Lock()
        self.beat: Callable[[], None] = lambda: None
        self.reader = Reader(config.points)
        self.inputs = Inputs(config.inputs, self.reader.bus, _report, clock)
        self.allowance = Allowance(journal, config.bytes_per_day, clock)
        self.client = open_client(self.allowance)
        sealer = Sealer(config, journal, key)
        self.uplinks = [
            Uplink(each, sealer, self.client, self.allowance)
            for each in config.destinations
            if isinstance(each, Market | Measures)
        ]
        self.reporters = [
            Reporter(
                each,
                config,
                journal,
                key_of or (lambda day: key),
                open_sender(each, self.client, self.allowance),
                self.allowance,
                clock,
            )
            for each in config.destinations
            if isinstance(each, Ledger)
        ]
        self.senders: list[Uplink | Reporter] = [*self.uplinks, *self.reporters]
        self.conditions = [
            Condition(each, config, journal, key, self.client, self.allowance, self.faults, clock)
            for each in config.destinations
            if isinstance(each, Market)
        ]
        self.steady = steady
        self._unstored: deque[Stored] = deque(maxlen=MOST_UNSTORED)
        self._full = Fault("the journal")
        self._faults = {
            (point.id, role): Fault(f"{point.name} {role} meter") for point in config.points for role in point.meters
        }
        forgotten = journal.forgotten_readings(config.secrets)
        if forgotten:
            log.error("%d readings wait for points that are no longer configured; they cannot be signed", forgotten)
        gone = journal.keep_destinations([each.destination.name for each in self.uplinks])
        if gone:
            log.error("%d batches were for destinations that are no longer configured; they are forgotten", gone)

    @cached_property
    def watch(self) -> Watch:
        """Over the clock by which the meters are read as time goes by."""
        return Watch(self.clock, self.steady, self.journal.last_read())

    def faults(self) -> list[Fault]:
        """All that can fail for long, whether it does or not."""
        return [self._full, *self._faults.values(), *(sender.fault for sender in self.senders)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.reader.close()
        for reporter in self.reporters:
            await reporter.sender.close()
        await self.client.aclose()

    async def run(self) -> None:
        """Read and send for ever. Both may be cancelled at any time: whatever is stored is whole."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.read_for_ever())
                tasks.create_task(self.inputs.run())
                tasks.create_task(self.ask_for_the_time())
                for sender in self.senders:
                    tasks.create_task(sender.run())
                for condition in self.conditions:
                    tasks.create_task(condition.run())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def read_for_ever(self) -> None:
        done = None
        while True:
            # Short sleeps by the wall clock: after a suspended night the boundary is the one of now.
            boundary = slot_start(self.clock(), self.config.slot_seconds)
            self.beat()
            if boundary != done and self.is_punctual(boundary) and not self.watch.is_doubtful():
                async with self.reading:
                    await self.read_boundary(boundary)
                if boundary % self.config.send_seconds == 0:
                    self.wake()
                done = boundary
            following = boundary + self.config.slot_seconds - self.clock()
            await self.sleep(min(self.config.poll_seconds, max(following, 0.01)))

    async def ask_for_the_time(self) -> None:
        """As long as the clock is in doubt, ask the markets what time it is."""
        while True:
            if self.watch.is_doubtful():
                for uplink in self.uplinks:
                    instant = await uplink.time()
                    if instant is not None:
                        self.watch.heard(instant)
            await asyncio.sleep(ASK_SECONDS)

    def wake(self) -> None:
        for sender in self.senders:
            sender.wake()

    async def drain(self, attempts: int) -> bool:
        """Send all that waits. True when nothing is left."""
        results = [await sender.drain(attempts) for sender in self.senders]
        return all(results)

    def is_punctual(self, boundary: int) -> bool:
        return 0 <= self.clock() - boundary <= PUNCTUAL_SECONDS

    async def read_boundary(self, boundary: int, *, patient: bool = True) -> bool:
        """Store the readings of the slot that ends at `boundary`; true when every meter answered."""
        answered = await asyncio.gather(*(self._read_point(point, boundary, patient) for point in self.config.points))
        return all(answered)

    async def _read_point(self, point: PointConfig, boundary: int, patient: bool) -> bool:
        state = self._state(point)
        if state.read_at is not None and boundary <= state.read_at:
            log.info("%s: already read at %s", point.name, iso(state.read_at))
            return True
        raw: dict[Role, dict[Quantity, RawCounter]] = {}
        while True:
            for role in point.meters.keys() - raw.keys():
                counters = await self._read_meter(point, role)
                if counters is None:
                    continue
                if self.is_punctual(boundary):
                    raw[role] = counters
                else:
                    log.warning("%s: the %s meter was read too late for %s", point.name, role, iso(boundary))
            complete = raw.keys() == point.meters.keys()
            if complete or not patient or not self.is_punctual(boundary):
                break
            await self.sleep(self.config.poll_seconds)
        state, readings, remarks = read_slot(point, state, raw, boundary, self.config.slot_seconds)
        if raw:
            self._store(Stored(point, state, readings))
        for remark in remarks:
            log.log(remark.level, remark.text)
        return complete

    def _state(self, point: PointConfig) -> PointState:
        unstored = [each.state for each in self._unstored if each.point.id == point.id]
        return unstored[-1] if unstored else self.journal.state(point.id)

    def _store(self, new: Stored) -> None:
        """What cannot be written waits in memory for as long as it takes to make room, or for a day."""
        self._make_room()
        self._unstored.append(new)
        try:
            while self._unstored:
                each = self._unstored[0]
                self.journal.store(
                    each.point.id,
                    each.state,
                    each.readings,
                    self.config.slot_seconds,
                    self.config.time_zone,
                    each.point.registers,
                )
                self._unstored.popleft()
        except JournalFull as error:
            self._full.failed(f"{error}; {len(self._unstored)} readings of points wait in memory")
        else:
            self._full.cleared()

    def _make_room(self) -> None:
        for day, count in self.journal.thin(self.config.time_zone, int(self.clock())):
            log.error("the journal is full: %d readings of %s are given up, their totals stay", count, day)

    async def _read_meter(self, point: PointConfig, role: Role) -> dict[Quantity, RawCounter] | None:
        fault = self._faults[point.id, role]
        try:
            counters = await self.reader.counters(point.id, role)
        except MeterError as error:
            fault.failed(error)
            return None
        fault.cleared()
        return counters

    async def once(self, attempts: int = 3) -> bool:
        """Read, store and send now. True when every meter answered, everything was taken and nothing is left."""
        boundary = slot_start(self.clock(), self.config.slot_seconds)
        if self.is_punctual(boundary):
            answered = await self.read_boundary(boundary, patient=False)
        else:
            log.warning("no slot has just ended: the meters are asked, but no reading is stored")
            meters = [self._read_meter(point, role) for point in self.config.points for role in point.meters]
            answered = all(counters is not None for counters in await asyncio.gather(*meters))
        refused = len(self.journal.status()["refused"])
        sent = await self.drain(attempts)
        return answered and sent and len(self.journal.status()["refused"]) == refused
