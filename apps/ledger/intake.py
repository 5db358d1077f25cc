"""Which commands may come signed from outside, rather than from a service of this installation.

A command that reached the outbox without the rows that it stands for would change the ledger and nothing here: a
purchase that nobody is billed for. An app therefore says, in `AppConfig.ready()`, which kinds it takes, and by which of
its services they are queued together with their rows - or why it takes a kind from nobody.
"""

from collections.abc import Callable
from typing import TypeVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.ledger.services.enqueue import Send, enqueue_signed
from evidence.commands import Command, Fields

T = TypeVar("T")
F = TypeVar("F", bound=Fields)

# Queues the command for the ledger of that name, in the caller's transaction. Raises `Refused` and `Declined`.
Take = Callable[[Command, str], None]

_takes: dict[type[Fields], Take] = {}
_reasons: dict[type[Fields], str | Promise] = {}


def take_alone(command: Command, ledger: str) -> None:
    """For kinds about which the database keeps nothing of its own."""
    enqueue_signed(command, ledger=ledger)


def as_signed(command: Command, ledger: str) -> Send:
    """Queues a command as it came, once a service has changed the rows; they must be those that were signed."""

    def send(fields: Fields) -> bytes:
        if fields != command.fields:
            raise ValueError(f"{fields} is not what was signed: {command.fields}")
        return enqueue_signed(command, ledger=ledger)

    return send


def fields_of(command: Command, kind: type[F]) -> F:
    """The fields of a command of this kind. Raises `TypeError` for another kind."""
    if not isinstance(command.fields, kind):
        raise TypeError(f"{type(command.fields).__name__} is not taken as {kind.__name__}")
    return command.fields


def register_intake(kind: type[Fields], take: Take) -> None:
    _register(_takes, kind, take)


def register_refusal(kind: type[Fields], reason: str | Promise) -> None:
    """Say why commands of this kind come from this installation alone."""
    _register(_reasons, kind, reason)


def _register(registry: dict[type[Fields], T], kind: type[Fields], entry: T) -> None:
    if kind in _takes or kind in _reasons:
        raise ValueError(f"{kind.__name__} is taken already")
    registry[kind] = entry


def intake_of(kind: type[Fields]) -> Take | None:
    return _takes.get(kind)


def reason_against(kind: type[Fields]) -> str:
    """Why commands of this kind are not taken, empty for those that are."""
    if kind in _takes:
        return ""
    return str(_reasons.get(kind, _("No part of this installation deals with commands of this kind yet.")))
