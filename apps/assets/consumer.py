"""What assets do with what the ledger says."""

from apps.assets.models import Plant
from apps.ledger.consumers import Consumer
from apps.ledger.standing import confirm, reject
from evidence.commands.kinds import RegisterPlant

CONSUMER = Consumer(
    name="assets",
    confirmed={RegisterPlant: confirm(Plant)},
    rejected={RegisterPlant: reject(Plant)},
)
