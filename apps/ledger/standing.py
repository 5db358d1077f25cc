"""The common part of every app's consumer: objects whose standing follows their command."""

from collections.abc import Callable

from apps.ledger.choices import LedgerState
from apps.ledger.consumers import Handler, Told
from apps.ledger.models import OnLedger


def confirm(model: type[OnLedger], then: Callable[[Told], None] | None = None) -> Handler:
    """A handler that marks the object of an applied command as confirmed."""
    return _mark(model, LedgerState.CONFIRMED, then)


def reject(model: type[OnLedger], then: Callable[[Told], None] | None = None) -> Handler:
    """A compensation that marks the object as rejected, with the rule that the command broke."""
    return _mark(model, LedgerState.REJECTED, then)


def _mark(model: type[OnLedger], state: LedgerState, then: Callable[[Told], None] | None) -> Handler:
    def handler(told: Told) -> None:
        code = None if told.is_applied else told.code
        model._default_manager.filter(command_id=told.id).update(ledger_state=state, ledger_code=code)
        if then is not None:
            then(told)

    return handler
