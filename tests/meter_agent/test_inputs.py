import asyncio
from collections.abc import Awaitable, Callable

import pytest

from meter_agent.buses import Bus, BusConfig
from meter_agent.config import PointConfig
from meter_agent.energy import PointState, read_slot
from meter_agent.inputs import Change, InputConfig, Inputs, Pulses, read_inputs
from meter_agent.meters import PulseConfig
from meter_agent.registers import MICRO, MeterError, Quantity
from meter_agent.tables import ConfigError, Table
from meter_agent.terms import Role
from tests.meter_agent.frames import tcp_meter
from tests.meter_agent.support import HOUSE, NOON, SECRETS, STEP

LINE = BusConfig("127.0.0.1", 1)
# function 2, one input of unit 5 at address 0 and 1
DOOR, S0 = "05 02 00 00 00 01", "05 02 00 01 00 01"
OPEN, CLOSED = "05 02 01 00", "05 02 01 01"

Answers = dict[str, str | bytes | None]


def with_bus(answers: Answers, use: Callable[[Bus], Awaitable[None]]) -> None:
    async def run() -> None:
        async with tcp_meter(answers, answer_seconds=0.1) as bus:
            await use(bus)

    asyncio.run(run())


def test_each_change_of_an_alarm_contact_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    answers: Answers = {DOOR: CLOSED}
    changes: list[Change] = []
    now = [100.0]

    async def use(bus: Bus) -> None:
        door = InputConfig("door", LINE, 5, 0, closed_is_alarm=False)
        inputs = Inputs([door], lambda config: bus, changes.append, lambda: now[0])
        for answer in (CLOSED, CLOSED, OPEN, OPEN, None, None, CLOSED):
            answers[DOOR] = answer
            await inputs.look()
            now[0] += 1
        assert inputs.state == {"door": Change("door", False, 106)}

    with_bus(answers, use)
    assert changes == [
        Change("door", False, 100),
        Change("door", True, 102),
        Change("door", None, 104),
        Change("door", False, 106),
    ]
    assert [record.levelname for record in caplog.records if record.name == "meter_agent.faults"] == [
        "ERROR",
        "WARNING",  # works again
    ]


async def pulse(answers: Answers, times: int) -> None:
    for _ in range(times):
        for level in (CLOSED, OPEN):
            answers[S0] = level
            await asyncio.sleep(0.06)


def test_pulses_are_counted_by_their_rising_edges() -> None:
    answers: Answers = {S0: OPEN}

    async def use(bus: Bus) -> None:
        pulses = Pulses(bus, PulseConfig(LINE, 5, {Quantity.EXPORT: 1}, 800, 100), [Quantity.EXPORT])
        with pytest.raises(MeterError, match="was not looked at yet"):
            await pulses.counters()
        await asyncio.sleep(0.1)
        before = (await pulses.counters())[Quantity.EXPORT]
        await pulse(answers, 3)
        after = (await pulses.counters())[Quantity.EXPORT]
        await pulses.close()
        assert (after.raw - before.raw, after.scale) == (3 * 1_250_000, MICRO)  # 1.25 Wh each

    with_bus(answers, use)


def test_what_was_missed_while_nobody_looked_is_no_energy() -> None:
    answers: Answers = {S0: OPEN}

    async def use(bus: Bus) -> None:
        config = PulseConfig(LINE, 5, {Quantity.EXPORT: 1}, 1000, 100)
        point = PointConfig(HOUSE, SECRETS[HOUSE], {Role.GENERATION: config})
        state = PointState()
        for boundary in (NOON, NOON + STEP):
            pulses = Pulses(bus, config, [Quantity.EXPORT])  # the box has started again in between
            await asyncio.sleep(0.1)
            counters = {Role.GENERATION: await pulses.counters()}
            await pulses.close()
            state, readings, remarks = read_slot(point, state, counters, boundary, STEP)
            assert readings == []
        assert "starts again" in remarks[0].text

    with_bus(answers, use)


def test_an_input_that_cannot_be_read_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_agent.inputs.PULSE_RETRY_SECONDS", 0.05)
    answers: Answers = {S0: OPEN}

    async def use(bus: Bus) -> None:
        pulses = Pulses(bus, PulseConfig(LINE, 5, {Quantity.IMPORT: 1}, 1000, 100), [Quantity.IMPORT])
        await asyncio.sleep(0.1)
        before = (await pulses.counters())[Quantity.IMPORT].raw
        answers[S0] = None
        await asyncio.sleep(0.4)
        with pytest.raises(MeterError, match="does not answer"):
            await pulses.counters()
        answers[S0] = OPEN
        await asyncio.sleep(0.4)
        assert abs((await pulses.counters())[Quantity.IMPORT].raw - before) > 10**12
        await pulses.close()

    with_bus(answers, use)


def test_inputs_are_read_from_the_settings() -> None:
    door = {"name": "door", "bus": "roof", "unit": 5, "address": 3}
    assert read_inputs(Table({"inputs": [door]}, ""), {"roof": LINE}) == (InputConfig("door", LINE, 5, 3, True),)
    with pytest.raises(ConfigError, match=r"inputs\[0\]\.bus: must be one of hall"):
        read_inputs(Table({"inputs": [door]}, ""), {"hall": LINE})
    with pytest.raises(ConfigError, match=r"inputs\[1\]\.name: door is given twice"):
        read_inputs(Table({"inputs": [door, door]}, ""), {"roof": LINE})
