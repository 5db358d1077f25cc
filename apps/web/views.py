"""Pages of the frame itself."""

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.web.styleguide import CLOCKS_FORWARD, sample


def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component on one page, for those who build pages; only while DEBUG is on."""
    if not settings.DEBUG:
        raise Http404
    messages.success(request, "Your offer is published.")
    messages.error(request, "The price is missing. What you entered is still in the form.")
    return render(request, "styleguide.html", sample(CLOCKS_FORWARD))
