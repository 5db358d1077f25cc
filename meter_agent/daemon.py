"""The agent itself: reads at each slot boundary, sends in between."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Self

from evidence.keys import Signer
from meter_agent.config import Config, PointConfig, Role
from meter_agent.energy import PUNCTUAL_SECONDS, read_slot
from meter_agent.faults import Fault
from meter_agent.journal import Journal
from meter_agent.reader import Reader
from meter_agent.registers import Direction, MeterError, RawCounter
from meter_agent.slots import iso, slot_start
from meter_agent.uplink import Uplink

log = logging.getLogger(__name__)


class Agent:
    """One device with its meters, journal and uplink. Made inside a running event loop."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        key: Signer,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.config = config
        self.journal = journal
        self.clock = clock
        self.sleep = sleep
        self.reader = Reader(config.points)
        self.uplink = Uplink(config, journal, key)
        self._faults = {
            (point.id, role): Fault(f"{point.name} {role} meter") for point in config.points for role in point.meters
        }
        forgotten = journal.forgotten_readings(config.secrets)
        if forgotten:
            log.error("%d readings wait for points that are no longer configured; they cannot be signed", forgotten)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.reader.close()
        await self.uplink.close()

    async def run(self) -> None:
        """Read and send for ever. Both may be cancelled at any time: whatever is stored is whole."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.read_for_ever())
                tasks.create_task(self.uplink.run())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def read_for_ever(self) -> None:
        done = None
        while True:
            # Short sleeps by the wall clock: after a suspended night the boundary is the one of now.
            boundary = slot_start(self.clock(), self.config.slot_seconds)
            if boundary != done and self.is_punctual(boundary):
                await self.read_boundary(boundary)
                self.uplink.wake()
                done = boundary
            following = boundary + self.config.slot_seconds - self.clock()
            await self.sleep(min(self.config.poll_seconds, max(following, 0.01)))

    def is_punctual(self, boundary: int) -> bool:
        return 0 <= self.clock() - boundary <= PUNCTUAL_SECONDS

    async def read_boundary(self, boundary: int, *, patient: bool = True) -> bool:
        """Store the readings of the slot that ends at `boundary`; true when every meter answered."""
        answered = await asyncio.gather(*(self._read_point(point, boundary, patient) for point in self.config.points))
        return all(answered)

    async def _read_point(self, point: PointConfig, boundary: int, patient: bool) -> bool:
        state = self.journal.state(point.id)
        if state.read_at is not None and boundary <= state.read_at:
            log.info("%s: already read at %s", point.name, iso(state.read_at))
            return True
        raw: dict[Role, dict[Direction, RawCounter]] = {}
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
            self.journal.store(point.id, state, readings, self.config.slot_seconds)
        for remark in remarks:
            log.log(remark.level, remark.text)
        return complete

    async def _read_meter(self, point: PointConfig, role: Role) -> dict[Direction, RawCounter] | None:
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
        sent = await self.uplink.drain(attempts)
        return answered and sent and len(self.journal.status()["refused"]) == refused
