"""What changes metering points and plants."""

import datetime as dt
import secrets

from django.db import transaction

from apps.accounts.custody import open_secret, seal
from apps.accounts.models import Party
from apps.assets.choices import Technology
from apps.assets.models import MarketArea, MeteringPoint, Occupancy, Plant
from apps.ledger.services.enqueue import enqueue
from evidence.commands.kinds import RegisterPlant
from evidence.contents import contents


@transaction.atomic
def add_metering_point(
    *, area: MarketArea, party: Party, code: str, since: dt.date, name: str = "", city: str = ""
) -> MeteringPoint:
    """Store a metering point with its first occupant and a fresh secret for its readings."""
    point = MeteringPoint(area=area, party=party, code=code, name=name, city=city)
    point.full_clean()
    point.save()
    Occupancy.objects.create(point=point, party=party, since=since, sealed_secret=seal(secrets.token_bytes(32)))
    return point


def reading_secret(occupancy: Occupancy) -> bytes:
    """K of an occupancy. Raises `ValueError` once it was erased."""
    if occupancy.sealed_secret is None:
        raise ValueError(f"the secret of {occupancy} was erased")
    return open_secret(bytes(occupancy.sealed_secret))


@transaction.atomic
def register_plant(
    *, point: MeteringPoint, owner: Party, name: str, power_w: int, technology: str = Technology.SOLAR
) -> Plant:
    """Store a plant and ask the ledger to register it for its owner."""
    plant = Plant(area=point.area, point=point, owner=owner, name=name, technology=technology, power_w=power_w)
    plant.full_clean(exclude=["command_id", "ledger_id", "salt"])
    plant.save()
    plant.command_id = enqueue(
        RegisterPlant(
            plant.ledger_id, point.area.ledger_id, owner.ledger_id, point.ledger_id, power_w, plant_contents(plant)
        ),
        after=owner.predecessor,
        ledger=owner.ledger,
    )
    plant.save(update_fields=["command_id"])
    return plant


def plant_contents(plant: Plant) -> bytes:
    return contents(plant.salt, {"name": plant.name, "technology": plant.technology})
