"""Where boxes hand in what they signed for the ledger, if they do not send it there themselves.

The signature is the credential: the contract is asked before anything is queued, so that nobody can fill the outbox.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import structlog
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.ledger.choices import CommandState
from apps.ledger.exceptions import Declined, Refused
from apps.ledger.messages import reason
from apps.ledger.models import Command
from apps.ledger.services.submit import submit
from apps.metering.api import StrictJSON
from apps.metering.models import Device
from apps.web.problems import CONTENT_TYPE, FieldError, ProblemError
from evidence import commands
from evidence.canonical import CanonicalError, decode_bytes, encode_bytes, encode_int
from evidence.commands import CommandError, Fields
from evidence.commands.kinds import ReportDailyEnergy, RotateDeviceKey
from ledger_adapters.exceptions import LedgerError

Post = TypeVar("Post", bound=Callable[..., Response])

logger = structlog.get_logger(__name__)

_SENT = {
    "type": "object",
    "properties": {"envelope": {"type": "string", "description": "a command's envelope, unpadded base64url"}},
    "required": ["envelope"],
    "additionalProperties": False,
}
_STANDING = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "state": {"type": "string", "enum": CommandState.values},
        "code": {"type": "string", "nullable": True, "description": "the contract's, once the ledger has answered"},
    },
    "required": ["id", "state", "code"],
}


class Relay(APIView):
    """Takes commands of one kind, given with its words for whoever sends another."""

    kind: ClassVar[type[Fields]]
    others: ClassVar[str | Promise]

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSON,)

    def take(self, body: Any) -> Response:
        """Sent again, the answer says what has become of it."""
        command = _command(body, self.kind, self.others)
        device = _device(command)
        try:
            submit(command, device.owner.ledger)
        except Refused as error:
            message = reason(error.code)
            errors = [FieldError("envelope", error.code.name.lower(), message)]
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=errors) from error
        except LedgerError as error:
            logger.warning("ledger_away", ledger=device.owner.ledger, error=str(error))
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, _("The ledger does not answer.")) from error
        except Declined as error:
            errors = [FieldError("envelope", "declined", str(error))]
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), errors=errors) from error
        return Response(_standing(command.id), status=HTTPStatus.ACCEPTED)


def _schema(operation_id: str) -> Callable[[Post], Post]:
    schema: Callable[[Post], Post] = extend_schema(
        operation_id=operation_id,
        request={"application/json": _SENT},
        responses={
            (202, "application/json"): _STANDING,
            **{(status, CONTENT_TYPE): {"type": "object"} for status in (400, 404, 413, 415, 422, 503)},
        },
    )
    return schema


class DailyReports(Relay):
    """POST a total of a day that a device has signed."""

    kind = ReportDailyEnergy
    others = _lazy("Only totals of days are taken here.")

    @_schema("post_daily_report")
    def post(self, request: Request) -> Response:
        return self.take(request.data)


class KeyRotations(Relay):
    """POST the next key of a device, signed with the one before."""

    kind = RotateDeviceKey
    others = _lazy("Only rotations of devices' keys are taken here.")

    @_schema("post_key_rotation")
    def post(self, request: Request) -> Response:
        return self.take(request.data)


def _command(body: Any, kind: type[Fields], others: str | Promise) -> commands.Command:
    if not isinstance(body, dict) or set(body) != {"envelope"}:
        raise _bad(_("An object with exactly these members is expected: envelope."))
    try:
        command = commands.Command.from_bytes(decode_bytes(body["envelope"]))
    except (CanonicalError, CommandError) as error:
        raise _bad(str(error)[:200]) from None
    if not isinstance(command.fields, kind):
        raise _bad(str(others))
    return command


def _bad(message: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError("envelope", "format", message)])


def _device(command: commands.Command) -> Device:
    found = Device.objects.select_related("owner").filter(ledger_id=command.fields.device)  # type: ignore[attr-defined]
    device = found.first()
    if device is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, _("No such device is known here."))
    return device


def _standing(command_id: bytes) -> dict[str, Any]:
    command = Command.objects.get(command_id=command_id)
    is_over = command.state in (CommandState.CONFIRMED, CommandState.REJECTED)
    code = encode_int(command.code) if is_over and command.code is not None else None
    return {"id": encode_bytes(command_id), "state": command.state, "code": code}
