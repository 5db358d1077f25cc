"""Which metering points and plants there are on a day."""

import datetime as dt

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.accounts.models import Party
from apps.assets.models import MarketArea, MeteringPoint, Occupancy, Plant


def occupied_points(area: MarketArea, day: dt.date) -> QuerySet[MeteringPoint]:
    """Metering points that somebody occupies on a local day: nobody else's readings are taken."""
    return area.points.filter(_occupied(OuterRef("pk"), day)).select_related("plant")


def plants_on(area: MarketArea, day: dt.date) -> QuerySet[Plant]:
    """Plants whose generation is measured on a local day."""
    return area.plants.filter(_occupied(OuterRef("point"), day), since__lte=day)


def is_occupant(party: Party, point: MeteringPoint, day: dt.date) -> bool:
    """Whether a party is the customer of a metering point on a local day."""
    return _on(day).filter(point=point, party=party).exists()


def _occupied(point: OuterRef, day: dt.date) -> Exists:
    return Exists(_on(day).filter(point=point))


def _on(day: dt.date) -> QuerySet[Occupancy]:
    return Occupancy.objects.filter(Q(until=None) | Q(until__gt=day), since__lte=day)
