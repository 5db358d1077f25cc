from http import HTTPStatus
from typing import Any

import pytest
from django.http import Http404
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from apps.web.problems import FieldError, ProblemError


class Reading(serializers.Serializer[Any]):
    energy = serializers.IntegerField(min_value=0)


class Batch(serializers.Serializer[Any]):
    device = serializers.CharField()
    readings = Reading(many=True)


def ask(error: Exception | None, body: Any = None) -> tuple[Response, Any]:
    """Post `body` to a view that raises `error`, or checks the body as a Batch."""

    class View(APIView):
        permission_classes = ()
        authentication_classes = ()

        def post(self, request: Request) -> Response:
            if error:
                raise error
            Batch(data=request.data).is_valid(raise_exception=True)
            return Response({})

    content = body if isinstance(body, str) else None
    factory = APIRequestFactory()
    if content is not None:
        request = factory.generic("POST", "/", content, content_type="application/json")
    else:
        request = factory.post("/", body or {}, format="json")
    response = View.as_view()(request)
    assert isinstance(response, Response)
    response.render()
    assert response.headers["Content-Type"] == "application/problem+json" or response.status_code == 200
    return response, response.data


def test_every_wrong_field_is_named() -> None:
    response, body = ask(None, {"readings": [{"energy": 1}, {"energy": -1}]})
    assert response.status_code == body["status"] == 400
    assert body["type"] == "about:blank"
    assert body["title"] == "Bad Request"
    named = {(error["field"], error["rule"]) for error in body["errors"]}
    assert named == {("device", "required"), ("readings.1.energy", "min_value")}


def test_broken_json() -> None:
    response, body = ask(None, "{")
    assert response.status_code == 400
    assert [(error["field"], error["rule"]) for error in body["errors"]] == [("", "parse_error")]


@pytest.mark.parametrize(
    ("error", "status", "rule"),
    [
        (Http404(), 404, "not_found"),
        (exceptions.PermissionDenied(), 403, "permission_denied"),
        (exceptions.Throttled(wait=7), 429, "throttled"),
    ],
)
def test_exceptions_of_the_framework(error: Exception, status: int, rule: str) -> None:
    response, body = ask(error)
    assert response.status_code == status
    assert body["errors"][0]["rule"] == rule


def test_waiting_time_is_kept() -> None:
    response, _ = ask(exceptions.Throttled(wait=7))
    assert response.headers["Retry-After"] == "7"


def test_problem_of_our_own() -> None:
    error = ProblemError(
        HTTPStatus.CONFLICT,
        "Sequence 4 was seen with other content.",
        errors=[FieldError("sequence", "repeated", "Seen with other content.")],
        type="urn:energymarket:problem:sequence",
    )
    response, body = ask(error)
    assert response.status_code == 409
    assert body == {
        "type": "urn:energymarket:problem:sequence",
        "title": "Conflict",
        "status": 409,
        "detail": "Sequence 4 was seen with other content.",
        "errors": [{"field": "sequence", "rule": "repeated", "message": "Seen with other content."}],
    }


def test_what_nobody_foresaw_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(ZeroDivisionError())
