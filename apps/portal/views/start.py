"""The start page: what this is for guests, "how am I doing?" for customers, the ways in for staff."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounting.selectors import dues
from apps.accounts.choices import MemberState
from apps.accounts.models import Membership
from apps.accounts.permissions import Viewer
from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.selectors import latest_day
from apps.portal.access import for_viewer, viewer_of
from apps.portal.bills import bill_so_far
from apps.portal.days import chosen_day
from apps.portal.dues import balance_sentence, due_table
from apps.portal.energy import energy_table, own_energy
from apps.portal.lists import page_of, shown
from apps.portal.live import live_values
from apps.portal.selectors import first_days, last_settled_day, own_points
from apps.portal.today import charts, flow_picture, sentence, today
from apps.web.pictures import bill_bar, day_chart, day_table, flow_diagram, flow_table
from apps.web.pictures.flow import Flow, FlowDiagram, FlowNode
from apps.web.pictures.hues import Hue

DUES_SHOWN = 8


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return render(request, "portal/welcome.html", {"picture": flow_diagram(_street())})
    viewer = viewer_of(request)
    points = list(own_points(viewer))
    if points:
        return render(request, "portal/today.html", _dashboard(request, viewer, points))
    if viewer.staff_of or viewer.auditor_of:
        return render(request, "portal/staff.html")
    if viewer.installer_of:
        return redirect("portal:enrolments")
    waiting = Membership.objects.filter(user_id=request.user.pk, state=MemberState.INVITED).select_related("party")
    return render(request, "portal/unconnected.html", {"waiting": waiting})


def _street() -> FlowDiagram:
    """An invented day, for people who are not signed in."""
    return FlowDiagram(
        "street",
        _("A day of a house with a solar roof"),
        sources=(FlowNode("roof", _("Your roof")), FlowNode("utility", _("Utility"))),
        targets=(FlowNode("home", _("Your home")), FlowNode("sold", _("Neighbours")), FlowNode("grid", _("Utility"))),
        flows=(
            Flow("roof", "home", 7_100, Hue.OWN),
            Flow("roof", "sold", 3_800, Hue.NEIGHBOURS),
            Flow("roof", "grid", 1_500, Hue.GRID),
            Flow("utility", "home", 2_300, Hue.GRID),
        ),
    )


def _dashboard(request: HttpRequest, viewer: Viewer, points: Sequence[MeteringPoint]) -> dict[str, Any]:
    area, others = _areas(request, points)
    here = [point for point in points if point.area_id == area.pk]
    items = dues(viewer)
    context: dict[str, Any] = {
        "area": area,
        "live": live_values(viewer, here),
        "other_areas": others,
        "energy": energy_table(own_energy(viewer, points)),
        "dues": due_table(items[:DUES_SHOWN], viewer),
        "balance": balance_sentence(items),
        "more_dues": max(0, len(items) - DUES_SHOWN),
    }
    newest = last_settled_day(area) or latest_day(here)
    first = first_days(viewer, here)
    if newest is None or not first or newest < min(first.values()):
        return context
    days = chosen_day(request, newest, min(first.values()))
    then = [point for point in here if point.pk in first and first[point.pk] <= days.shown]
    return context | {"days": days} | _day(area, then, days.shown, first)


@require_safe
@for_viewer
def all_dues(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    items = dues(viewer)
    page = page_of(request, items)
    context = {
        "page": page,
        "shown": shown(page),
        "table": due_table(list(page.object_list), viewer),
        "balance": balance_sentence(items),
    }
    return render(request, "portal/dues.html", context)


def _areas(request: HttpRequest, points: Sequence[MeteringPoint]) -> tuple[MarketArea, list[MarketArea]]:
    """The area of `?area=`, else the first one, and the others."""
    areas = {str(point.area_id): point.area for point in points}
    asked = request.GET.get("area", next(iter(areas)))
    if asked not in areas:
        raise Http404(f"no metering point of yours is in area {asked!r}")
    return areas[asked], [area for key, area in areas.items() if key != asked]


def _day(
    area: MarketArea, points: Sequence[MeteringPoint], day: dt.date, first: Mapping[int, dt.date]
) -> dict[str, Any]:
    shown = today(area, points, day)
    if shown is None:
        return {"waiting": True}
    flow = flow_picture(shown)
    bill = bill_so_far(area, points, day, first)
    return {
        "sentence": sentence(shown),
        "flow": flow_diagram(flow) if shown.made or shown.used else None,
        "flow_table": flow_table(flow),
        "charts": [(chart.title, day_chart(chart), day_table(chart)) for chart in charts(shown)],
        "bill": bill_bar(bill) if bill else None,
        "bill_title": bill.title if bill else "",
    }
