"""One reading with its evidence, in words; and points that are computed from others."""

import datetime as dt
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.permissions import Viewer
from apps.metering.arrangements import VirtualPoint
from apps.metering.choices import Grade, Register
from apps.metering.exceptions import EvidenceError
from apps.metering.origin import source_of
from apps.metering.selectors import latest_day
from apps.metering.virtual import Computed, compute_day
from apps.portal.access import for_viewer
from apps.portal.days import chosen_day
from apps.portal.evidence import find_version, prove
from apps.portal.links import link
from apps.portal.lists import page_of, shown
from apps.portal.points import quantity, slot_words
from apps.portal.readings_api import visible_virtual
from apps.portal.records import seals, short
from apps.portal.selectors import visible_points
from apps.web.components import Column, Table
from apps.web.formatting import kwh_number, local_datetime
from apps.web.pictures import LoadCurve, load_curve, load_table
from apps.web.pictures.day import LocalDay
from evidence.canonical import encode_bytes
from evidence.readings import leaf
from market_math.slots import local_day


@require_safe
@for_viewer
def reading(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """The reading of `?slot=` (UTC seconds) and `?register=`, in the version that stands or in `?version=`."""
    point = get_object_or_404(visible_points(viewer), pk=pk)
    slot, register = _number(request, "slot"), _number(request, "register")
    number = _number(request, "version") if "version" in request.GET else None
    version = find_version(viewer, point, slot, register, number)
    if version is None:
        raise Http404("no such reading")
    batch = version.batch
    seal = seals([batch.anchor.command_id]) if batch.anchor else {}
    query = request.GET.urlencode()
    evidence = reverse("reading-evidence", args=[encode_bytes(bytes(point.ledger_id))])
    context: dict[str, Any] = {
        "point": point,
        "day": local_day(slot, point.area.zone),
        "time": slot_words(slot, point),
        "register": capfirst(str(Register(register).label)),
        "quantity": quantity(version, decimals=3),
        "version": version,
        "source": source_of(batch).words,
        "grade": version.grade.label,
        "received": local_datetime(batch.received_at, point.area.zone),
        "seal": next(iter(seal.values()), None),
        "json": f"{evidence}?{query}",
        "bundle": f"{evidence}/bundle?{query}" if batch.anchor and batch.anchor.is_confirmed else "",
    }
    try:
        leaves = prove(point, version).leaves
    except EvidenceError:
        context["erased"] = True
    else:
        (one,) = leaves.readings
        context["hash"] = short(leaf(one.salt, one.id.encode(), one.value.encode()))
        context["index"], context["count"] = one.index + 1, leaves.path.size
        context["root"], context["key"] = short(bytes(batch.root)), short(bytes(batch.key_id))
    return render(request, "portal/reading.html", context)


def _number(request: HttpRequest, name: str) -> int:
    """404 for what is no number, or one that no calendar has a day for."""
    try:
        number = int(request.GET.get(name, ""))
    except ValueError:
        raise Http404(f"{name} is no number") from None
    if not -(1 << 15) <= number < 1 << 32:
        raise Http404(f"{name} is out of range")
    return number


@require_safe
@for_viewer
def virtual_points(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    page = page_of(request, visible_virtual(viewer).order_by("area", "code"))
    columns = (Column(_("Virtual point")), Column(_("Number")), Column(_("Market area")))
    rows = tuple(
        (link(reverse("portal:virtual_point", args=[one.pk]), one), one.code, str(one.area)) for one in page.object_list
    )
    table = Table(_("What is computed from other points"), columns, rows)
    return render(request, "portal/virtual_points.html", {"page": page, "shown": shown(page), "table": table})


@require_safe
@for_viewer
def virtual_point(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found: VirtualPoint = get_object_or_404(visible_virtual(viewer), pk=pk)
    days = chosen_day(request, _newest(found))
    computed = compute_day(found.area, days.shown, [found])
    shown_registers = [_shown(found, days.shown, register, one) for (_pk, register), one in sorted(computed.items())]
    return render(request, "portal/virtual_point.html", {"point": found, "days": days, "registers": shown_registers})


def _newest(found: VirtualPoint) -> dt.date:
    sources = [term.point for term in found.terms.select_related("point") if term.point]
    return latest_day(sources) or found.area.today


def _shown(found: VirtualPoint, day: dt.date, register: int, computed: Computed) -> dict[str, Any]:
    unit = Register(register).unit.label
    known = [value if grade else None for value, grade in zip(computed.value, computed.grade, strict=True)]
    numbers = [int(value) for value in known if value is not None]
    rows = tuple(
        (f"{'+' if term.sign > 0 else '-'} {term.point or term.virtual}", str(Register(term.source_register).label))
        for term in computed.terms
    )
    columns = (Column(_("Point")), Column(_("Register")))
    grades = [int(grade) for grade in computed.grade if grade]
    curve = _curve(found, day, register, known)
    return {
        "label": str(Register(register).label),
        "total": f"{kwh_number(sum(numbers), fixed=True)} k{unit}",
        "known": len(numbers),
        "slots": len(computed.slots),
        "grade": Grade(max(grades)).label if grades else "",
        "terms": Table(_("Computed from"), columns, rows),
        "picture": load_curve(curve) if curve else None,
        "curve_table": load_table(curve) if curve else None,
    }


def _curve(found: VirtualPoint, day: dt.date, register: int, known: list[Any]) -> LoadCurve | None:
    """A curve where it can be drawn: energy of one direction."""
    values = tuple(None if value is None else int(value) for value in known)
    if not any(values) or any(value is not None and value < 0 for value in values):
        return None
    local = LocalDay(day, found.area.zone, found.area.slot_minutes)
    title = str(Register(register).label)
    is_made = register in (Register.GENERATION, Register.GRID_EXPORT)
    consumption, generation = (None, values) if is_made else (values, None)
    return LoadCurve(f"register-{register}", title, local, consumption=consumption, generation=generation)
