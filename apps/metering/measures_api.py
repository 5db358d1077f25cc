"""Where measure documents are posted, by a box that signs them or by a program of the utility.

POST /api/v1/measures   Authorization: Box <base64url of the document's encoding and its signature>
                        Authorization: Bearer em_...
"""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api_clients import ApiClientAuthentication
from apps.accounts.models import ApiClient
from apps.metering.api import MOST_BYTES, strict_json
from apps.metering.bytes import Bytes
from apps.metering.exceptions import InputRefused
from apps.metering.problems import problem_of
from apps.metering.services.measures import Taken, sender_of, take_from_client, take_from_device
from apps.web.problems import FieldError, ProblemError
from apps.web.schema import TEXT, a_list, an_object, problems
from evidence import boxes
from evidence.abi import WORD
from evidence.canonical import decode_bytes

SCHEME = "Box"
_SAID_BYTES = 3 * WORD
_MEASURE = an_object(
    ("value", "date", "period"),
    name=TEXT,
    description=TEXT,
    unity={"type": "string", "enum": ["kWh", "kvarh"]},
    pos={"type": "integer", "description": "from 13 on, at the connection to the grid"},
    visibility={"type": "string", "enum": ["visible", "disabled"]},
    value={**TEXT, "description": "a decimal number"},
    date={"type": "string", "format": "date-time"},
    period={"type": "integer", "description": "seconds; without it, the value is what a counter showed"},
)
_BODY = an_object(id=TEXT, device_name=TEXT, measures=a_list(_MEASURE))
_ANSWER = an_object(
    status={"type": "string", "enum": ["described", "stored", "known"]},
    stored={"type": "integer"},
    identical={"type": "integer"},
    gaps={"type": "integer"},
)


class Body(Bytes):
    """The document as it came: what is signed is its bytes."""

    media_type = "application/json"
    most = MOST_BYTES


class Measures(APIView):
    """POST a document. 200 with what became of it; otherwise a problem document, and none of its readings is stored."""

    authentication_classes = (ApiClientAuthentication,)
    permission_classes = ()
    parser_classes = (Body,)

    @extend_schema(
        operation_id="post_measures",
        request={"application/json": _BODY},
        responses={(200, "application/json"): _ANSWER, **problems(400, 401, 403, 409, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        try:
            taken = _take(request)
        except InputRefused as refused:
            raise problem_of(refused) from None
        return Response(
            {"status": taken.status, "stored": taken.stored, "identical": taken.identical, "gaps": taken.gaps}
        )


def _take(request: Request) -> Taken:
    """Whoever sends is known before anything is read of what they send."""
    if isinstance(request.auth, ApiClient):
        return take_from_client(request.auth, _body(request), strict_json(_body(request)))
    scheme, _space, value = request.headers.get("Authorization", "").partition(" ")
    if scheme != SCHEME:
        raise NotAuthenticated
    try:
        content = decode_bytes(value)
        said = boxes.Document.decode(content[:_SAID_BYTES])
    except ValueError as error:
        message = str(error)[:200]
        errors = [FieldError("document", "format", message)]
        raise ProblemError(HTTPStatus.BAD_REQUEST, message, errors=errors) from None
    body = _body(request)
    device = sender_of(said, content[_SAID_BYTES:], body)
    return take_from_device(device, body, strict_json(body))


def _body(request: Request) -> bytes:
    body: Any = request.data
    return bytes(body)
