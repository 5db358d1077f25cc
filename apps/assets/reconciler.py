"""What a plant says that the ledger should hold."""

from django.db.models import QuerySet

from apps.assets.models import Plant
from apps.assets.services import plant_contents
from apps.ledger.reconcilers import Expected, Reconciler
from evidence.commands.kinds import RegisterPlant
from ledger_adapters.contract import records
from market_math.slots import day_number


def _plants(ledger: str) -> QuerySet[Plant]:
    return Plant.objects.filter(owner__ledger=ledger).select_related("area", "owner", "point")


def _plant(plant: Plant) -> Expected:
    values = {
        "area": bytes(plant.area.ledger_id),
        "owner": bytes(plant.owner.ledger_id),
        "point": bytes(plant.point.ledger_id),
        "power_w": plant.power_w,
        "since_day": day_number(plant.since),
        "contents": plant_contents(plant),
    }
    return Expected(records.Plant, (bytes(plant.ledger_id),), values)


RECONCILER = Reconciler("plants", Plant, _plants, _plant, {RegisterPlant: "command_id"})
