"""What pages of the portal have in common: `{% load portal %}`."""

from typing import Any

from django import template
from django.template.context import RequestContext
from django.utils.translation import gettext as _

from apps.accounts.models import Membership, Party
from apps.accounts.permissions import Viewer, in_force
from apps.assets.models import Plant
from apps.portal.access import viewer_of
from apps.portal.days import Days

register = template.Library()


@register.inclusion_tag("portal/parts/who.html", takes_context=True)
def who(context: RequestContext) -> dict[str, Any]:
    """Who is signed in, in which role, at which utility, under which address. Two queries."""
    request = context["request"]
    if not request.user.is_authenticated:
        return {}
    memberships = in_force(Membership.objects.filter(user=request.user).select_related("party__utility"))
    utilities = {_utility(membership.party).name for membership in memberships}
    return {
        "utilities": sorted(utilities),
        "role": _role(viewer_of(request)),
        "email": request.user.email,
    }


def _utility(party: Party) -> Party:
    return party.utility or party


def _role(viewer: Viewer) -> str:
    roles = []
    if viewer.own:
        produces = Plant.objects.filter(owner__in=viewer.own).exists()
        roles.append(_("produces and uses energy") if produces else _("uses energy"))
    if viewer.staff_of:
        roles.append(_("works for the utility"))
    if viewer.auditor_of:
        roles.append(_("auditor"))
    return ", ".join(roles) or _("not connected yet")


@register.inclusion_tag("portal/parts/days.html", takes_context=True)
def day_steps(context: RequestContext, days: Days) -> dict[str, Any]:
    """Links to the day before and after, keeping the rest of the address, and a field to go to any day."""
    kept = {key: value for key, value in context["request"].GET.items() if key != "day"}
    return {"days": days, "kept": kept, "request": context["request"]}


@register.inclusion_tag("portal/parts/rows.html", takes_context=True)
def rows_choice(context: RequestContext) -> dict[str, Any]:
    """Links to choose how many rows a page of a list has."""
    return {"request": context["request"], "current": context["request"].GET.get("rows", "10"), "sizes": SIZES}


SIZES = ("10", "25", "50")
