"""Which commands may come signed from outside, rather than from a service of this installation.

Consumers look for the object of a command that the ledger told them of, and pass over one that they know no object
for. A command that reached the outbox without its object would so change the ledger and nothing here: a purchase that
nobody is billed for. An app therefore says, in `AppConfig.ready()`, which kinds it takes and which of its services
then queues them together with the change that they stand for. What no app takes is refused.
"""

from collections.abc import Callable

from apps.ledger.services.enqueue import enqueue_signed
from evidence.commands import Command, Fields

# Queues the command for the ledger of that name, in the caller's transaction. Raises `Refused`.
Take = Callable[[Command, str], None]

_takes: dict[type[Fields], Take] = {}


def take_alone(command: Command, ledger: str) -> None:
    """For kinds about which the database keeps nothing of its own."""
    enqueue_signed(command, ledger=ledger)


def register_intake(kind: type[Fields], take: Take) -> None:
    if kind in _takes:
        raise ValueError(f"{kind.__name__} is taken already")
    _takes[kind] = take


def intake_of(kind: type[Fields]) -> Take | None:
    return _takes.get(kind)
