"""Which devices and meters measure a point, and since when; staff exchange them."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import User
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MeteringPoint
from apps.metering.choices import Register
from apps.metering.exceptions import MeasurementError
from apps.metering.models import Measurement
from apps.metering.services.exchange import exchange_meter, set_backup
from apps.portal.access import for_viewer, visible_or_404
from apps.portal.forms import ExchangeForm
from apps.web.components import Column, Table
from apps.web.formatting import EN_DASH, NBSP, decimal_text, local_datetime


@require_safe
@for_viewer
def meters(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    points = MeteringPoint.objects.select_related("area", "party")
    point = visible_or_404(viewer, Action.VIEW_METERING_POINT, points, "area__utility", "party", pk=pk)
    rows = list(point.measurements.select_related("device", "changed_by").order_by("since", "pk"))
    context = {
        "point": point,
        "table": _table(rows, point.area.zone),
        "current": [row for row in rows if row.until is None] if viewer.may(Action.MANAGE_METERING, point) else [],
    }
    return render(request, "portal/meters.html", context)


def _table(rows: list[Measurement], zone: ZoneInfo) -> Table | None:
    if not rows:
        return None
    columns = (
        Column(_("Box")),
        Column(_("Meter")),
        Column(_("From")),
        Column(_("Until")),
        Column(_("Registers")),
        Column(_("Counter at the beginning")),
        Column(_("Counter at the end")),
        Column(_("Used for")),
    )
    cells = tuple(
        (
            str(row.device),
            row.serial or EN_DASH,
            _instant(row.since, zone) if row.since else _("the beginning"),
            _instant(row.until, zone) if row.until else _("today"),
            ", ".join(str(Register(register).label) for register in row.registers) or _("all"),
            _counters(row.counters_in),
            _counters(row.counters_out),
            _("information only") if row.is_backup else _("billing"),
        )
        for row in rows
    )
    return Table(_("What has measured here, and when"), columns, cells)


def _instant(seconds: int, zone: ZoneInfo) -> str:
    return local_datetime(datetime.fromtimestamp(seconds, UTC), zone)


def _counters(counters: dict[str, int]) -> str:
    texts = []
    for number, value in counters.items():
        register = Register(int(number))
        figure = decimal_text(Decimal(value).scaleb(-3), most=3)
        texts.append(f"{register.label} {figure}{NBSP}k{register.unit.label}")
    return ", ".join(texts)


def _measurement(viewer: Viewer, pk: int) -> Measurement:
    objects = Measurement.objects.select_related("point__area", "point__plant", "device")
    return visible_or_404(viewer, Action.MANAGE_METERING, objects, "point__area__utility", pk=pk)


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def exchange(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    measurement = _measurement(viewer, pk)
    form = ExchangeForm(request.POST or None, measurement=measurement)
    if request.method == "POST" and form.is_valid():
        assert isinstance(viewer.user, User)  # noqa: S101 pages for viewers are for people who are signed in
        try:
            exchange_meter(
                measurement,
                device=form.cleaned_data["device"],
                at=form.cleaned_data["at"],
                removed=form.meter("removed"),
                installed=form.meter("installed"),
                by=viewer.user,
            )
        except MeasurementError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The exchange is recorded."))
            return redirect("portal:meters", measurement.point_id)
    return render(request, "portal/exchange.html", {"form": form, "measurement": measurement})


@require_POST
@for_viewer
def role(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """`role=backup` makes a device's readings informative only, anything else lets them count."""
    measurement = _measurement(viewer, pk)
    assert isinstance(viewer.user, User)  # noqa: S101 pages for viewers are for people who are signed in
    is_backup = request.GET.get("role") == "backup"
    set_backup(measurement, is_backup=is_backup, by=viewer.user)
    words = _("What %(device)s reads from now on only informs.") if is_backup else _("What %(device)s reads counts.")
    messages.success(request, words % {"device": measurement.device})
    return redirect("portal:meters", measurement.point_id)
