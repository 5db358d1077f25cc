"""A clock that lost its time, jumps or is set, and a box that reads nothing under a wrong one."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from meter_agent.clock import BELIEVED_AFTER, LONGEST_DARKNESS, Watch
from meter_agent.daemon import Agent
from meter_agent.journal import Journal
from meter_agent.simulator import SetClock, Simulation
from tests.meter_agent.support import DEVICE, KEY, NOON, PROFILE, STEP, HeadEnd, house, make_config, shop

HOUR = 3600


class Clocks:
    """A wall clock that can be set, and one that only runs."""

    def __init__(self, wall: float = NOON, last_known: int | None = NOON - STEP) -> None:
        self.wall, self.steady = SetClock(wall), SetClock(5.0)
        self.watch = Watch(self.wall, self.steady, last_known)

    def passes(self, seconds: float) -> "Clocks":
        self.wall.now += seconds
        self.steady.now += seconds
        return self

    def is_set(self, seconds: float) -> "Clocks":
        self.wall.now += seconds
        return self

    def is_doubtful(self) -> bool:
        return self.watch.is_doubtful()


def test_a_clock_that_only_runs_is_believed() -> None:
    clocks = Clocks()
    for _ in range(100):
        assert not clocks.passes(STEP).is_doubtful()


@pytest.mark.parametrize("correction", [-HOUR, -90, 30, HOUR])
def test_what_a_time_server_corrects_is_believed(correction: float) -> None:
    assert not Clocks().is_set(correction).is_doubtful()


@pytest.mark.parametrize("jump", [-2 * HOUR, 2 * HOUR, 400 * 86_400])
def test_a_jump_is_doubted_until_it_is_undone_or_a_head_end_agrees(jump: float) -> None:
    clocks = Clocks().is_set(jump)
    assert clocks.is_doubtful()
    clocks.watch.heard(NOON)
    assert clocks.is_doubtful(), "the head-end says otherwise"
    assert not clocks.is_set(-jump).is_doubtful()

    clocks = Clocks().is_set(jump)
    assert clocks.is_doubtful()
    clocks.watch.heard(NOON + jump + 10)
    assert not clocks.is_doubtful()


@pytest.mark.parametrize("wall", [0, NOON - 2 * HOUR, NOON + LONGEST_DARKNESS + HOUR])
def test_a_clock_that_lost_its_time_is_doubted_until_it_is_set(wall: float) -> None:
    clocks = Clocks(wall)
    assert clocks.passes(STEP).is_doubtful()
    assert not clocks.is_set(NOON - wall).is_doubtful()


def test_a_box_that_never_read_anything_believes_its_clock() -> None:
    assert not Clocks(0, None).is_doubtful()


def test_a_clock_that_nobody_contradicts_is_believed_after_a_day() -> None:
    clocks = Clocks().is_set(2 * HOUR)
    assert clocks.is_doubtful()
    assert clocks.passes(BELIEVED_AFTER).is_doubtful()
    assert not clocks.passes(60).is_doubtful()


def test_a_head_end_with_another_time_brings_doubt() -> None:
    clocks = Clocks()
    clocks.watch.heard(NOON + 200)
    assert not clocks.is_doubtful()
    clocks.watch.heard(NOON + 400)
    assert clocks.is_doubtful()


def test_nothing_is_read_while_the_clock_is_in_doubt_and_nothing_is_lost_by_it(
    tmp_path: Path, journal: Journal, head_end: HeadEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock goes a year forward for an hour, as after a power cut, and is set right again."""
    caplog.set_level(logging.INFO)
    clock, steady = SetClock(NOON - 400), SetClock(0)

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        steady.now += seconds
        if 4 * STEP < steady.now < 4 * STEP + seconds + 1:
            clock.now += 365 * 86_400
        if 8 * STEP < steady.now < 8 * STEP + seconds + 1:
            clock.now -= 365 * 86_400
        await asyncio.sleep(0)

    async def work() -> None:
        async with Simulation(PROFILE, clock) as simulation:
            config = make_config(tmp_path, head_end.address, house(simulation.port), shop(simulation.port))
            async with Agent(config, journal, KEY, clock, sleep, steady=steady) as agent:
                reading = asyncio.create_task(agent.read_for_ever())
                while steady.now < 12 * STEP:
                    await asyncio.sleep(0.01)
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
                assert await agent.drain(3)

    asyncio.run(work())
    slots = sorted({reading.slot for reading in head_end.readings})
    assert slots == list(range(NOON, NOON + len(slots) * STEP, STEP)), "no slot of another year, none missing"
    assert len(slots) >= 10
    assert "nothing is read until it is certain" in caplog.text
    assert DEVICE.hex() in str(journal.status())
