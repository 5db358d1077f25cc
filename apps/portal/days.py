"""Going from day to day on a page."""

import datetime as dt
from dataclasses import dataclass

from django.http import Http404, HttpRequest


@dataclass(frozen=True, slots=True)
class Days:
    """The day that a page shows and its neighbours; None where there is nothing to go to."""

    shown: dt.date
    previous: dt.date | None
    next: dt.date | None


def chosen_day(request: HttpRequest, newest: dt.date, oldest: dt.date = dt.date.min) -> Days:
    """The day in `?day=`, else the newest; one that is none, or lies before the oldest, gives a 404."""
    asked = request.GET.get("day")
    try:
        shown = dt.date.fromisoformat(asked) if asked else newest
        previous, following = shown - dt.timedelta(days=1), shown + dt.timedelta(days=1)
    except (ValueError, OverflowError):
        raise Http404(f"no day is called {asked!r}") from None
    if shown < oldest:
        raise Http404(f"{shown} is before the first day that may be shown")
    return Days(shown, previous if previous >= oldest else None, following if following <= newest else None)
