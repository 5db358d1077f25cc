"""Which metering points and plants there are on a day."""

import datetime as dt

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.assets.models import MarketArea, MeteringPoint, Occupancy, Plant


def occupied_points(area: MarketArea, day: dt.date) -> QuerySet[MeteringPoint]:
    """Metering points that somebody occupies on a local day: nobody else's readings are taken."""
    return area.points.filter(_occupied(OuterRef("pk"), day)).select_related("plant")


def plants_on(area: MarketArea, day: dt.date) -> QuerySet[Plant]:
    """Plants whose generation is measured on a local day."""
    return area.plants.filter(_occupied(OuterRef("point"), day), since__lte=day)


def _occupied(point: OuterRef, day: dt.date) -> Exists:
    return Exists(Occupancy.objects.filter(Q(until=None) | Q(until__gt=day), point=point, since__lte=day))
