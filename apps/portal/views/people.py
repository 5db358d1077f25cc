"""Who acts for a customer: the list for those who act already, and the link for the first one."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.choices import MemberRole, MemberState
from apps.accounts.exceptions import MembershipError
from apps.accounts.invitations import invitation_of
from apps.accounts.models import Membership, User
from apps.accounts.permissions import Action, Viewer
from apps.accounts.services import memberships
from apps.portal.access import for_viewer, visible_or_404
from apps.portal.selectors import own_points
from apps.web.formatting import local_date

FORBIDDEN, GONE = 403, 410


@dataclass(frozen=True, slots=True)
class Person:
    """A membership as the list shows it; `tone` is that of its chip, `story` who asked and who decided, and when."""

    membership: Membership
    state: str
    tone: str
    story: tuple[str, ...]
    of_colleague: bool
    may_decide: bool
    may_end: bool


class Change(Protocol):
    def __call__(self, membership: Membership, *, by: User, site: str) -> None: ...


@require_safe
@for_viewer
def people(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    every = _visible(viewer).select_related("user", "party__utility", "invited_by", "decided_by", "ended_by")
    point = own_points(viewer).first()
    zone = point.area.zone if point else ZoneInfo("UTC")
    shown = [_person(viewer, each, zone) for each in every.order_by("party__name", "-invited_at", "-pk")]
    return render(
        request,
        "portal/people.html",
        {
            "waiting": [one for one in shown if one.may_end and one.tone != "good"],
            "acting": [one for one in shown if one.tone == "good"],
            "past": [one for one in shown if not one.may_end],
            "is_customer": bool(viewer.own),
        },
    )


def _visible(viewer: Viewer) -> QuerySet[Membership]:
    customers = Membership.objects.filter(role=MemberRole.MEMBER)
    return viewer.visible(Action.VIEW_MEMBERS, customers, "party__utility", "party")


def _person(viewer: Viewer, membership: Membership, zone: ZoneInfo) -> Person:
    acts = membership.is_in_force
    stopped = membership.state == MemberState.CONFIRMED and not acts
    if acts:
        state, tone = _("may act for you"), "good"
    elif stopped:
        state, tone = _("stopped: works for your utility"), "bad"
    else:
        invited = membership.state == MemberState.INVITED
        state, tone = membership.get_state_display(), "waiting" if invited else "neutral"
    return Person(
        membership,
        state,
        tone,
        _story(membership, zone),
        membership.of_colleague,
        may_decide=(stopped or membership.state == MemberState.INVITED)
        and viewer.may(Action.DECIDE_MEMBER, membership),
        may_end=membership.state in (MemberState.INVITED, MemberState.CONFIRMED)
        and viewer.may(Action.END_MEMBER, membership),
    )


def _story(membership: Membership, zone: ZoneInfo) -> tuple[str, ...]:
    decided = _("Refused by %(person)s on %(day)s")
    if membership.state != MemberState.REFUSED:
        decided = _("Confirmed by %(person)s on %(day)s")
    steps = (
        (_("Asked by %(person)s on %(day)s"), membership.invited_by, membership.invited_at),
        (decided, membership.decided_by, membership.decided_at),
        (_("Ended by %(person)s on %(day)s"), membership.ended_by, membership.ended_at),
    )
    return tuple(
        words % {"person": person or _("somebody who has left"), "day": local_date(at, zone)}
        for words, person, at in steps
        if at
    )


@require_POST
@for_viewer
def confirm(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """`?own_household=1` says so of a person who works for the utility."""
    membership = _asked_for(viewer, pk, Action.DECIDE_MEMBER)
    change = partial(memberships.confirm, own_household="own_household" in request.GET)
    _tell(request, viewer, membership, change, _("%(person)s may act for you from now on."))
    return redirect("portal:people")


@require_POST
@for_viewer
def refuse(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    membership = _asked_for(viewer, pk, Action.DECIDE_MEMBER)
    _tell(request, viewer, membership, memberships.refuse, _("%(person)s may not act for you."))
    return redirect("portal:people")


@require_POST
@for_viewer
def end(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    membership = _asked_for(viewer, pk, Action.END_MEMBER)
    _tell(request, viewer, membership, memberships.end, _("%(person)s no longer acts for you."))
    return redirect("portal:people")


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def invitation(request: HttpRequest, viewer: Viewer, token: str) -> HttpResponse:
    """The link that went to a customer for whom nobody acts yet. A look decides nothing: mail programs look too."""
    try:
        membership = invitation_of(token)
    except MembershipError as error:
        return render(request, "portal/invitation_over.html", {"reason": str(error)}, status=GONE)
    if membership.party_id in viewer.own:
        return redirect("portal:people")
    if not viewer.may(Action.DECIDE_MEMBER, membership):
        return render(request, "portal/invitation_other.html", status=FORBIDDEN)
    if request.method == "POST":
        answer = request.POST.get("answer")
        if answer in ("yes", "household"):
            change = partial(memberships.confirm, own_household=answer == "household")
            _tell(request, viewer, membership, change, _("%(person)s may act for you from now on."))
        else:
            _tell(request, viewer, membership, memberships.refuse, _("%(person)s may not act for you."))
        return redirect("portal:start")
    return render(request, "portal/invitation.html", {"membership": membership})


def _asked_for(viewer: Viewer, pk: int, action: Action) -> Membership:
    membership = visible_or_404(
        viewer,
        Action.VIEW_MEMBERS,
        Membership.objects.filter(role=MemberRole.MEMBER).select_related("user", "party__utility"),
        "party__utility",
        "party",
        pk=pk,
    )
    viewer.require(action, membership)
    return membership


def _tell(request: HttpRequest, viewer: Viewer, membership: Membership, change: Change, done: str) -> None:
    """Make the change; the next page says that it is made, or why not."""
    assert isinstance(viewer.user, User)  # noqa: S101 pages for viewers are for people who are signed in
    try:
        change(membership, by=viewer.user, site=request.build_absolute_uri("/").removesuffix("/"))
    except MembershipError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done % {"person": membership.user})
