"""Which commands may come to the outbox signed from outside, rather than from a service of this installation.

Consumers look for the object of a command that the ledger told them of, and pass over one that they know no object
for. A command that reached the outbox without its object would so change the ledger and nothing here: a purchase that
nobody is billed for. An app therefore says, in `AppConfig.ready()`, which kinds it takes, and what it does in the
transaction in which such a command is queued. What no app takes is refused.
"""

from collections.abc import Callable

from evidence.commands import Command, Fields

Take = Callable[[Command], None]

_takes: dict[type[Fields], Take] = {}


def nothing_hangs_on_it(command: Command) -> None:
    """For kinds about which the database keeps nothing of its own: the ledger alone knows."""


def register_intake(kind: type[Fields], take: Take) -> None:
    """`take` stores or changes the command's object, after `Refused` was ruled out; it must not queue the command."""
    if kind in _takes:
        raise ValueError(f"{kind.__name__} is taken already")
    _takes[kind] = take


def intake_of(kind: type[Fields]) -> Take | None:
    return _takes.get(kind)
