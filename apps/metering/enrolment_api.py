"""Where a box asks to be enrolled. That it knows the code and holds the key are its credentials; there is no session.

POST /api/v1/enrolments {"enrolment": {...}, "signature": "...", "body": "...", "mac": "..."}
"""

from http import HTTPStatus
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from apps.metering.api import StrictJSON
from apps.metering.exceptions import InputRefused
from apps.metering.problems import problem_of
from apps.metering.services.knocks import knock
from apps.web.problems import FieldError, ProblemError
from apps.web.schema import BYTES, INTEGER, an_object, problems
from evidence.box_forms import Signed, members, read_signed
from evidence.boxes import Enrolment
from evidence.canonical import decode_bytes, encode_bytes

_ASKED = an_object(
    enrolment=an_object(code=BYTES, algorithm=INTEGER, x=BYTES, y=BYTES, body=BYTES),
    signature=BYTES,
    body=BYTES,
    mac=BYTES,
)
_TOLD = an_object(answer=an_object(code=BYTES, request=BYTES, body=BYTES), mac=BYTES, body=BYTES)


class EnrolmentThrottle(AnonRateThrottle):
    """Several boxes behind one address may wait for their installer at the same time."""

    scope = "enrolments"
    rate = "240/min"


class Enrolments(APIView):
    """POST what a box found: 202 while its installer has something to do, 200 with its configuration after that."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSON,)
    throttle_classes = (EnrolmentThrottle,)

    @extend_schema(
        operation_id="post_enrolment",
        request={"application/json": _ASKED},
        responses={
            (200, "application/json"): _TOLD,
            (202, "application/json"): _TOLD,
            **problems(400, 403, 409, 413, 415, 422, 429),
        },
    )
    def post(self, request: Request) -> Response:
        asked, proof = _asked(request.data)
        try:
            reply = knock(asked, proof)
        except InputRefused as refused:
            raise problem_of(refused) from None
        told = {"answer": members(reply.answer), "mac": encode_bytes(reply.mac), "body": encode_bytes(reply.body)}
        return Response(told, status=HTTPStatus.OK if reply.is_done else HTTPStatus.ACCEPTED)


def _asked(content: Any) -> tuple[Signed[Enrolment], bytes]:
    if not isinstance(content, dict) or "mac" not in content:
        message = _("An object with exactly these members is expected: %(names)s.") % {
            "names": "enrolment, signature, body, mac"
        }
        raise ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError("", "members", message)])
    try:
        signed = {name: value for name, value in content.items() if name != "mac"}
        return read_signed(Enrolment, "enrolment", signed), decode_bytes(content["mac"])
    except ValueError as error:
        message = str(error)[:200]
        raise ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError("", "format", message)]) from None
