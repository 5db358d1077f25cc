"""Going from day to day on a page."""

import datetime as dt
from dataclasses import dataclass

from django.http import Http404, HttpRequest


@dataclass(frozen=True, slots=True)
class Days:
    """The day that a page shows and its neighbours; None where there is nothing to go to."""

    shown: dt.date
    previous: dt.date
    next: dt.date | None


def chosen_day(request: HttpRequest, newest: dt.date) -> Days:
    """The day in `?day=`, else the newest; a day that is none gives a 404."""
    asked = request.GET.get("day")
    try:
        shown = dt.date.fromisoformat(asked) if asked else newest
        previous, following = shown - dt.timedelta(days=1), shown + dt.timedelta(days=1)
    except (ValueError, OverflowError):
        raise Http404(f"no day is called {asked!r}") from None
    return Days(shown, previous, following if following <= newest else None)
