"""The boxes beside the meters: which send, which are silent, what is wrong. For staff and auditors."""

from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.models import User
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MarketArea
from apps.metering.choices import AlarmKind
from apps.metering.services.alarms import acknowledge
from apps.portal.access import for_viewer
from apps.portal.boxes import (
    ANY_ALARM,
    NEVER,
    ORDERS,
    REVOKED,
    Asked,
    alarm_counts,
    alarm_words,
    box_table,
    facts,
    history_table,
    key_table,
    lag_of,
    listed,
    measured_by,
    said,
    status_of,
    visible_alarms,
    visible_boxes,
)
from apps.portal.links import box_url
from apps.portal.lists import page_of, shown
from apps.portal.power import last_power
from apps.web.pictures import lag_chart, lag_table, power_strip, power_table


@require_safe
@for_viewer
def fleet(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    areas = list(viewer.visible(Action.VIEW_FLEET, MarketArea.objects.all(), "utility"))
    if not areas:
        raise Http404("no fleet to look after")
    states = _states()
    asked = Asked(
        state=_one_of(request.GET.get("state", ""), [state for state, _label in states]),
        area=next((area.pk for area in areas if str(area.pk) == request.GET.get("area")), None),
        text=request.GET.get("text", "").strip()[:100],
        order=_one_of(request.GET.get("order", ""), list(ORDERS)),
    )
    page = page_of(request, listed(viewer, asked))
    counts = alarm_counts(viewer)
    context = {
        "page": page,
        "shown": shown(page),
        "table": box_table(page.object_list),
        "answer": _answer(sum(counts.values())),
        "may_enrol": bool(viewer.staff_of),
        "counts": [(kind.label, kind.value, count) for kind, count in counts.items()],
        "states": states,
        "areas": [(area.pk, area.name) for area in areas],
        "asked": asked,
        "orders": _orders(),
        "narrowed": replace(asked, order="") != Asked(),
    }
    return render(request, "portal/fleet.html", context)


def _states() -> list[tuple[str, Any]]:
    kinds = [(kind.value, kind.label) for kind in AlarmKind]
    return [(ANY_ALARM, _("any alarm")), *kinds, (NEVER, _("never sent")), (REVOKED, _("key revoked"))]


def _orders() -> list[tuple[str, str]]:
    return [
        ("contact", _("longest without contact")),
        ("behind", _("furthest behind")),
        ("waiting", _("most waiting")),
        ("version", _("version")),
        ("customer", _("customer")),
    ]


def _one_of(asked: str, known: list[str]) -> str:
    return asked if asked in known else ""


def _answer(count: int) -> str:
    if not count:
        return _("No alarm is open.")
    words = ngettext("%(count)s alarm is open.", "%(count)s alarms are open.", count)
    return words % {"count": count}


@require_safe
@for_viewer
def box(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found = get_object_or_404(visible_boxes(viewer), pk=pk)
    alarms = visible_alarms(viewer).filter(device=found)
    standing = list(alarms.filter(closed_at=None).order_by("opened_at"))
    chart = lag_of(found)
    power = last_power(list(measured_by(found)), {})
    page = page_of(request, alarms)
    status = status_of(found)
    context = {
        "box": found,
        "answer": _answer(len(standing)),
        "status": status,
        "said": said(status, found.area.zone) if status else [],
        "facts": facts(found),
        "points": found.points.distinct(),
        "power": power_strip(power) if power else None,
        "power_table": power_table(power) if power else None,
        "standing": [(alarm, alarm_words(alarm)) for alarm in standing],
        "may_act": viewer.may(Action.MANAGE_METERING, found),
        "lag": lag_chart(chart),
        "lag_table": lag_table(chart),
        "keys": key_table(found),
        "page": page,
        "history": history_table(page.object_list),
    }
    return render(request, "portal/fleet_box.html", context)


@require_POST
@for_viewer
def seen(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Somebody has seen an alarm and looks after it."""
    alarm = get_object_or_404(visible_alarms(viewer), pk=pk)
    viewer.require(Action.MANAGE_METERING, alarm)
    assert isinstance(request.user, User)  # noqa: S101 nobody else gets here
    acknowledge(alarm, request.user)
    return redirect(box_url(alarm.device_id))
