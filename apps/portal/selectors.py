"""What pages read that crosses apps."""

import datetime as dt
from collections.abc import Iterable

from django.db.models import QuerySet

from apps.accounts.models import Party
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MarketArea, MeteringPoint, Occupancy
from apps.settlement.models import Settlement


def visible_points(viewer: Viewer) -> QuerySet[MeteringPoint]:
    """Metering points whose readings the viewer may see, with what lists show."""
    points = MeteringPoint.objects.select_related("area__utility", "party", "plant").order_by("area", "code")
    return viewer.visible(Action.VIEW_READINGS, points, "area__utility", "party")


def own_points(viewer: Viewer) -> QuerySet[MeteringPoint]:
    """Of those, the viewer's own."""
    return visible_points(viewer).filter(party__in=viewer.own)


def first_days(viewer: Viewer, points: Iterable[MeteringPoint]) -> dict[int, dt.date]:
    """The first day that the viewer may look at, by point: what a customer's predecessor used is private."""
    own = [point.pk for point in points if point.party_id in viewer.own]
    current = Occupancy.objects.filter(point__in=own, until=None)
    return dict(current.values_list("point", "since"))


def last_settled_day(area: MarketArea) -> dt.date | None:
    return Settlement.objects.filter(area=area).order_by("-day").values_list("day", flat=True).first()


def utilities_overseen(viewer: Viewer) -> QuerySet[Party]:
    """Utilities whose ledger the viewer may look after."""
    return viewer.visible(Action.VIEW_LEDGER, Party.objects.filter(utility=None), "pk")
