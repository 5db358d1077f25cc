"""An invented day, for the page that shows all components."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.paginator import Paginator
from django.utils.translation import gettext as _

from apps.web.components import Column, LedgerSeal, SealState, Table
from apps.web.pictures import (
    BillBar,
    BillPart,
    DayChart,
    Flow,
    FlowDiagram,
    FlowNode,
    Hue,
    LoadCurve,
    LocalDay,
    Series,
    bill_bar,
    day_chart,
    day_table,
    flow_diagram,
    flow_table,
    load_curve,
    load_table,
)

# A day of 92 quarter-hours: the harder case.
CLOCKS_FORWARD = date(2021, 3, 28)
BERLIN = ZoneInfo("Europe/Berlin")
# Kitchen, washing machine, evening: Wh per slot by local hour.
CONSUMPTION = (30, 28, 27, 27, 28, 32, 60, 110, 90, 70, 65, 80, 140, 95, 70, 68, 75, 95, 180, 210, 170, 120, 70, 40)


class OfferForm(forms.Form):
    """A form with each kind of field."""

    energy = forms.DecimalField(label=_("Energy (kWh)"), help_text=_("At most 12.4 kWh are free on this day."))
    price = forms.DecimalField(label=_("Price (ct/kWh)"), required=False)
    scheme = forms.ChoiceField(label=_("To whom"), choices=[("all", _("Everybody")), ("one", _("One neighbour"))])
    partly = forms.BooleanField(label=_("May be bought in part"), required=False)
    until = forms.ChoiceField(
        label=_("Open until"), choices=[("1", _("Tomorrow")), ("7", _("Next week"))], widget=forms.RadioSelect
    )


def sample(day: date) -> dict[str, Any]:
    """The context of the page."""
    local = LocalDay(day, BERLIN)
    made, used = _generation(local), _consumption(local)
    own = tuple(min(pair) for pair in zip(made, used, strict=True))
    surplus = tuple(a - b for a, b in zip(made, own, strict=True))
    neighbours = tuple(min(wh * 3 // 5, 95) for wh in surplus)
    agreement = tuple(wh // 8 for wh in surplus)
    auction = tuple(wh // 10 for wh in surplus)
    rest = tuple(a - b - c - d for a, b, c, d in zip(surplus, neighbours, agreement, auction, strict=True))
    series = (
        Series(Hue.OWN, _("Own use"), own),
        Series(Hue.NEIGHBOURS, _("Neighbours"), neighbours),
        Series(Hue.AGREEMENT, _("Agreement (PPA)"), agreement),
        Series(Hue.AUCTION, _("Auction"), auction),
        Series(Hue.GRID, _("Utility"), rest),
    )
    chart = DayChart(f"day-{day:%m%d}", _("Where your roof's energy went"), local, series)
    curve = LoadCurve(f"load-{day:%m%d}", _("What you made and used"), local, consumption=used, generation=made)
    flows = _flows(series, bought=sum(used) - sum(own))
    bill = _bill()
    return {
        "day": day,
        "chart": day_chart(chart),
        "chart_table": day_table(chart),
        "curve": load_curve(curve),
        "curve_table": load_table(curve),
        "flow": flow_diagram(flows),
        "flow_table": flow_table(flows),
        "bill": bill_bar(bill),
        "invoices": _invoices(),
        "seals": _seals(),
        "form": OfferForm({"energy": "13", "scheme": "all"}),
        "page": Paginator(range(100), 15).page(2),
        "zone": BERLIN,
        "made": sum(made),
    }


def _generation(local: LocalDay) -> tuple[int, ...]:
    """A parabola between seven and nineteen, with a cloud in the afternoon."""
    values = []
    for start in local.starts:
        clock = start.astimezone(local.zone)
        minutes = clock.hour * 60 + clock.minute - 7 * 60
        power = max(0, minutes * (12 * 60 - minutes)) * 420 // (6 * 60) ** 2
        values.append(power // 3 if clock.hour == 14 else power)
    return tuple(values)


def _consumption(local: LocalDay) -> tuple[int, ...]:
    clocks = (start.astimezone(local.zone) for start in local.starts)
    return tuple(CONSUMPTION[clock.hour] + 7 * (clock.minute // 15 % 2) for clock in clocks)


def _flows(series: tuple[Series, ...], bought: int) -> FlowDiagram:
    own, neighbours, agreement, auction, rest = (one.total for one in series)
    return FlowDiagram(
        "flow",
        _("Where the energy came from and went to"),
        sources=(
            FlowNode("roof", _("Your roof")),
            FlowNode("neighbours", _("Neighbours")),
            FlowNode("utility", _("Utility")),
        ),
        targets=(
            FlowNode("home", _("Your home")),
            FlowNode("sold", _("Neighbours")),
            FlowNode("agreement", _("Agreement (PPA)")),
            FlowNode("auction", _("Auction")),
            FlowNode("grid", _("Utility")),
        ),
        flows=(
            Flow("roof", "home", own, Hue.OWN),
            Flow("roof", "sold", neighbours, Hue.NEIGHBOURS),
            Flow("roof", "agreement", agreement, Hue.AGREEMENT),
            Flow("roof", "auction", auction, Hue.AUCTION),
            Flow("roof", "grid", rest, Hue.GRID),
            Flow("neighbours", "home", bought // 3, Hue.NEIGHBOURS),
            Flow("utility", "home", bought - bought // 3, Hue.GRID),
        ),
    )


def _bill() -> BillBar:
    parts = (
        BillPart(_("Own use"), 0, Hue.OWN, wh=212_400),
        BillPart(_("From neighbours"), 1_786, Hue.NEIGHBOURS, wh=84_100),
        BillPart(_("Agreement (PPA)"), 920, Hue.AGREEMENT, wh=40_000),
        BillPart(_("From the utility"), 4_217, Hue.GRID, wh=131_800),
        BillPart(_("Basic fee"), 690, Hue.NEUTRAL),
        BillPart(_("VAT 19%"), 1_446, Hue.NEUTRAL),
        BillPart(_("Sold to neighbours"), -1_108, Hue.NEIGHBOURS, wh=None),
    )
    return BillBar("bill", _("March 2021"), "EUR", sum(part.amount for part in parts), parts)


def _invoices() -> Table:
    return Table(
        _("Your invoices"),
        (Column(_("Number")), Column(_("Period")), Column(_("kWh"), numeric=True), Column(_("To pay"), numeric=True)),
        (("2021-0003", "March 2021", "468.30", "€79.51"), ("2021-0002", "February 2021", "512.75", "€104.20")),
        (_("Together"), "", "981.05", "€183.71"),
    )


def _seals() -> list[LedgerSeal]:
    now = datetime.now(UTC)
    return [
        LedgerSeal(SealState.CONFIRMED, entry=414, verified_at=now - timedelta(minutes=2), href="#evidence"),
        LedgerSeal(SealState.SENT, since=now - timedelta(seconds=8)),
        LedgerSeal(SealState.QUEUED, since=now - timedelta(minutes=3)),
        LedgerSeal(SealState.REJECTED, reason=_("the surplus was already sold"), href="#evidence"),
    ]
