"""A person's own page: name, language, whom they act for, who keeps the signing key."""

from django.conf import settings
from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.accounts.choices import KeyCustody, MemberState
from apps.accounts.models import PartyKey, User
from apps.accounts.permissions import Viewer, in_force
from apps.notifications.services.choosing import choose, kinds_for, wanted_by
from apps.portal.access import for_viewer
from apps.portal.forms import AccountForm, NoticesForm
from apps.portal.records import seals_of, short


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def account(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    user = User.objects.get(email=request.user.get_username())
    form = AccountForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        return _saved(request, user)
    keys = Prefetch("keys", PartyKey.objects.filter(ended_at=None), to_attr="current_keys")
    current = Prefetch("party__keys", keys.queryset, to_attr="current_keys")
    memberships = list(
        in_force(user.memberships.select_related("party__utility")).prefetch_related(current).order_by("party__name")
    )
    seals = seals_of([membership.party for membership in memberships], linked=False)
    context = {
        "form": form,
        "waiting": user.memberships.filter(state=MemberState.INVITED).select_related("party"),
        "memberships": [
            {
                "party": membership.party,
                "utility": membership.party.utility or membership.party,
                "role": membership.get_role_display(),
                "is_member": membership.party_id in viewer.own,
                "keys": [
                    {"id": short(bytes(key.key_id)), "custodial": key.custody == KeyCustody.CUSTODIAL}
                    for key in membership.party.current_keys  # type: ignore[attr-defined]
                ],
                "seal": seal,
            }
            for membership, seal in zip(memberships, seals, strict=True)
        ],
    }
    return render(request, "portal/account.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def notices(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Which notices the person gets by mail."""
    user = User.objects.get(email=request.user.get_username())
    among = kinds_for(viewer)
    labels = {kind.key: capfirst(str(kind.title)) for kind in among}
    # Nothing chosen is a choice too.
    given = request.POST if request.method == "POST" else None
    form = NoticesForm(labels, given, initial={"kinds": sorted(wanted_by(user, among))})
    if request.method == "POST" and form.is_valid():
        choose(user, among, form.cleaned_data["kinds"])
        messages.success(request, _("Saved."))
        return redirect("portal:notices")
    return render(request, "portal/notices.html", {"form": form, "among": among})


def _saved(request: HttpRequest, user: User) -> HttpResponse:
    with translation.override(user.language):
        messages.success(request, _("Saved."))
    response = redirect("portal:account")
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        user.language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )
    return response
