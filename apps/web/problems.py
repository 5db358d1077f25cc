"""Errors of the API as problem documents (RFC 9457)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

CONTENT_TYPE = "application/problem+json"
BLANK = "about:blank"


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong: `field` is a dotted path into the input ("readings.3.energy"), "" for the whole."""

    field: str
    rule: str
    message: str


class ProblemError(Exception):
    """Raised by anything behind an API view; becomes the problem document of the response.

    `type` is a URI that names the kind of problem, or "about:blank" when the status says it all. `headers` go with the
    response.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        type: str = BLANK,
        title: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.type = type
        self.title = title or status.phrase
        self.headers = dict(headers or {})


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Exception handler of the REST framework; None (so a logged 500) for what nobody foresaw."""
    if isinstance(error, ProblemError):
        return _response(error)
    standard = exception_handler(error, context)
    if standard is None:
        return None
    api_error = _as_api_error(error)
    status = HTTPStatus(api_error.status_code)
    errors = tuple(_flatten(api_error.get_full_details()))
    detail = errors[0].message if len(errors) == 1 else str(api_error.default_detail)
    response = _response(ProblemError(status, detail, errors=errors))
    for name, value in standard.headers.items():
        if name.lower() in {"www-authenticate", "retry-after"}:
            response[name] = value
    return response


def _as_api_error(error: Exception) -> exceptions.APIException:
    """Django's own two exceptions in the framework's words."""
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    assert isinstance(error, exceptions.APIException)  # noqa: S101 the framework answers no other kind
    return error


def _flatten(details: Any, path: str = "") -> Iterator[FieldError]:
    """Walk the framework's nested {field: [{message, code}]} into one list."""
    if isinstance(details, dict) and set(details) == {"message", "code"} and isinstance(details["message"], str):
        yield FieldError(path, str(details["code"]), str(details["message"]))
        return
    if isinstance(details, dict):
        for name, nested in details.items():
            # Errors of a whole object stand under this name.
            yield from _flatten(nested, path if name == "non_field_errors" else _join(path, str(name)))
        return
    for index, nested in enumerate(details):
        leaf = isinstance(nested, dict) and set(nested) == {"message", "code"}
        yield from _flatten(nested, path if leaf else _join(path, str(index)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _response(problem: ProblemError) -> Response:
    body = {
        "type": problem.type,
        "title": problem.title,
        "status": int(problem.status),
        "detail": problem.detail,
        "errors": [asdict(error) for error in problem.errors],
    }
    return Response(body, status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE)
