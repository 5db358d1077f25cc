"""Instructions that take a moment: a new configuration, reading again, a restart."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence.keys import PublicKey
from meter_agent.channel.orders import INTERRUPTED, Ending, Failure, How, Order, Outcome, Refusal, done
from meter_agent.configuration import ConfigurationError, read_stored, store_configuration
from meter_agent.tables import ConfigError, Table, text

Task = Callable[[Table], Awaitable[Mapping[str, Any]]]


def body_of(order: Order) -> Table:
    return Table(order.body, "")


class Configure:
    """Settings that the utility signed. They hold at once, without losing a slot."""

    def __init__(self, path: Path, accept: Callable[[dict[str, Any]], object], trusted: Sequence[PublicKey]) -> None:
        self.path = path
        self.accept = accept
        self.trusted = trusted

    async def act(self, order: Order) -> Outcome:
        assert order.signed is not None  # noqa: S101 it has just come
        try:
            store_configuration(self.path, order.signed, self.accept, first_trusted=self.trusted)
        except (ConfigError, ConfigurationError) as error:
            raise Refusal("settings", message=str(error)) from None
        return done(then=How.RELOAD)

    async def resume(self, order: Order) -> Outcome:
        try:
            stored = read_stored(self.path)
        except ConfigurationError as error:
            raise Failure("settings", message=str(error)) from None
        return done() if stored is not None and stored.said.sequence == order.sequence else INTERRUPTED


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
