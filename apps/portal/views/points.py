"""Metering points: the list, a point's day, its readings as a file."""

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.permissions import Viewer
from apps.assets.models import MeteringPoint
from apps.metering.models import Device
from apps.metering.selectors import latest_day
from apps.metering.versions import day_versions
from apps.portal.access import for_viewer
from apps.portal.days import chosen_day
from apps.portal.energy import energy_table, own_energy
from apps.portal.links import link, point_url
from apps.portal.lists import page_of, shown
from apps.portal.live import live_values
from apps.portal.points import (
    anchored_batches,
    correction_table,
    csv_of,
    evidence_sentence,
    grade_table,
    picture_of,
    reading_table,
)
from apps.portal.power import last_power
from apps.portal.records import seals
from apps.portal.selectors import first_days, own_points, visible_points
from apps.web.components import Column, Table
from apps.web.formatting import NBSP, decimal_text, local_datetime
from apps.web.pictures import load_curve, load_table, power_strip, power_table


@require_safe
@for_viewer
def points(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    devices = Prefetch("devices", Device.objects.order_by("name"))
    page = page_of(request, visible_points(viewer).prefetch_related(devices))
    own = list(own_points(viewer))
    context = {
        "page": page,
        "shown": shown(page),
        "table": _point_table(page.object_list, with_customer=bool(viewer.staff_of or viewer.auditor_of)),
        "energy": energy_table(own_energy(viewer, own)) if own else None,
    }
    return render(request, "portal/points.html", context)


def _point_table(shown_points: Any, *, with_customer: bool) -> Table:
    columns = [Column(_("Metering point")), Column(_("Number")), Column(_("Place"))]
    if with_customer:
        columns.append(Column(_("Customer")))
    columns += [Column(_("Plant")), Column(_("Meter, last heard from"))]
    rows = []
    for point in shown_points:
        row = [link(point_url(point), point), point.code, point.city]
        if with_customer:
            row.append(str(point.party))
        rows.append((*row, _plant(point), _devices(point)))
    return Table(_("What is measured where"), tuple(columns), tuple(rows))


def _plant(point: MeteringPoint) -> str:
    return f"{point.plant}, {point.plant.get_technology_display()}" if hasattr(point, "plant") else ""


def _power(point: MeteringPoint) -> str:
    if not hasattr(point, "plant"):
        return ""
    return f"{decimal_text(Decimal(point.plant.power_w).scaleb(-3), most=3)}{NBSP}kW"


def _devices(point: MeteringPoint) -> str:
    heard = [device.last_contact for device in point.devices.all() if device.last_contact]
    if heard:
        return local_datetime(max(heard), point.area.zone)
    return _("not yet") if point.devices.all() else _("none, readings are imported")


@require_safe
@for_viewer
def point(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found = get_object_or_404(visible_points(viewer), pk=pk)
    context: dict[str, Any] = {
        "point": found,
        "plant": getattr(found, "plant", None),
        "power": _power(found),
        "devices": found.devices.order_by("name").distinct(),
        "is_own": found.party_id in viewer.own,
    }
    oldest, newest = _bounds(viewer, found)
    context["live"] = live_values(viewer, [found])
    if newest is not None:
        days = chosen_day(request, newest, oldest)
        versions = day_versions(found, days.shown)
        curve = picture_of(found, days.shown)
        anchors = [batch.anchor.command_id for batch in anchored_batches(versions) if batch.anchor]
        context |= {
            "days": days,
            "curve": load_curve(curve) if curve else None,
            "curve_table": load_table(curve) if curve else None,
            "grades": grade_table(versions),
            "evidence": evidence_sentence(versions),
            "corrections": correction_table(versions, found),
            "readings": reading_table(versions, found),
            "seals": list(seals(anchors).values()),
            "last_hours": _power_part(viewer, found) if days.next is None else "",
        }
    return render(request, "portal/point.html", context)


def _power_part(viewer: Viewer, point: MeteringPoint) -> str:
    """The picture of the last hours; empty where nothing came."""
    strip = last_power([point], first_days(viewer, [point]))
    if strip is None:
        return ""
    figure = {"title": strip.title, "picture": power_strip(strip), "table": power_table(strip)}
    return render_to_string("components/figure.html", figure)


@require_safe
@for_viewer
def last_hours(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Only the picture of the last hours, for a page that stays open."""
    return HttpResponse(_power_part(viewer, get_object_or_404(visible_points(viewer), pk=pk)))


def _bounds(viewer: Viewer, point: MeteringPoint) -> tuple[dt.date, dt.date | None]:
    """The first and the last day that the viewer can look at; None as the last when there is none."""
    oldest = first_days(viewer, [point]).get(point.pk, dt.date.min)
    newest = latest_day([point])
    return oldest, newest if newest and newest >= oldest else None


@require_safe
@for_viewer
def readings_csv(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """The readings of `?day=`, every version of them."""
    found = get_object_or_404(visible_points(viewer), pk=pk)
    oldest, newest = _bounds(viewer, found)
    if newest is None:
        return HttpResponse(csv_of([], found), content_type="text/csv; charset=utf-8")
    day = chosen_day(request, newest, oldest).shown
    response = HttpResponse(csv_of(day_versions(found, day), found), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="readings-{found.pk}-{day}.csv"'
    return response
