"""What a party and its keys say that the ledger should hold."""

from django.db.models import QuerySet

from apps.accounts.models import Party, PartyKey
from apps.accounts.services.parties import party_contents
from apps.ledger.reconcilers import Expected, Reconciler
from evidence.commands.kinds import RegisterParticipant, RotateParticipantKey
from ledger_adapters.contract.records import Participant


def _parties(ledger: str) -> QuerySet[Party]:
    return Party.objects.filter(ledger=ledger)


def _participant(party: Party) -> Expected:
    values = {"role": party.role, "contents": party_contents(party)}
    return Expected(Participant, (bytes(party.ledger_id),), values)


def _keys(ledger: str) -> QuerySet[PartyKey]:
    return PartyKey.objects.filter(party__ledger=ledger).select_related("party")


def _key(key: PartyKey) -> Expected | None:
    """A key that has ended gave its place to the next, which may still wait for the ledger."""
    if key.ended_at is not None:
        return None
    values = {"algorithm": key.algorithm, "x": bytes(key.x), "y": bytes(key.y), "custody": key.custody}
    return Expected(Participant, (bytes(key.party.ledger_id),), values)


RECONCILERS = (
    Reconciler("parties", Party, _parties, _participant, {RegisterParticipant: "command_id"}),
    Reconciler("keys", PartyKey, _keys, _key, {RegisterParticipant: "command_id", RotateParticipantKey: "command_id"}),
)
