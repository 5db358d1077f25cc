"""What a customer has to sell, has sold and has bought, per metering point."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, F, OuterRef, Sum
from django.utils.translation import gettext as _

from apps.accounts.permissions import Viewer
from apps.assets.models import MeteringPoint
from apps.ledger.choices import LedgerState
from apps.offers.models import Purchase
from apps.offers.selectors import own_declarations
from apps.portal.links import link, point_url
from apps.settlement.models import Settlement
from apps.web.components import Column, Table
from apps.web.formatting import kwh_number


@dataclass(frozen=True, slots=True)
class PointEnergy:
    """Wh: surplus that can still be offered, sold and bought energy that is not delivered yet."""

    point: MeteringPoint
    available: int
    committed: int
    bought: int


def own_energy(viewer: Viewer, points: Sequence[MeteringPoint]) -> list[PointEnergy]:
    """One entry per point, in three queries. Surplus of a settled day was fed in and can no longer be offered."""
    settled = Settlement.objects.filter(area=OuterRef("area"), day=OuterRef("day"))
    open_days = own_declarations(viewer).exclude(ledger_state=LedgerState.REJECTED).exclude(Exists(settled))
    left = open_days.order_by().values("plant__point").annotate(wh=Sum(F("energy_wh") - F("offered_wh")))
    available = dict(left.values_list("plant__point", "wh"))
    ids = [point.pk for point in points]
    waiting = Purchase.objects.filter(delivered_wh=None).exclude(ledger_state=LedgerState.REJECTED).order_by()
    sold = waiting.filter(offer__declaration__plant__point__in=ids).values("offer__declaration__plant__point")
    committed = dict(sold.annotate(wh=Sum("energy_wh")).values_list("offer__declaration__plant__point", "wh"))
    taken = waiting.filter(point__in=ids).values("point")
    bought = dict(taken.annotate(wh=Sum("energy_wh")).values_list("point", "wh"))
    return [
        PointEnergy(point, available.get(point.pk, 0), committed.get(point.pk, 0), bought.get(point.pk, 0))
        for point in points
    ]


def energy_table(rows: Sequence[PointEnergy]) -> Table:
    columns = (
        Column(_("Metering point")),
        Column(_("Free to sell, kWh"), numeric=True),
        Column(_("Sold, on its way, kWh"), numeric=True),
        Column(_("Bought, on its way, kWh"), numeric=True),
    )
    cells = tuple(
        (link(point_url(row.point), row.point), *_numbers(row.available, row.committed, row.bought)) for row in rows
    )
    sums = (sum(row.available for row in rows), sum(row.committed for row in rows), sum(row.bought for row in rows))
    total = (_("Together"), *_numbers(*sums)) if len(rows) > 1 else None
    caption = _("What you can still sell, and what is sold or bought and not yet delivered")
    return Table(caption, columns, cells, total)


def _numbers(*wh: int) -> tuple[str, ...]:
    return tuple(kwh_number(value, fixed=True) for value in wh)
