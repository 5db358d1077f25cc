"""Plants and outputs: limits, ramps, fail-safe values, and what goes over the wire."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.boxes import AnswerState
from meter_agent.buses import Bus, BusConfig
from meter_agent.channel.instants import Instants
from meter_agent.channel.modbus import (
    ModbusActuator,
    ModbusSwitch,
    Number,
    PowerRegister,
)
from meter_agent.channel.orders import INTERRUPTED, Failure, Order, Outcome, Refusal
from meter_agent.channel.outputs import Output, Outputs
from meter_agent.channel.schedules import Limits, Plan, Plant, Schedules, approach, wanted_power
from meter_agent.channel.store import Store
from meter_agent.registers import MeterError
from tests.meter_agent.slave import Slave, running_slave
from tests.meter_agent.utility import WALL

LIMITS = Limits("battery", -5000, 4000, 60_000, -100, 600)
PLAN = Plan(WALL + 30, ((WALL, -3000), (WALL + 10, 2000)))
BODY = {"plant": "battery", "end": WALL + 30, "steps": [[WALL, -3000], [WALL + 10, 2000]]}


def order(body: Any, sequence: int = 1) -> Order:
    return Order(sequence, b"\x01" * 32, 2, 0, 2**40, body)


# What a plan says.


@pytest.mark.parametrize(
    ("seconds", "silent", "expected"),
    [
        (-1, 0.0, (-100, None)),
        (0, 0.0, (-3000, 0)),
        (9.9, 600.0, (-3000, 0)),
        (10, 0.0, (2000, 1)),
        (29.9, 0.0, (2000, 1)),
        (30, 0.0, (-100, None)),
        (5, 600.1, (-100, None)),
        (5, None, (-100, None)),
    ],
)
def test_what_a_plant_is_to_do(seconds: float, silent: float | None, expected: tuple[int, int | None]) -> None:
    assert wanted_power(PLAN, WALL + seconds, silent, LIMITS) == expected
    assert wanted_power(None, WALL + seconds, silent, LIMITS) == (-100, None)


@given(st.integers(-9000, 9000), st.integers(-9000, 9000), st.integers(1, 500))
def test_a_ramp_goes_straight_to_its_end(current: int, wanted: int, most: int) -> None:
    steps = [current]
    while steps[-1] != wanted:
        steps.append(approach(steps[-1], wanted, most))
    assert all(abs(later - earlier) <= most for earlier, later in pairwise(steps))
    assert len(steps) - 1 == -(-abs(wanted - current) // most)


# A plant, tick by tick.


@dataclass
class Fake:
    """A plant that does what it is told at once, unless it is away."""

    told: list[int] = field(default_factory=list)
    is_away: bool = False

    async def set_power(self, watts: int) -> None:
        if self.is_away:
            raise MeterError("away")
        self.told.append(watts)

    async def power(self) -> int | None:
        if self.is_away:
            raise MeterError("away")
        return self.told[-1] + 7 if self.told else 0


@dataclass
class Bench:
    """A plant with clocks that are set by hand."""

    store: Store
    limits: Limits = LIMITS
    wall: float = WALL - 5
    counted: float = 5000
    silent: float | None = 0
    answers: list[tuple[int, Outcome]] = field(default_factory=list)
    fake: Fake = field(default_factory=Fake)

    def __post_init__(self) -> None:
        instants = Instants(0, lambda: self.wall, lambda: self.counted)
        self.plant = Plant(
            self.limits,
            self.fake,
            self.store,
            instants,
            lambda: self.silent,
            lambda order, outcome: self.answers.append((order.sequence, outcome)),
        )
        self.schedules = Schedules([self.plant])

    def act(self, body: Any, sequence: int = 1) -> Outcome | None:
        return asyncio.run(self.schedules.act(order(body, sequence)))

    def tick(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            asyncio.run(self.plant.tick())
            self.wall += 1
            self.counted += 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "channel.sqlite") as opened:
        yield opened


@pytest.fixture
def bench(store: Store) -> Bench:
    return Bench(store)


def test_a_plan_is_followed_along_the_ramp_and_answered_at_its_end(bench: Bench) -> None:
    assert bench.act(BODY) is None
    bench.tick(5)
    assert bench.fake.told == [-100]
    bench.tick(4)
    assert bench.fake.told == [-100, -1100, -2100, -3000]
    bench.tick(6)
    bench.tick(6)
    assert bench.fake.told[4:] == [-2000, -1000, 0, 1000, 2000]
    assert bench.answers == []
    bench.tick(20)
    assert bench.fake.told[9:] == [1000, 0, -100]
    ((sequence, outcome),) = bench.answers
    # Measured at the seconds 5, 15 and 25 of the plan: every ten seconds.
    assert (sequence, outcome.state) == (1, AnswerState.DONE)
    assert outcome.body == {
        "steps": [
            {"start": WALL, "watts": -3000, "measured": -2993, "written": True, "failsafe": False},
            {"start": WALL + 10, "watts": 2000, "measured": 2007, "written": True, "failsafe": False},
        ]
    }
    assert bench.store.plan("battery") is None


def test_without_word_from_the_utility_a_plant_goes_to_its_failsafe_value(bench: Bench) -> None:
    bench.silent = None
    bench.act({**BODY, "end": WALL + 100})
    bench.tick(10)
    assert bench.fake.told == [-100]
    bench.silent = 3
    bench.tick(5)
    assert bench.fake.told[-1] == -3000
    bench.silent = 601
    bench.tick(5)
    assert bench.fake.told[-1] == -100
    bench.silent = 2
    bench.tick(90)
    ((_, outcome),) = bench.answers
    assert [step["failsafe"] for step in outcome.body["steps"]] == [True, True]


def test_a_plant_is_told_again_from_time_to_time(bench: Bench) -> None:
    bench.tick(61)
    assert bench.fake.told == [-100, -100, -100]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"steps": [[WALL, -5001]]}, "limit"),
        ({"steps": [[WALL, 4001]]}, "limit"),
        ({"plant": "engine"}, "not_offered"),
        ({"end": WALL - 10, "steps": [[WALL - 20, 0]]}, "expired"),
        ({"end": WALL + 10}, "format"),
        ({"steps": [[WALL, 0], [WALL, 1]]}, "format"),
        ({"steps": []}, "format"),
        ({"steps": [[WALL]]}, "format"),
        ({"steps": [[WALL, 1.5]]}, "format"),
        ({"steps": [[WALL, True]]}, "format"),
        ({"steps": [[WALL + i, 0] for i in range(401)], "end": WALL + 500}, "format"),
        ({"end": WALL + 9 * 86400}, "format"),
        ({"more": 1}, "format"),
    ],
)
def test_a_plan_beyond_the_limits_is_not_begun(bench: Bench, change: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        bench.act({**BODY, **change})
    assert refusal.value.outcome.body["code"] == code
    bench.tick(20)
    assert set(bench.fake.told) == {-100}


def test_a_plan_takes_the_place_of_another(bench: Bench) -> None:
    bench.act(BODY)
    bench.tick(8)
    assert bench.act({**BODY, "steps": [[WALL, 1000]]}, sequence=2) is None
    ((sequence, outcome),) = bench.answers
    assert (sequence, outcome.state, outcome.body["replaced_by"]) == (1, AnswerState.DONE, 2)
    bench.tick(40)
    assert [each for each, _ in bench.answers] == [1, 2]


def test_a_plant_that_never_answers_fails_the_plan(bench: Bench) -> None:
    bench.fake.is_away = True
    bench.act(BODY)
    bench.tick(40)
    ((_, outcome),) = bench.answers
    assert (outcome.state, outcome.body["code"]) == (AnswerState.FAILED, "never_set")


def test_a_plan_goes_on_after_a_restart(bench: Bench, store: Store) -> None:
    bench.act(BODY)
    bench.tick(15)
    again = Bench(store, wall=bench.wall, counted=9)
    assert asyncio.run(again.schedules.resume(order(BODY))) is None
    again.tick(3)
    assert again.fake.told[0] == 2000
    again.tick(30)
    ((sequence, outcome),) = again.answers
    assert (sequence, [step["written"] for step in outcome.body["steps"]]) == (1, [False, True])
    # One that was begun and never stored did not happen.
    assert asyncio.run(again.schedules.resume(order(BODY, 2))) == INTERRUPTED


def test_a_clock_that_jumps_leads_to_the_step_of_then(bench: Bench) -> None:
    bench.act(BODY)
    bench.tick(8)
    bench.wall += 12
    bench.tick(8)
    assert bench.fake.told[-1] == 2000
    bench.wall -= 20
    bench.tick(6)
    assert bench.fake.told[-1] == -3000


def test_a_plant_is_told_its_failsafe_value_at_the_end(bench: Bench) -> None:
    bench.wall = WALL + 1

    async def work() -> None:
        bench.plant.begin(order(BODY), PLAN)
        task = asyncio.create_task(bench.plant.run())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert bench.fake.told == [-3000, -100]


# Over the wire.


@pytest.fixture
def slave() -> Iterator[Slave]:
    with running_slave() as running:
        yield running


@pytest.mark.parametrize(
    ("register", "watts", "words"),
    [
        (PowerRegister(10, Number.INT16), -3000, [0xF448]),
        (PowerRegister(10, Number.UINT16), 3000, [0x0BB8]),
        (PowerRegister(10, Number.INT32), -3000, [0xFFFF, 0xF448]),
        (PowerRegister(10, Number.INT32, low_first=True), -3000, [0xF448, 0xFFFF]),
        (PowerRegister(10, Number.UINT32), 100_000, [0x0001, 0x86A0]),
        (PowerRegister(10, Number.INT16, watts=100), -3199, [0xFFE1]),
    ],
)
def test_powers_as_registers(slave: Slave, register: PowerRegister, watts: int, words: list[int]) -> None:
    async def work() -> int | None:
        bus = Bus(BusConfig("127.0.0.1", slave.port))
        actuator = ModbusActuator(bus, 1, register, register)
        await actuator.set_power(watts)
        measured = await actuator.power()
        bus.close()
        return measured

    # A count of 100 W: towards zero.
    assert asyncio.run(work()) == (-3100 if watts == -3199 else watts)
    assert slave.written == [(10, words)]


def test_a_power_that_does_not_fit_is_not_cut() -> None:
    for register, watts in (
        (PowerRegister(0, Number.UINT16), -1),
        (PowerRegister(0, Number.INT16), 32_768),
        (PowerRegister(0, Number.UINT32), 2**32),
    ):
        with pytest.raises(MeterError, match="does not fit"):
            register.encode(watts)


def with_output(slave: Slave, work: Any, *, failsafe: bool = False, counted: list[float] | None = None) -> Any:
    async def run() -> Any:
        bus = Bus(BusConfig("127.0.0.1", slave.port, answer_seconds=0.5))
        times = counted or [0.0]
        output = Output("boiler", failsafe, 600, ModbusSwitch(bus, 1, 3), lambda: times[0])
        try:
            return await work(output, Outputs([output]))
        finally:
            bus.close()

    return asyncio.run(run())


def test_an_output_is_switched_for_a_while(slave: Slave) -> None:
    times = [100.0]

    async def work(output: Output, outputs: Outputs) -> None:
        await output.tick()
        assert slave.switched == [(3, False)]
        outcome = await outputs.act(order({"output": "boiler", "on": True, "seconds": 600}))
        assert (outcome.state, outcome.body) == (AnswerState.DONE, {"on": True, "seconds": 600})
        assert slave.coils == {3: True}
        times[0] += 599
        await output.tick()
        assert slave.coils == {3: True}
        times[0] += 1
        await output.tick()
        assert slave.coils == {3: False}
        await output.tick()
        assert len(slave.switched) == 3
        await outputs.act(order({"output": "boiler", "on": True, "seconds": 5}))
        outcome = await outputs.act(order({"output": "boiler", "on": False}))
        assert (outcome.body, slave.coils) == ({"on": False}, {3: False})

    with_output(slave, work, counted=times)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"output": "boiler", "on": True, "seconds": 601}, "limit"),
        ({"output": "boiler", "on": True}, "format"),
        ({"output": "boiler", "on": 1, "seconds": 5}, "format"),
        ({"output": "boiler", "seconds": 5}, "format"),
        ({"output": "boiler", "on": True, "seconds": 0}, "format"),
        ({"output": "moon", "on": True, "seconds": 5}, "not_offered"),
        ({"output": "boiler", "on": True, "seconds": 5, "x": 1}, "format"),
    ],
)
def test_what_an_output_refuses(slave: Slave, body: Any, code: str) -> None:
    async def work(output: Output, outputs: Outputs) -> None:
        with pytest.raises(Refusal) as refusal:
            await outputs.act(order(body))
        assert refusal.value.outcome.body["code"] == code

    with_output(slave, work)
    assert slave.switched == []


def test_an_output_that_does_not_switch_is_brought_back(slave: Slave) -> None:
    slave.stuck = True

    async def work(output: Output, outputs: Outputs) -> None:
        with pytest.raises(Failure, match="not_switched"):
            await outputs.act(order({"output": "boiler", "on": True, "seconds": 5}))
        await output.tick()
        slave.broken = True
        with pytest.raises(Failure, match="no_answer"):
            await outputs.act(order({"output": "boiler", "on": True, "seconds": 5}))
        slave.broken = False
        await output.tick()

    with_output(slave, work)
    assert slave.switched == [(3, True), (3, False), (3, False)]


def test_the_failsafe_state_may_be_on_and_holds_at_the_end(slave: Slave) -> None:
    async def work(output: Output, outputs: Outputs) -> None:
        task = asyncio.create_task(output.run())
        await asyncio.sleep(0.2)
        assert slave.coils == {3: True}
        await outputs.act(order({"output": "boiler", "on": False, "seconds": 500}))
        assert slave.coils == {3: False}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_output(slave, work, failsafe=True)
    assert slave.coils == {3: True}


def test_a_plant_that_hangs_up_or_is_not_there(slave: Slave) -> None:
    async def work(config: BusConfig) -> None:
        bus = Bus(config)
        with pytest.raises(MeterError):
            await ModbusActuator(bus, 1, PowerRegister(0, Number.INT16), None).set_power(1)
        bus.close()

    slave.broken = True
    asyncio.run(work(BusConfig("127.0.0.1", slave.port)))
    asyncio.run(work(BusConfig("127.0.0.1", 9)))
