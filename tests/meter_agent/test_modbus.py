"""From the simulated meters over real Modbus TCP into the journal and to the head-end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest

from evidence.readings import Quality, Register
from meter_agent.buses import Bus, BusConfig
from meter_agent.config import PointConfig
from meter_agent.daemon import Agent
from meter_agent.journal import Journal
from meter_agent.reader import Meter
from meter_agent.registers import MeterError, Quantity
from meter_agent.simulator import SetClock, Simulation, at_simulator, simulate_day
from meter_agent.slots import slots_of_day
from meter_agent.tables import ConfigError
from meter_agent.terms import Role
from tests.meter_agent.support import (
    BERLIN,
    HOUSE,
    KEY,
    NOON,
    PROFILE,
    SECRETS,
    STEP,
    HeadEnd,
    expected,
    house,
    kept,
    make_config,
    meter,
    shop,
)


@pytest.mark.parametrize(("day", "slots"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (date(2026, 7, 1), 96)])
def test_a_day_is_read_to_the_last_wh(
    tmp_path: Path, journal: Journal, head_end: HeadEnd, day: date, slots: int
) -> None:
    config = make_config(tmp_path, head_end.address)
    result = asyncio.run(simulate_day(config, PROFILE, journal, KEY, day, send=True))
    assert result == {
        "day": day.isoformat(),
        "slots": slots,
        "complete": True,
        "sent": True,
        "refused": 0,
        "last_sequence": 1,
        "waiting": 0,
    }
    assert head_end.readings == expected(slots_of_day(day, BERLIN, STEP))
    assert len(head_end.received) == 1


def test_reading_a_day_again_changes_nothing(tmp_path: Path, journal: Journal, head_end: HeadEnd) -> None:
    config = make_config(tmp_path, head_end.address)
    for _ in range(2):
        asyncio.run(simulate_day(config, PROFILE, journal, KEY, date(2026, 7, 1), send=True))
    assert len(head_end.readings) == 3 * 96


def test_two_days_in_a_row_have_no_gap_between_them(tmp_path: Path, journal: Journal, head_end: HeadEnd) -> None:
    config = make_config(tmp_path, head_end.address)
    for day in (date(2026, 7, 1), date(2026, 7, 2)):
        asyncio.run(simulate_day(config, PROFILE, journal, KEY, day, send=True))
    first = slots_of_day(date(2026, 7, 1), BERLIN, STEP)
    assert head_end.readings == expected(range(first[0], first[0] + 192 * STEP, STEP))
    assert sorted(head_end.stored) == [1, 2]


def test_a_meter_that_the_profile_lacks_is_named(tmp_path: Path) -> None:
    stranger = PointConfig(b"\xcc" * 32, bytes(32), {Role.GRID: meter(9)})
    with pytest.raises(ConfigError, match=r"points\[1\]\.grid: the profile has no such meter with unit 9"):
        at_simulator(make_config(tmp_path, "http://x", house(), stranger), PROFILE, 5020)


Use = Callable[[Simulation, SetClock, Agent], Awaitable[None]]


def with_agent(tmp_path: Path, journal: Journal, use: Use, *more: PointConfig) -> None:
    async def run() -> None:
        clock = SetClock(NOON)
        async with Simulation(PROFILE, clock) as simulation:
            config = make_config(tmp_path, "http://127.0.0.1:9", house(simulation.port), shop(simulation.port), *more)
            async with Agent(config, journal, KEY, clock) as agent:
                await use(simulation, clock, agent)

    asyncio.run(run())


def test_a_meter_that_is_not_there_does_not_stop_the_others(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    broken = PointConfig(b"\xcc" * 32, SECRETS[HOUSE], {Role.GRID: meter(9, 1)})

    async def use(simulation: Simulation, clock: SetClock, agent: Agent) -> None:
        for _ in range(3):
            assert not await agent.read_boundary(int(clock.now), patient=False)
            clock.now += STEP

    with_agent(tmp_path, journal, use, broken)
    assert kept(journal) == expected(range(NOON, NOON + 2 * STEP, STEP))
    errors = [record for record in caplog.records if record.name == "meter_agent.faults"]
    assert len(errors) == 1  # and quiet from then on


def test_an_exception_reply_of_one_unit_does_not_stop_the_others_on_its_bus(tmp_path: Path, journal: Journal) -> None:
    async def use(simulation: Simulation, clock: SetClock, agent: Agent) -> None:
        bus = Bus(BusConfig("127.0.0.1", simulation.port))
        answers = await asyncio.gather(
            *(Meter(bus, meter(unit)).counters() for unit in (1, 9, 2, 3)), return_exceptions=True
        )
        bus.close()
        assert [isinstance(answer, MeterError) for answer in answers] == [False, True, False, False]

    with_agent(tmp_path, journal, use)


def test_a_silent_gateway_costs_only_its_own_meters(tmp_path: Path, journal: Journal) -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def use(simulation: Simulation, clock: SetClock, agent: Agent) -> None:
        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        dead = Bus(BusConfig("127.0.0.1", server.sockets[0].getsockname()[1], answer_seconds=0.1))
        with pytest.raises(MeterError, match="does not answer"):
            await Meter(dead, meter(1)).counters()
        dead.close()
        server.close()
        alive = Bus(BusConfig("127.0.0.1", simulation.port))
        assert (await Meter(alive, meter(2)).counters())[Quantity.EXPORT].scale == -3
        alive.close()
        await asyncio.sleep(0.05)

    with_agent(tmp_path, journal, use)


def test_slots_missed_by_the_agent_are_substitutes(tmp_path: Path, journal: Journal) -> None:
    async def use(simulation: Simulation, clock: SetClock, agent: Agent) -> None:
        for slots in (0, 1, 4, 1):
            clock.now += slots * STEP
            await agent.read_boundary(int(clock.now), patient=False)

    with_agent(tmp_path, journal, use)
    found = [r for r in kept(journal) if (r.point, r.register) == (HOUSE, Register.GENERATION)]
    true, substitute = Quality.TRUE_VALUE, Quality.SUBSTITUTE
    assert [reading.quality for reading in found] == [true, *[substitute] * 4, true]
    true_values = [r.value for r in expected(range(NOON, NOON + 6 * STEP, STEP)) if r.register == Register.GENERATION]
    assert [found[0].value, found[5].value] == [true_values[0], true_values[5]]
    spread = [reading.value for reading in found[1:5]]
    assert sum(spread) == sum(true_values[1:5])
    assert max(spread) - min(spread) <= 1


def test_a_reconnected_meter_is_read_on(tmp_path: Path, journal: Journal) -> None:
    async def run() -> None:
        clock = SetClock(NOON)
        async with Simulation(PROFILE, clock) as simulation:
            port = simulation.port
            bus = Bus(BusConfig("127.0.0.1", port, answer_seconds=0.2))
            found = Meter(bus, meter(2))
            first = await found.counters()
        with pytest.raises(MeterError):
            await found.counters()
        async with Simulation(PROFILE, clock, port=port):
            assert await found.counters() == first
            bus.close()

    asyncio.run(run())


def test_a_port_that_is_taken_is_named() -> None:
    async def run() -> None:
        async with Simulation(PROFILE) as simulation:
            with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{simulation.port}"):
                async with Simulation(PROFILE, port=simulation.port):
                    pass

    asyncio.run(run())
