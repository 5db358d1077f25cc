"""Refused input as the API says it."""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from apps.metering.exceptions import InputRefused
from apps.web.problems import FieldError, ProblemError


def _as_it_stands(field: str) -> str:
    return field


def problem_of(
    refused: InputRefused, headers: Mapping[str, str] | None = None, place: Callable[[str], str] = _as_it_stands
) -> ProblemError:
    """`place` says where in the body a field stands."""
    errors = [FieldError(place(each.field), each.rule, each.message) for each in refused.violations]
    return ProblemError(HTTPStatus(refused.status), errors[0].message, errors=errors, headers=headers)
