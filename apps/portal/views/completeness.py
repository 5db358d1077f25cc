"""For staff: which readings an area has of a month and of a day, and the decision to substitute what is missing."""

import datetime as dt
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.models import PartyKey, User
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MarketArea
from apps.metering.completeness import count_days, decisions_of, first_day, gate_of, point_counts, recount
from apps.metering.services.substitutes import substitute_missing
from apps.portal.access import for_viewer, visible_or_404
from apps.portal.completeness import (
    Months,
    calendar_of,
    day_title,
    day_url,
    decision_table,
    gate_words,
    next_month,
    point_table,
    words_of,
)
from apps.portal.forms import ReasonForm
from apps.portal.lists import page_of, shown
from apps.web.pictures import calendar_map, calendar_table


def _areas(viewer: Viewer, action: Action = Action.VIEW_READINGS) -> QuerySet[MarketArea]:
    return viewer.visible(action, MarketArea.objects.select_related("utility").order_by("name"), "utility")


@require_safe
@for_viewer
def completeness(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """The month of `?month=2026-06`, else this one, of the area of `?area=`, else the first one."""
    areas = {str(area.pk): area for area in _areas(viewer)}
    if not areas:
        raise Http404("no area to look after")
    area = areas.get(request.GET.get("area", next(iter(areas))))
    if area is None:
        raise Http404("no such area")
    month = _month(request, area)
    counts = count_days(area, month, next_month(month))
    first = first_day(area)
    shown_map = calendar_of(area, month, counts, first)
    context = {
        "area": area,
        "others": [one for one in areas.values() if one != area],
        "months": Months.around(month, area.today),
        "picture": calendar_map(shown_map) if counts else None,
        "table": calendar_table(shown_map),
        "title": shown_map.title,
        "incomplete": sum(1 for count in counts.values() if count.missing and first and count.day >= first),
    }
    return render(request, "portal/completeness.html", context)


def _month(request: HttpRequest, area: MarketArea) -> dt.date:
    asked = request.GET.get("month")
    # On the first of a month, the one before is what can be looked at.
    newest = (area.today - dt.timedelta(days=1)).replace(day=1)
    try:
        month = dt.date.fromisoformat(f"{asked}-01") if asked else newest
    except ValueError:
        raise Http404(f"no month is called {asked!r}") from None
    if not dt.date(1970, 2, 1) <= month <= area.today:
        raise Http404(f"nothing was measured in {month}")
    return month


@require_safe
@for_viewer
def day(request: HttpRequest, viewer: Viewer, area_pk: int, day: str) -> HttpResponse:
    area = visible_or_404(viewer, Action.VIEW_READINGS, MarketArea.objects.all(), "utility", pk=area_pk)
    return render(request, "portal/completeness_day.html", _context(request, viewer, area, _past_day(area, day)))


def _past_day(area: MarketArea, text: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise Http404(f"no day is called {text!r}") from None
    if not dt.date(1970, 2, 1) <= day < area.today:
        raise Http404(f"{day} is not over yet")
    return day


def _context(request: HttpRequest, viewer: Viewer, area: MarketArea, day: dt.date) -> dict[str, Any]:
    counts = point_counts(area, day)
    lacking = [count for count in counts if count.missing]
    page = page_of(request, lacking + [count for count in counts if not count.missing])
    gate, tone = gate_words(gate_of(area, day), area)
    return {
        "area": area,
        "day": day,
        "title": day_title(area, day),
        "words": words_of(recount(area, day)),
        "gate": gate,
        "tone": tone,
        "page": page,
        "shown": shown(page),
        "table": point_table(list(page.object_list)),
        "decisions": decision_table(decisions_of(area, day), area.zone),
        "form": ReasonForm() if lacking and viewer.may(Action.MANAGE_METERING, area) else None,
        "previous": day_url(area, day - dt.timedelta(days=1)),
        "next": day_url(area, day + dt.timedelta(days=1)) if day + dt.timedelta(days=1) < area.today else "",
    }


@require_POST
@for_viewer
def substitute(request: HttpRequest, viewer: Viewer, area_pk: int, day: str) -> HttpResponse:
    """Decide now, with a reason, that what is missing is substituted by rule."""
    area = visible_or_404(
        viewer, Action.MANAGE_METERING, MarketArea.objects.select_related("utility"), "utility", pk=area_pk
    )
    asked = _past_day(area, day)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        context = _context(request, viewer, area, asked) | {"form": form}
        return render(request, "portal/completeness_day.html", context)
    assert isinstance(viewer.user, User)  # noqa: S101 pages for viewers are for people who are signed in
    try:
        decision = substitute_missing(area, asked, reason=form.cleaned_data["reason"], by=viewer.user)
    except PartyKey.DoesNotExist:
        messages.error(request, _("Your utility has no key here that could sign substitutes. Nothing was stored."))
        return redirect(day_url(area, asked))
    if decision is None:
        messages.warning(request, _("Nothing is missing any more."))
    else:
        words = ngettext("%(count)s reading was substituted.", "%(count)s readings were substituted.", decision.count)
        messages.success(request, words % {"count": decision.count})
    return redirect(day_url(area, asked))
