import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from evidence.readings import Quality
from meter_agent.daemon import Agent
from meter_agent.journal import Journal
from meter_agent.registers import MeterError
from meter_agent.simulator import SetClock, Simulation
from tests.meter_agent.support import KEY, NOON, PROFILE, STEP, HeadEnd, expected, house, kept, make_config, shop


class Time(SetClock):
    """A clock that only sleeping moves on. At `suspend_at` it oversleeps, as a suspended machine does."""

    suspend_at = float("inf")
    suspension = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.suspend_at:
            self.now, self.suspend_at = self.now + self.suspension, float("inf")
        await asyncio.sleep(0)


def with_agent(
    folder: Path,
    journal: Journal,
    clock: Time,
    use: Callable[[Agent], Awaitable[None]],
    server: str = "http://127.0.0.1:9",
) -> None:
    async def work() -> None:
        async with Simulation(PROFILE, clock) as simulation:
            config = make_config(folder, server, house(simulation.port), shop(simulation.port))
            async with Agent(config, journal, KEY, clock, clock.sleep, steady=clock) as agent:
                await use(agent)

    asyncio.run(work())


def run_until(head_end: HeadEnd, slots: int) -> Callable[[Agent], Awaitable[None]]:
    async def use(agent: Agent) -> None:
        running = asyncio.create_task(agent.run())
        while len(head_end.readings) < 3 * slots:
            assert not running.done()
            await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    return use


def test_every_slot_is_read_at_its_end_and_sent(tmp_path: Path, journal: Journal, head_end: HeadEnd) -> None:
    with_agent(tmp_path, journal, Time(NOON - 400), run_until(head_end, 8), head_end.address)
    assert head_end.readings[:24] == expected(range(NOON, NOON + 8 * STEP, STEP))
    assert sorted(head_end.stored) == list(range(1, len(head_end.stored) + 1))


def test_a_restarted_agent_goes_on_where_it_was(tmp_path: Path, journal: Journal, head_end: HeadEnd) -> None:
    clock = Time(NOON - 400)
    with_agent(tmp_path, journal, clock, run_until(head_end, 3), head_end.address)
    with_agent(tmp_path, journal, clock, run_until(head_end, 12), head_end.address)
    found = [(reading.slot, reading.point, reading.register) for reading in head_end.readings]
    assert len(set(found)) == len(found)
    slots = sorted({slot for slot, _, _ in found})
    assert slots == list(range(NOON, NOON + len(slots) * STEP, STEP))


def test_slots_slept_through_are_substitutes(tmp_path: Path, journal: Journal, head_end: HeadEnd) -> None:
    clock = Time(NOON - 400)
    clock.suspend_at, clock.suspension = NOON + STEP + 60, 2 * STEP  # wakes in the middle of the fourth slot
    with_agent(tmp_path, journal, clock, run_until(head_end, 6), head_end.address)
    quality = {reading.slot: reading.quality for reading in head_end.readings}
    true, substitute = Quality.TRUE_VALUE, Quality.SUBSTITUTE
    slots = range(NOON, NOON + 6 * STEP, STEP)
    assert [quality[slot] for slot in slots] == [true, substitute, substitute, substitute, true, true]


def test_a_meter_that_fails_at_the_boundary_is_asked_again(tmp_path: Path, journal: Journal) -> None:
    async def use(agent: Agent) -> None:
        await agent.read_boundary(NOON)
        clock.now = NOON + STEP
        read, failures = agent.reader.counters, iter(range(3))

        async def fail_three_times(*arguments: object) -> object:
            if next(failures, None) is not None:
                raise MeterError("busy")
            return await read(*arguments)  # type: ignore[arg-type]

        agent.reader.counters = fail_three_times  # type: ignore[assignment, method-assign]
        assert await agent.read_boundary(NOON + STEP)

    clock = Time(NOON)
    with_agent(tmp_path, journal, clock, use)
    assert [reading.quality for reading in kept(journal)] == [Quality.TRUE_VALUE] * 3
    assert clock.now - NOON - STEP in {1, 2, 3}


def test_a_meter_that_answers_too_late_does_not_count(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(agent: Agent) -> None:
        await agent.read_boundary(NOON)
        clock.now = NOON + STEP + 31
        assert not await agent.read_boundary(NOON + STEP)

    clock = Time(NOON)
    with_agent(tmp_path, journal, clock, use)
    assert kept(journal) == []
    assert "was read too late" in caplog.text


def test_once_reads_stores_and_sends(tmp_path: Path, journal: Journal, head_end: HeadEnd) -> None:
    async def use(agent: Agent) -> None:
        assert await agent.once()
        clock.now += STEP
        assert await agent.once()

    clock = Time(NOON + 20)
    with_agent(tmp_path, journal, clock, use, head_end.address)
    assert len(head_end.readings) == 3


def test_once_in_the_middle_of_a_slot_stores_nothing(
    tmp_path: Path, journal: Journal, head_end: HeadEnd, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(agent: Agent) -> None:
        assert await agent.once()

    with_agent(tmp_path, journal, Time(NOON + 300), use, head_end.address)
    assert "no slot has just ended" in caplog.text
    assert journal.status()["last_reading"] is None


@pytest.mark.parametrize("trouble", [(422, "application/problem+json", {"title": "no"}), (500, "text/plain", "no")])
def test_once_tells_when_something_was_not_taken(
    tmp_path: Path, journal: Journal, head_end: HeadEnd, trouble: tuple[int, str, object]
) -> None:
    async def use(agent: Agent) -> None:
        await agent.read_boundary(NOON)
        clock.now += STEP
        head_end.script = [trouble]
        assert not await agent.once(attempts=1)

    clock = Time(NOON)
    with_agent(tmp_path, journal, clock, use, head_end.address)


def test_readings_of_points_no_longer_configured_are_named(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(agent: Agent) -> None:
        await agent.read_boundary(NOON)
        clock.now += STEP
        await agent.read_boundary(NOON + STEP)

    async def without_house() -> None:
        async with Agent(make_config(tmp_path, "http://127.0.0.1:9", shop()), journal, KEY):
            pass

    clock = Time(NOON)
    with_agent(tmp_path, journal, clock, use)
    caplog.set_level(logging.ERROR)
    asyncio.run(without_house())
    assert "2 readings wait for points that are no longer configured" in caplog.text
