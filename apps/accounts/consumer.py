"""What accounts do with what the ledger says."""

from apps.accounts.models import Party
from apps.ledger.consumers import Consumer
from apps.ledger.standing import confirm, reject
from evidence.commands.kinds import RegisterParticipant

CONSUMER = Consumer(
    name="accounts",
    confirmed={RegisterParticipant: confirm(Party)},
    rejected={RegisterParticipant: reject(Party)},
)
