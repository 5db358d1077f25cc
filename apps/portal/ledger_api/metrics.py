"""The ledgers' figures for Prometheus."""

from ipaddress import ip_address

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.ledger.metrics import CONTENT_TYPE, exposition
from apps.portal.access import viewer_of
from apps.portal.selectors import utilities_overseen

# What a proxy adds: behind one on the same machine everybody comes from there.
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REAL_IP", "HTTP_VIA")


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """All ledgers for whoever asks on this machine itself; for people, those of the utilities they look after."""
    ledgers = list(settings.LEDGERS) if _is_local(request) else _overseen(request)
    if not ledgers:
        raise PermissionDenied("not from this machine, and looks after no ledger")
    return HttpResponse(exposition(ledgers), content_type=CONTENT_TYPE)


def _is_local(request: HttpRequest) -> bool:
    if any(name in request.META for name in _FORWARDED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        # A Unix socket has no address, and a proxy in front of it.
        return False


def _overseen(request: HttpRequest) -> list[str]:
    return sorted({utility.ledger for utility in utilities_overseen(viewer_of(request))})
