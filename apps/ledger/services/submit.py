"""Take a command that arrives signed, once however often it is sent."""

from django.db import IntegrityError, transaction

from apps.ledger.exceptions import NotTaken
from apps.ledger.intake import intake_of, reason_against
from apps.ledger.models import Command
from evidence import commands


def submit(command: commands.Command, ledger: str) -> None:
    """Queue a command by the app that takes its kind. One that is known already is left as it is.

    Raises `Refused` when the contract would reject it, `Declined` when a rule of this installation does not allow it,
    and `NotTaken` for a kind that comes from nobody; then nothing is written.
    """
    take = intake_of(type(command.fields))
    if take is None:
        raise NotTaken(reason_against(type(command.fields)))
    known = Command.objects.filter(command_id=command.id)
    if known.exists():
        return
    try:
        with transaction.atomic():
            take(command, ledger)
    except IntegrityError:
        # The same command came twice at the same moment.
        if not known.exists():
            raise
