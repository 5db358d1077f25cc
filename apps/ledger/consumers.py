"""Who listens to the ledger. An app registers its consumer in `AppConfig.ready()`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evidence.commands import Fields
from ledger_adapters.contract import Code


@dataclass(frozen=True, slots=True)
class Told:
    """A final outcome of a command, as a consumer sees it. `time` is the ledger's, in UTC seconds."""

    ledger: str
    position: int
    id: bytes
    fields: Any
    code: Code
    time: int

    @property
    def is_applied(self) -> bool:
        return self.code is Code.APPLIED


Handler = Callable[[Told], None]


@dataclass(frozen=True, slots=True)
class Consumer:
    """`confirmed` runs for an applied command; `rejected` is its compensation, and undoes what the database did.

    `resumes` names the kinds whose stream goes on after the compensation, since the commands behind the rejected one
    do not build on it. Every other stream stays parked until a person has looked at it.
    """

    name: str
    confirmed: Mapping[type[Fields], Handler]
    rejected: Mapping[type[Fields], Handler]
    resumes: frozenset[type[Fields]] = frozenset()

    def __post_init__(self) -> None:
        if missing := set(self.confirmed) ^ set(self.rejected):
            raise ValueError(f"{self.name}: every kind needs both a handler and a compensation: {missing}")


_consumers: dict[str, Consumer] = {}


def register_consumer(consumer: Consumer) -> None:
    if consumer.name in _consumers:
        raise ValueError(f"a consumer named {consumer.name!r} is registered already")
    _consumers[consumer.name] = consumer


def consumers() -> tuple[Consumer, ...]:
    return tuple(_consumers.values())


def resumes_after_rejection(kind: type[Fields]) -> bool:
    return any(kind in consumer.resumes for consumer in _consumers.values())
