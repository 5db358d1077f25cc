"""Set-points for flexible plants, within limits that only this box's own settings know.

    {"plant": "battery", "end": 1780003600, "steps": [[1780000000, -3000], [1780001800, 0]]}

Instants in UTC seconds, powers in W, positive when the plant takes from the grid. A plan replaces the one before it.
It is answered when it has ended, with what was set and measured in each step.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from meter_agent.channel.instants import Instants
from meter_agent.channel.modbus import Actuator
from meter_agent.channel.orders import INTERRUPTED, Failure, Order, Outcome, Refusal, done
from meter_agent.channel.store import Store
from meter_agent.channel.tasks import body_of
from meter_agent.faults import Fault
from meter_agent.registers import MeterError
from meter_agent.tables import ConfigError, Table, integer, text

log = logging.getLogger(__name__)

MOST_STEPS = 400
MOST_SECONDS = 8 * 24 * 3600
TICK = 1.0
REFRESH = 30.0  # plants that hear nothing go their own way
MEASURE = 10.0
KEEP = 60.0
FAREWELL = 3.0
LARGEST = 10**9
INSTANT = integer(0, 2**40)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plant may be told. `silent_seconds` without word from the utility, and it goes to `failsafe_w`."""

    name: str
    minimum_w: int
    maximum_w: int
    ramp_w_per_minute: int
    failsafe_w: int
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` are (start, W) with rising starts; each holds until the next, the last until `end`."""

    end: int
    steps: tuple[tuple[int, int], ...]

    def step(self, now: float) -> int | None:
        """The index of the step that holds, None before the first and from the end on."""
        if now >= self.end:
            return None
        started = [index for index, (start, _) in enumerate(self.steps) if start <= now]
        return started[-1] if started else None


def read_plan(table: Table, limits: Limits) -> Plan:
    """Raises `ConfigError` for what is no plan, `Refusal` for one beyond the limits."""
    end = table.take("end", INSTANT)
    steps = table.take("steps", _steps)
    table.finish()
    starts = [start for start, _ in steps]
    if any(later <= earlier for earlier, later in zip(starts, [*starts[1:], end], strict=True)):
        raise ConfigError("steps: must start one after another, and before the end")
    if end - starts[0] > MOST_SECONDS:
        raise ConfigError(f"end: is more than {MOST_SECONDS} seconds after the start")
    for start, watts in steps:
        if not limits.minimum_w <= watts <= limits.maximum_w:
            raise Refusal("limit", start=start, watts=watts, minimum=limits.minimum_w, maximum=limits.maximum_w)
    return Plan(end, steps)


def _steps(value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_STEPS:
        raise ValueError(f"must be a list of 1 to {MOST_STEPS} steps")
    if not all(isinstance(step, list) and len(step) == 2 for step in value):
        raise ValueError("must hold [start, watts]")
    return tuple((INSTANT(start), integer(-LARGEST, LARGEST)(watts)) for start, watts in value)


def wanted_power(plan: Plan | None, now: float, silent: float | None, limits: Limits) -> tuple[int, int | None]:
    """The W to go to, and the step that they belong to; the fail-safe value belongs to none."""
    step = None if plan is None or silent is None or silent > limits.silent_seconds else plan.step(now)
    return (limits.failsafe_w, None) if plan is None or step is None else (plan.steps[step][1], step)


def approach(current: int, wanted: int, most: int) -> int:
    """From `current` towards `wanted`, by `most` W at most."""
    return max(current - most, min(current + most, wanted))


@dataclass(slots=True)
class Result:
    """What was measured while a step held; `missed` counts ticks that were spent at the fail-safe value."""

    total: int = 0
    count: int = 0
    written: int = 0
    missed: int = 0


@dataclass(slots=True)
class Running:
    order: Order
    plan: Plan
    results: list[Result]

    def as_json(self) -> list[list[int]]:
        return [[each.total, each.count, each.written, each.missed] for each in self.results]

    def report(self) -> list[dict[str, Any]]:
        return [
            {
                "start": start,
                "watts": watts,
                "measured": round(result.total / result.count) if result.count else None,
                "written": bool(result.written),
                "failsafe": bool(result.missed),
            }
            for (start, watts), result in zip(self.plan.steps, self.results, strict=True)
        ]


@dataclass(slots=True)
class Plant:
    """One plant that is told its power, tick by tick."""

    limits: Limits
    actuator: Actuator
    store: Store
    instants: Instants
    silent: Callable[[], float | None]
    answer: Callable[[Order, Outcome], None]
    running: Running | None = None
    current: int | None = None
    measured: int | None = None
    fault: Fault = field(init=False)
    _set_at: float = 0
    _measured_at: float = 0
    _kept_at: float = 0
    _ticked_at: float = 0

    def __post_init__(self) -> None:
        self.fault = Fault(f"plant {self.limits.name}")

    def begin(self, order: Order, plan: Plan, results: list[Result] | None = None) -> None:
        self.finish(replaced_by=order.sequence)
        self.running = Running(order, plan, results or [Result() for _ in plan.steps])
        self._keep()

    def finish(self, **details: Any) -> None:
        """Answer for the plan that was running; answered first, so that a plan is never lost without a word."""
        running, self.running = self.running, None
        if running is None:
            return
        body = {"steps": running.report(), **details}
        was_written = any(result.written for result in running.results)
        started = running.plan.steps[0][0] <= self.instants.now()
        outcome = done(**body) if was_written or not started else Failure("never_set", **body).outcome
        self.answer(running.order, outcome)
        self.store.drop_plan(self.limits.name)

    async def run(self) -> None:
        """For ever; at the end the plant is told its fail-safe value."""
        try:
            while True:
                await self.tick()
                await asyncio.sleep(TICK)
        finally:
            await self._say_farewell()

    async def tick(self) -> None:
        now, counted = self.instants.now(), self.instants.monotonic()
        running = self.running
        if running is not None and now >= running.plan.end:
            self.finish()
            running = None
        wanted, step = wanted_power(running.plan if running else None, now, self.silent(), self.limits)
        passed, self._ticked_at = counted - self._ticked_at, counted
        most = max(1, int(self.limits.ramp_w_per_minute * min(passed, 60) / 60))
        power = wanted if self.current is None else approach(self.current, wanted, most)
        try:
            if power != self.current or counted - self._set_at >= REFRESH:
                await self.actuator.set_power(power)
                self.current, self._set_at = power, counted
            if counted - self._measured_at >= MEASURE:
                self.measured, self._measured_at = await self.actuator.power(), counted
                self._note(step, self.measured)
        except MeterError as error:
            self.fault.failed(error)
            # What it does now is not known: it is told anew, and not from where it was.
            self.measured = None
        else:
            self.fault.cleared()
            self._count(step, now)
        if running is not None and counted - self._kept_at >= KEEP:
            self._keep()

    def _note(self, step: int | None, measured: int | None) -> None:
        if self.running is not None and step is not None and measured is not None:
            result = self.running.results[step]
            result.total, result.count = result.total + measured, result.count + 1

    def _count(self, step: int | None, now: float) -> None:
        if self.running is None:
            return
        if step is not None:
            self.running.results[step].written += 1
        elif (missed := self.running.plan.step(now)) is not None:
            self.running.results[missed].missed += 1

    def _keep(self) -> None:
        assert self.running is not None  # noqa: S101
        plan = {"end": self.running.plan.end, "steps": self.running.plan.steps}
        self.store.set_plan(self.limits.name, self.running.order.sequence, plan, self.running.as_json())
        self._kept_at = self.instants.monotonic()

    async def _say_farewell(self) -> None:
        if self.running is not None:
            self._keep()
        try:
            await asyncio.wait_for(self.actuator.set_power(self.limits.failsafe_w), FAREWELL)
        except (MeterError, TimeoutError) as error:
            log.error("plant %s was not told its fail-safe value: %s", self.limits.name, error or "no answer")


class Schedules:
    """Takes plans for the plants of this box."""

    def __init__(self, plants: Iterable[Plant]) -> None:
        self.plants = {plant.limits.name: plant for plant in plants}

    async def act(self, order: Order) -> Outcome | None:
        plant, plan = self._read(order)
        if plan.end <= plant.instants.now():
            raise Refusal("expired", clock=int(plant.instants.now()))
        plant.begin(order, plan)
        return None

    async def resume(self, order: Order) -> Outcome | None:
        """A plan goes on if it had been stored, also beyond a restart."""
        plant, plan = self._read(order)
        kept = plant.store.plan(plant.limits.name)
        if kept is None or kept[0] != order.sequence:
            return INTERRUPTED
        plant.begin(order, plan, [Result(*each) for each in kept[2]])
        return None

    def _read(self, order: Order) -> tuple[Plant, Plan]:
        try:
            table = body_of(order)
            name = table.take("plant", text)
            plant = self.plants.get(name)
            if plant is None:
                raise Refusal("not_offered", plant=name, offered=sorted(self.plants))
            return plant, read_plan(table, plant.limits)
        except ConfigError as error:
            raise Refusal("format", message=str(error)) from None
