"""Long lists, a page at a time."""

from collections.abc import Sequence
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

SIZES = (10, 25, 50)


def page_of(request: HttpRequest, objects: QuerySet[Any] | Sequence[Any], parameter: str = "page") -> Page[Any]:
    """The page of `?page=` with `?rows=` rows; anything else shows the first page of ten."""
    asked = request.GET.get("rows", "")
    size = int(asked) if asked in {str(size) for size in SIZES} else SIZES[0]
    return Paginator(objects, size).get_page(request.GET.get(parameter))


def shown(page: Page[Any]) -> str:
    """Which of how many rows are shown."""
    return _("Showing %(first)s to %(last)s of %(count)s") % {
        "first": page.start_index(),
        "last": page.end_index(),
        "count": page.paginator.count,
    }
