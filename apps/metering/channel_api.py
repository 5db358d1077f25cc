"""Where boxes fetch instructions and post what they did. Their signature is the credential; there is no session.

GET  /api/v1/box-channel?wait=25   Authorization: Box <base64url of the poll's encoding and its signature>
POST /api/v1/box-channel           {"answer": {...}, "signature": "...", "body": "..."}
"""

from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.metering.api import StrictJSON
from apps.metering.doorbell import NoRoom
from apps.metering.exceptions import InputRefused
from apps.metering.problems import problem_of
from apps.metering.services.channel import ClockRefused, accept_answer, take_poll, wait_for_instructions
from apps.web.problems import FieldError, ProblemError
from apps.web.schema import BYTES, INTEGER, a_list, an_object, problems
from evidence.abi import WORD
from evidence.box_forms import Signed, read_signed
from evidence.boxes import ChannelPoll, InstructionAnswer
from evidence.canonical import decode_bytes

SCHEME = "Box"
LONGEST_WAIT = 25  # seconds
ASK_AGAIN = 15  # seconds, where too many wait
CLOCK = "Box-Clock"
_POLL_BYTES = 4 * WORD
_SIGNED: dict[str, Any] = {"signature": BYTES, "body": BYTES}
_INSTRUCTION = an_object(
    device=BYTES, issuer=BYTES, sequence=INTEGER, kind=INTEGER, since=INTEGER, until=INTEGER, body=BYTES
)
_ANSWER = an_object(device=BYTES, key=BYTES, sequence=INTEGER, instruction=BYTES, state=INTEGER, at=INTEGER, body=BYTES)
_INSTRUCTIONS = an_object(instructions=a_list(an_object(instruction=_INSTRUCTION, **_SIGNED)))
_STORED = an_object(sequence=INTEGER, status={"type": "string", "enum": ["stored", "known"]})


class BoxChannel(APIView):
    """GET waits for instructions: 200 with one or more, 204 with none. POST takes an answer: `stored` or `known`."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSON,)

    @extend_schema(
        operation_id="poll_box_channel",
        parameters=[OpenApiParameter("wait", int, description="seconds, at most 25")],
        responses={(200, "application/json"): _INSTRUCTIONS, 204: None, **problems(400, 403, 409)},
    )
    def get(self, request: Request) -> Response:
        poll, signature = _credentials(request)
        wait = _seconds(request.query_params.get("wait", "0"))
        try:
            device = take_poll(poll, signature)
        except ClockRefused as refused:
            raise problem_of(refused, {CLOCK: str(refused.acceptable)}) from None
        except InputRefused as refused:
            raise problem_of(refused) from None
        try:
            found = wait_for_instructions(device, poll.sequence, wait, settings.BOXES_WAITING)
        except NoRoom:
            return Response(status=HTTPStatus.NO_CONTENT, headers={"Retry-After": str(ASK_AGAIN)})
        if not found:
            return Response(status=HTTPStatus.NO_CONTENT)
        said = [Signed(each.said, bytes(each.signature), bytes(each.body)) for each in found]
        return Response({"instructions": [each.as_json("instruction") for each in said]})

    @extend_schema(
        operation_id="post_box_answer",
        request={"application/json": an_object(answer=_ANSWER, **_SIGNED)},
        responses={(200, "application/json"): _STORED, **problems(400, 403, 404, 409, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        try:
            answer = read_signed(InstructionAnswer, "answer", request.data)
        except ValueError as error:
            raise _refuse("", "format", str(error)[:200]) from None
        try:
            is_new = accept_answer(answer)
        except InputRefused as refused:
            raise problem_of(refused) from None
        return Response({"sequence": str(answer.said.sequence), "status": "stored" if is_new else "known"})


def _credentials(request: Request) -> tuple[ChannelPoll, bytes]:
    scheme, _space, value = request.headers.get("Authorization", "").partition(" ")
    if scheme != SCHEME:
        message = _("A signed poll is expected in the Authorization header.")
        raise ProblemError(HTTPStatus.FORBIDDEN, message, errors=[FieldError("poll", "missing", message)])
    try:
        content = decode_bytes(value)
        return ChannelPoll.decode(content[:_POLL_BYTES]), content[_POLL_BYTES:]
    except ValueError as error:
        raise _refuse("poll", "format", str(error)[:200]) from None


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 4:
        raise _refuse("wait", "format", _("A whole number is expected."))
    return min(int(text), LONGEST_WAIT)


def _refuse(field: str, rule: str, message: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError(field, rule, message)])
