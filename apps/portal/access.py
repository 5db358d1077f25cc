"""Every page asks here who is looking, once per request."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from django.contrib.auth.decorators import login_required
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404

from apps.accounts.permissions import Action, Viewer

P = ParamSpec("P")
M = TypeVar("M", bound=Model)

View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def viewer_of(request: HttpRequest) -> Viewer:
    """The person of this request as the rules see them; memberships are read once."""
    viewer: Viewer | None = getattr(request, "viewer", None)
    if viewer is None:
        viewer = Viewer(request.user)
        request.viewer = viewer  # type: ignore[attr-defined]
    return viewer


def for_viewer(view: Callable[Concatenate[HttpRequest, Viewer, P], HttpResponseBase]) -> View[P]:
    """A page for people who are signed in; the view gets the viewer after the request."""

    @login_required
    @wraps(view)
    def page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return view(request, viewer_of(request), *args, **kwargs)

    return page


def visible_or_404(
    viewer: Viewer,
    action: Action,
    objects: QuerySet[M],
    utility: str,
    *parties: str,
    people: tuple[str, ...] | None = None,
    **wanted: object,
) -> M:
    """The object that is asked for; a stranger's is as if it did not exist."""
    return get_object_or_404(viewer.visible(action, objects, utility, *parties, people=people), **wanted)
