"""Instructions that take a moment: a new configuration, reading again, a restart, a new key."""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from meter_agent.channel.orders import INTERRUPTED, Ending, Failure, How, Order, Outcome, Refusal, done
from meter_agent.tables import ConfigError, Table, text

# Keep the settings that came with an order, or raise `ConfigError`; see meter_agent/configuration.py.
StoreConfiguration = Callable[[Order], None]
Task = Callable[[Table], Awaitable[Mapping[str, Any]]]


def body_of(order: Order) -> Table:
    return Table(order.body, "")


class Configure:
    """Settings that the utility signed. They hold at once, without losing a slot."""

    def __init__(self, store: StoreConfiguration, path: Path) -> None:
        self.store = store
        self.path = path

    async def act(self, order: Order) -> Outcome:
        try:
            self.store(order)
        except ConfigError as error:
            raise Refusal("settings", message=str(error)) from None
        except OSError as error:
            raise Failure("not_stored", message=str(error.strerror)) from None
        return done(then=How.RELOAD)

    async def resume(self, order: Order) -> Outcome:
        return done() if self._stored_sequence() == order.sequence else INTERRUPTED

    def _stored_sequence(self) -> int | None:
        try:
            content = json.loads(self.path.read_text())
            return int(content["instruction"]["sequence"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Restart:
    """The process ends; whoever started it starts it again, and then it is done."""

    async def act(self, order: Order) -> Outcome:
        body_of(order).finish()
        raise Ending(How.RESTART)

    async def resume(self, order: Order) -> Outcome:
        return done()


class Reread:
    """{"what": "..."} with what that task wants: the journal and the meters offer tasks by name."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self.tasks = tasks

    async def act(self, order: Order) -> Outcome:
        try:
            table = body_of(order)
            what = table.take("what", text)
            task = self.tasks.get(what)
            if task is None:
                raise Refusal("not_offered", what=what, offered=sorted(self.tasks))
            return done(**await task(table))
        except ConfigError as error:
            raise Refusal("format", message=str(error)) from None

    async def resume(self, order: Order) -> Outcome:
        return INTERRUPTED


class RotateKey:
    """`rotate` makes a new key and gives what the head-end must know of it, signed by both keys."""

    def __init__(self, rotate: Callable[[Order], Awaitable[Mapping[str, Any]]]) -> None:
        self.rotate = rotate

    async def act(self, order: Order) -> Outcome:
        return done(**await self.rotate(order))

    async def resume(self, order: Order) -> Outcome:
        return INTERRUPTED
