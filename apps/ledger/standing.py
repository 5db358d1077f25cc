"""The common part of every app's consumer: objects whose standing follows their command."""

from collections.abc import Callable

import structlog
from django.db import transaction

from apps.ledger.choices import LedgerState
from apps.ledger.consumers import Handler, Told
from apps.ledger.exceptions import Declined, Refused
from apps.ledger.models import Command, Event, OnLedger
from apps.ledger.services.enqueue import enter_receipt

logger = structlog.get_logger(__name__)

Then = Callable[[Told], None]


def confirm(model: type[OnLedger], then: Then | None = None, adopt: Then | None = None) -> Handler:
    """A handler that marks the object of an applied command as confirmed.

    With `adopt`, see `adopted`, for a command that no object stands for, or one that was taken back when an earlier
    transaction had the command rejected.
    """

    def handler(told: Told) -> None:
        objects = model._default_manager.filter(command_id=told.id)
        if adopt is not None:
            objects = objects.exclude(ledger_state=LedgerState.REJECTED)
        marked = objects.update(ledger_state=LedgerState.CONFIRMED, ledger_code=None)
        if not marked and adopt is not None:
            adopted(told, adopt)
        if then is not None:
            then(told)

    return handler


def reject(model: type[OnLedger], then: Then | None = None) -> Handler:
    """A compensation that marks the object as rejected, with the rule that the command broke."""

    def handler(told: Told) -> None:
        objects = model._default_manager.filter(command_id=told.id)
        objects.update(ledger_state=LedgerState.REJECTED, ledger_code=told.code)
        if then is not None:
            then(told)

    return handler


def adopted(told: Told, adopt: Then) -> None:
    """Let an app make of a command what its own service would have made, though it came to the ledger by another way.

    `adopt` raises `Refused` where it does not know what the command is about, `Declined` where a rule of this
    installation is not met: then nothing here changes, and `audit` names the entry.
    """
    try:
        with transaction.atomic():
            adopt(told)
            if not Command.objects.filter(command_id=told.id).exists():
                enter_receipt(Event.objects.get(ledger=told.ledger, position=told.position))
    except (Declined, Refused) as reason:
        logger.warning(
            "command_not_adopted",
            ledger=told.ledger,
            entry=told.position,
            kind=type(told.fields).__name__,
            reason=str(reason),
        )
