"""Whether this process is alive, and whether it can do its work.

Apps register their checks in ``ready()``. A check gives a Finding and does not raise for what it expects to go wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = structlog.get_logger(__name__)


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # slower or later than it should be, nothing is lost
    FAILED = "failed"  # no requests should be sent here


@dataclass(frozen=True)
class Finding:
    state: State
    detail: str = ""


Check = Callable[[], Finding]

_checks: dict[str, Check] = {}


def register(name: str, check: Check) -> None:
    """Add a check to /readyz. ValueError when the name is taken."""
    if name in _checks:
        raise ValueError(f"There is already a readiness check named {name}.")
    _checks[name] = check


def unregister(name: str) -> None:
    del _checks[name]


def check_database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.warning("database_not_ready", error=str(error))
        return Finding(State.FAILED, "The database does not answer.")
    return Finding(State.OK)


def check_broker() -> Finding:
    """The broker only wakes workers up; without it they find their work by the periodic sweep."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1) as client:
            client.ping()
    except redis.RedisError as error:
        logger.warning("broker_not_ready", error=str(error))
        return Finding(State.DEGRADED, "The broker does not answer.")
    return Finding(State.OK)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers; asks nothing else."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """A list of {name, state, detail}; 503 when one of them failed."""
    findings = {name: check() for name, check in _checks.items()}
    failed = any(finding.state is State.FAILED for finding in findings.values())
    body = [{"name": name, "state": found.state, "detail": found.detail} for name, found in findings.items()]
    return JsonResponse(body, safe=False, status=503 if failed else 200)
