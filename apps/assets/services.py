"""What changes metering points and plants."""

import datetime as dt
import secrets

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.custody import open_secret, seal
from apps.accounts.models import Party
from apps.assets.choices import Technology
from apps.assets.models import MarketArea, MeteringPoint, Occupancy, Plant
from apps.ledger.services.enqueue import enqueue
from evidence.commands.kinds import RegisterPlant
from evidence.contents import contents
from market_math.slots import day_number


@transaction.atomic
def add_metering_point(
    *, area: MarketArea, party: Party, code: str, since: dt.date, name: str = "", city: str = ""
) -> MeteringPoint:
    """Store a metering point with its first occupant and a fresh secret for its readings."""
    point = MeteringPoint(area=area, party=party, code=code, name=name, city=city)
    point.full_clean()
    point.save()
    _occupy(point, party, since)
    return point


def _occupy(point: MeteringPoint, party: Party, since: dt.date) -> Occupancy:
    """With a secret of its own: whoever lived there before cannot read what is measured from now on."""
    return Occupancy.objects.create(point=point, party=party, since=since, sealed_secret=seal(secrets.token_bytes(32)))


@transaction.atomic
def change_occupant(point: MeteringPoint, party: Party, since: dt.date) -> Occupancy:
    """Hand a metering point over to its next customer. Raises `ValidationError` for a day that is not after the last.

    The device has to be enrolled again, with the new secret, before it measures for the new customer.
    """
    locked = MeteringPoint.objects.select_for_update().get(pk=point.pk)
    current = locked.occupancies.get(until=None)
    if since <= current.since:
        raise ValidationError(_("The new customer can only come after the one before."))
    current.until = since
    current.save(update_fields=["until"])
    point.party = locked.party = party
    locked.save(update_fields=["party"])
    return _occupy(locked, party, since)


def reading_secret(occupancy: Occupancy) -> bytes:
    """K of an occupancy. Raises `ValueError` once it was erased."""
    if occupancy.sealed_secret is None:
        raise ValueError(f"the secret of {occupancy} was erased")
    return open_secret(bytes(occupancy.sealed_secret))


@transaction.atomic
def register_plant(
    *,
    point: MeteringPoint,
    owner: Party,
    name: str,
    power_w: int,
    since: dt.date,
    technology: str = Technology.SOLAR,
) -> Plant:
    """Store a plant and ask the ledger to register it for its owner."""
    plant = Plant(
        area=point.area, point=point, owner=owner, name=name, technology=technology, power_w=power_w, since=since
    )
    plant.full_clean(exclude=["command_id", "ledger_id", "salt"])
    plant.save()
    plant.command_id = enqueue(
        RegisterPlant(
            plant.ledger_id,
            bytes(point.area.ledger_id),
            bytes(owner.ledger_id),
            bytes(point.ledger_id),
            power_w,
            day_number(since),
            plant_contents(plant),
        ),
        after=owner.predecessor,
        ledger=owner.ledger,
    )
    plant.save(update_fields=["command_id"])
    return plant


def plant_contents(plant: Plant) -> bytes:
    return contents(plant.salt, {"name": plant.name, "technology": plant.technology})
