"""What a party says that the ledger should hold."""

from django.db.models import Prefetch, QuerySet

from apps.accounts.models import Party, PartyKey
from apps.accounts.services.parties import party_contents
from apps.ledger.reconcilers import Expected, Reconciler
from evidence.commands.kinds import RegisterParticipant
from ledger_adapters.contract.records import Participant


def _parties(ledger: str) -> QuerySet[Party]:
    current = Prefetch("keys", PartyKey.objects.filter(ended_at=None))
    return Party.objects.filter(ledger=ledger).prefetch_related(current)


def _participant(party: Party) -> Expected:
    values: dict[str, object] = {"role": party.role, "contents": party_contents(party)}
    for key in party.keys.all():
        values |= {"algorithm": key.algorithm, "x": bytes(key.x), "y": bytes(key.y), "custody": key.custody}
    return Expected(Participant, (bytes(party.ledger_id),), values)


RECONCILER = Reconciler("parties", Party, _parties, _participant, {RegisterParticipant: "command_id"})
