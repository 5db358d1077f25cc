"""Digital outputs, switched for a while: {"output": "boiler", "on": true, "seconds": 1800}.

Without `seconds` an output goes back to its fail-safe state, where it stands after every start and at every end too.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from meter_agent.channel.modbus import Switch
from meter_agent.channel.orders import INTERRUPTED, Failure, Order, Outcome, Refusal, done
from meter_agent.channel.tasks import body_of
from meter_agent.faults import Fault
from meter_agent.registers import MeterError
from meter_agent.tables import ConfigError, flag, integer, text

log = logging.getLogger(__name__)

TICK = 1.0
FAREWELL = 3.0


@dataclass(slots=True)
class Output:
    """`failsafe` is its state whenever nobody has asked for the other one, for `longest_seconds` at most."""

    name: str
    failsafe: bool
    longest_seconds: int
    switch: Switch
    monotonic: Callable[[], float]
    until: float | None = None
    is_safe: bool = False
    fault: Fault = field(init=False)

    def __post_init__(self) -> None:
        self.fault = Fault(f"output {self.name}")

    async def set(self, on: bool, seconds: int) -> None:
        """Switch and look whether it did. Raises `Failure`, and then it is on its way back."""
        self.is_safe = False
        self.until = None if on == self.failsafe else self.monotonic() + seconds
        try:
            await self.switch.set(on)
            state = await self.switch.state()
        except MeterError as error:
            self.until = None
            raise Failure("no_answer", message=str(error)) from None
        if state != on:
            self.until = None
            raise Failure("not_switched")
        self.is_safe = on == self.failsafe

    async def tick(self) -> None:
        if self.is_safe or (self.until is not None and self.monotonic() < self.until):
            return
        self.until = None
        try:
            await self.switch.set(self.failsafe)
        except MeterError as error:
            self.fault.failed(error)
            return
        self.is_safe = True
        self.fault.cleared()

    async def run(self) -> None:
        """For ever; at the end it is in its fail-safe state."""
        try:
            while True:
                await self.tick()
                await asyncio.sleep(TICK)
        finally:
            try:
                await asyncio.wait_for(self.switch.set(self.failsafe), FAREWELL)
            except (MeterError, TimeoutError) as error:
                log.error("output %s was not brought to its fail-safe state: %s", self.name, error or "no answer")


class Outputs:
    """Takes instructions for the outputs of this box."""

    def __init__(self, outputs: Iterable[Output]) -> None:
        self.outputs = {each.name: each for each in outputs}

    async def act(self, order: Order) -> Outcome:
        try:
            table = body_of(order)
            name = table.take("output", text)
            output = self.outputs.get(name)
            if output is None:
                raise Refusal("not_offered", output=name, offered=sorted(self.outputs))
            on = table.take("on", flag)
            # Back to safety at any time; away from it only for a while.
            seconds = table.take("seconds", integer(1, 10**7), None if on != output.failsafe else 1)
            table.finish()
        except ConfigError as error:
            raise Refusal("format", message=str(error)) from None
        if on != output.failsafe and seconds > output.longest_seconds:
            raise Refusal("limit", seconds=seconds, longest=output.longest_seconds)
        await output.set(on, seconds)
        return done(on=on) if on == output.failsafe else done(on=on, seconds=seconds)

    async def resume(self, order: Order) -> Outcome:
        """Whatever it was, the output is in its fail-safe state since the start."""
        return INTERRUPTED
