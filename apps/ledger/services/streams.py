"""What a person can do with a parked stream."""

from django.db import transaction

from apps.ledger.models import Stream
from apps.ledger.wake import wake


def resume(stream: Stream) -> None:
    """Let a parked stream go on, once somebody has looked at the command that parked it."""
    with transaction.atomic():
        Stream.objects.filter(pk=stream.pk).update(parked_by=None)
        transaction.on_commit(lambda: wake(stream.ledger))
