"""What each app's objects say that the ledger should hold. An app registers its reconcilers in `AppConfig.ready()`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet

from apps.ledger.models import OnLedger
from evidence.commands import Fields
from ledger_adapters.contract.records import Record

M = TypeVar("M", bound=OnLedger)


@dataclass(frozen=True, slots=True)
class Expected:
    """A record of the ledger as the database would have it: `values` by the names of its members.

    `there` reads a member from the record, where a value is not one of the record's own.
    """

    record: type[Record]
    ids: tuple[bytes | int, ...]
    values: Mapping[str, Any]
    there: Callable[[Any, str], Any] = getattr


@dataclass(frozen=True)
class Reconciler(Generic[M]):
    """How an app's objects are held against the ledger.

    `objects` gives those of a ledger, with all that `expected` reads. `expected` is asked for those on the ledger; None
    where another object stands for the record by now. `sent_by` names the column with the id of the command, for each
    kind that changes an object.
    """

    name: str
    model: type[M]
    objects: Callable[[str], QuerySet[M]]
    expected: Callable[[M], Expected | None]
    sent_by: Mapping[type[Fields], str] = field(default_factory=dict)


_reconcilers: dict[str, Reconciler[Any]] = {}


def register_reconciler(reconciler: Reconciler[Any]) -> None:
    if reconciler.name in _reconcilers:
        raise ValueError(f"a reconciler named {reconciler.name!r} is registered already")
    _reconcilers[reconciler.name] = reconciler


def reconcilers() -> tuple[Reconciler[Any], ...]:
    return tuple(_reconcilers.values())
