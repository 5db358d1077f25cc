"""Where the utility's staff tell devices what to do, and ask what became of it."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.models import User
from apps.accounts.permissions import Action, Viewer
from apps.metering.api import StrictJSON
from apps.metering.choices import InstructionKind, InstructionState
from apps.metering.models import Device, Instruction
from apps.metering.services.instructions import DEFAULT_SECONDS, instruct
from apps.web.problems import FieldError, ProblemError
from apps.web.schema import BYTES, INTEGER, TEXT, a_list, an_object, problems
from evidence import boxes
from evidence.canonical import CanonicalError, decode_bytes, decode_int, encode_bytes, encode_int

PAGE = 100
LONGEST_SECONDS = 90 * 24 * 3600
_KIND = {"type": "string", "enum": InstructionKind.names}
_CONTENT = {"type": "object", "additionalProperties": True}
_SENT = an_object(("seconds",), device=BYTES, kind=_KIND, body=_CONTENT, seconds=INTEGER)
_FATE = an_object(
    ("answer", "answered_at", "received_at"),
    device=BYTES,
    sequence=INTEGER,
    kind=_KIND,
    until={**INTEGER, "description": "UTC seconds; it is not begun from then on"},
    state={"type": "string", "enum": [*InstructionState.names, "EXPIRED"]},
    received_at=TEXT,
    answered_at=TEXT,
    answer={**TEXT, "description": "the JSON that the device answered, as it signed it"},
)
_DEVICE = OpenApiParameter("device", str, description="the device's id, base64url")


class Instructions(APIView):
    """GET the newest instructions to a device; POST another one. For those who may manage its metering."""

    parser_classes = (StrictJSON,)

    @extend_schema(
        operation_id="list_instructions",
        parameters=[_DEVICE],
        responses={(200, "application/json"): an_object(instructions=a_list(_FATE)), **problems(400, 403)},
    )
    def get(self, request: Request) -> Response:
        device = _device(request, request.query_params.get("device", ""))
        found = device.instructions.order_by("-sequence").select_related("device")[:PAGE]
        return Response({"instructions": [_fate(each) for each in found]})

    @extend_schema(
        operation_id="give_instruction",
        request={"application/json": _SENT},
        responses={(201, "application/json"): _FATE, **problems(400, 403, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        content = request.data
        if not isinstance(content, dict) or not {"device", "kind", "body"} <= content.keys() <= set(
            _SENT["properties"]
        ):
            raise _refuse("", "members", _("A device, a kind and a body are expected."))
        device = _device(request, content["device"])
        if content["kind"] not in InstructionKind.names:
            raise _refuse("kind", "unknown_kind", _("There is no such kind of instruction."))
        if not isinstance(content["body"], dict):
            raise _refuse("body", "format", _("A JSON object is expected."))
        seconds = _seconds(content.get("seconds", encode_int(DEFAULT_SECONDS)))
        assert isinstance(request.user, User)  # noqa: S101 nobody else manages anything
        given = instruct(
            device,
            boxes.InstructionKind[content["kind"]],
            content["body"],
            until=int(timezone.now().timestamp()) + seconds,
            by=request.user,
        )
        return Response(_fate(given), status=HTTPStatus.CREATED)


def _device(request: Request, value: object) -> Device:
    """Somebody else's device is refused like one that nobody has."""
    try:
        ledger_id = decode_bytes(value)
    except CanonicalError as error:
        raise _refuse("device", "format", str(error)[:200]) from None
    device = Device.objects.select_related("area__utility").filter(ledger_id=ledger_id).first()
    if device is None:
        raise PermissionDenied(f"person {request.user.pk} may not instruct this device")
    Viewer(request.user).require(Action.MANAGE_METERING, device)
    return device


def _seconds(value: object) -> int:
    try:
        seconds = decode_int(value)
    except CanonicalError as error:
        raise _refuse("seconds", "format", str(error)[:200]) from None
    if not 0 < seconds <= LONGEST_SECONDS:
        raise _refuse("seconds", "range", _("From a second to ninety days."))
    return seconds


def _fate(instruction: Instruction) -> dict[str, Any]:
    state = "EXPIRED" if instruction.is_expired else InstructionState(instruction.state).name
    times = {"received_at": instruction.received_at, "answered_at": instruction.answered_at}
    return {
        "device": encode_bytes(bytes(instruction.device.ledger_id)),
        "sequence": encode_int(instruction.sequence),
        "kind": InstructionKind(instruction.kind).name,
        "until": encode_int(instruction.until),
        "state": state,
        **{name: at.isoformat() for name, at in times.items() if at is not None},
        **({"answer": bytes(instruction.answer).decode()} if instruction.answer is not None else {}),
    }


def _refuse(field: str, rule: str, message: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError(field, rule, message)])
