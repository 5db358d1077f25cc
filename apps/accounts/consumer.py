"""What accounts do with what the ledger says."""

from apps.accounts.models import Party, PartyKey
from apps.accounts.services.keys import adopt_rotation, take_back_rotation
from apps.ledger.consumers import Consumer
from apps.ledger.standing import confirm, reject
from evidence.commands.kinds import RegisterParticipant, RotateParticipantKey

CONSUMER = Consumer(
    name="accounts",
    confirmed={
        RegisterParticipant: confirm(Party, confirm(PartyKey)),
        RotateParticipantKey: confirm(PartyKey, adopt=adopt_rotation),
    },
    rejected={
        RegisterParticipant: reject(Party, reject(PartyKey)),
        RotateParticipantKey: take_back_rotation,
    },
    resumes=frozenset({RotateParticipantKey}),
)
