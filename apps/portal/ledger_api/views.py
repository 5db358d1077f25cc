"""Send a command, ask what became of it, read the state, hear the events, take a proof."""

import inspect
import secrets
from functools import cached_property
from http import HTTPStatus
from typing import Any, NoReturn

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from apps.accounts.permissions import Viewer
from apps.ledger import catalogue
from apps.ledger.catalogue import MemberError, Table, command_members, kind_name, members_of, shape_of
from apps.ledger.exceptions import Declined, NotTaken, Refused
from apps.ledger.intake import reason_against
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.messages import reason
from apps.ledger.models import Command, Event
from apps.ledger.services.proofs import proof_of
from apps.ledger.services.status import standing_of
from apps.ledger.services.submit import submit
from apps.ledger.typed_data import typed_data
from apps.metering.api import StrictJSON
from apps.portal.access import viewer_of
from apps.portal.ledger_api import access, schema
from apps.web.problems import FieldError, ProblemError
from evidence import commands, eip712
from evidence.canonical import CanonicalError, decode_bytes, decode_int, encode_bytes, encode_int
from evidence.commands import KINDS, CommandError, Fields
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.contract import Code
from ledger_adapters.exceptions import LedgerError

logger = structlog.get_logger(__name__)

PAGE = 100


class HeavyReads(UserRateThrottle):
    """For what asks the ledger itself, or reads much."""

    scope = "ledger"
    rate = "120/min"


class LedgerView(APIView):
    parser_classes = (StrictJSON,)

    @cached_property
    def viewer(self) -> Viewer:
        return viewer_of(self.request._request)

    @cached_property
    def alias(self) -> str:
        named: str = self.request.query_params.get("ledger", DEFAULT)
        if named not in settings.LEDGERS:
            raise Http404("no such ledger")
        return named

    @property
    def adapter(self) -> LedgerAdapter:
        return get_ledger(self.alias)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, LedgerError):
            logger.warning("ledger_away", ledger=self.alias, error=str(exc))
            exc = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, _("The ledger does not answer."))
        elif isinstance(exc, MemberError):
            exc = _refused(HTTPStatus.BAD_REQUEST, exc.member, "format", str(exc))
        return super().handle_exception(exc)


class Commands(LedgerView):
    """Send a command that is signed by those whose it is, or, for the operator's kinds, as the utility's staff.

    A command is known by its id: sent again, it gets the same answer and nothing more happens. One that the ledger
    rejected later stays rejected; it is asked anew with another nonce. What it stands for is stored with it, as when
    it is asked for on the pages: an offer, a purchase with what is due for it. Rules of the contract that it breaks are
    named as the ledger would name them; `declined` is a rule of this installation. Kinds that only its own services can
    make, such as invoices, are `not_taken`; /ledger/kinds says why.
    """

    @extend_schema(
        operation_id="send_ledger_command",
        parameters=[schema.LEDGER],
        request={"application/json": schema.SENT},
        responses=schema.answers(202, schema.ACCEPTED, 400, 403, 404, 415, 422),
    )
    def post(self, request: Request) -> Response:
        command = self._read(request.data)
        access.require_sender(self.viewer, command.fields, self.alias)
        try:
            submit(command, self.alias)
        except NotTaken as error:
            raise _refused(HTTPStatus.UNPROCESSABLE_ENTITY, "kind", "not_taken", str(error)) from error
        except Declined as error:
            raise _refused(HTTPStatus.UNPROCESSABLE_ENTITY, "", "declined", str(error)) from error
        except Refused as error:
            code = error.code
            raise _refused(HTTPStatus.UNPROCESSABLE_ENTITY, "", code.name, reason(code)) from error
        name = encode_bytes(command.id)
        outcome = reverse("ledger-command", args=[name], request=request)
        accepted = {"id": name, "outcome": outcome}
        return Response(accepted, status=HTTPStatus.ACCEPTED, headers={"Location": outcome})

    def _read(self, body: Any) -> commands.Command:
        members = _an_object(body)
        if set(members) == {"envelope"}:
            return catalogue.read_envelope(members["envelope"])
        return catalogue.read_command(self.adapter.genesis().market, members)


class Outcome(LedgerView):
    """Where a command stands: queued, sent, and once the ledger has answered confirmed or rejected, with the code."""

    @extend_schema(operation_id="ledger_command_outcome", responses=schema.answers(200, schema.STANDING, 403, 404))
    def get(self, request: Request, command_id: str) -> Response:
        command = _visible_command(self.viewer, command_id)
        stands = standing_of(command)
        answer = {
            "id": command_id,
            "kind": kind_name(command.kind),
            "ledger": command.stream.ledger,
            "state": stands.state,
        }
        if stands.entry is not None and stands.time is not None and command.code is not None:
            answer |= {"entry": encode_int(stands.entry), "time": encode_int(stands.time)}
            answer |= {"code": encode_int(command.code), "rule": Code(command.code).name}
        if stands.reason:
            answer["reason"] = stands.reason
        return Response(answer)


class Kinds(LedgerView):
    """All kinds of commands with their fields, all outcomes, and all tables of the state.

    `reason` says why commands of a kind that is not `taken` come from this installation alone.
    """

    @extend_schema(operation_id="ledger_kinds", responses=schema.answers(200, schema.KINDS, 403))
    def get(self, request: Request) -> Response:
        kinds = [_kind(kind) for kind in KINDS.values()]
        return Response({"kinds": kinds, "codes": catalogue.codes(), "tables": [_table(t) for t in _TABLES.values()]})


class TypedData(LedgerView):
    """A command as the typed data that a wallet signs (EIP-712). Nothing is sent; without a nonce one is chosen."""

    @extend_schema(
        operation_id="ledger_typed_data",
        parameters=[schema.LEDGER],
        request={"application/json": schema.UNSIGNED},
        responses=schema.answers(200, schema.TYPED_DATA, 400, 403, 404, 415),
    )
    def post(self, request: Request) -> Response:
        members = _an_object(request.data)
        if "signatures" in members:
            raise MemberError("signatures", "Typed data are made before they are signed.")
        adapter = self.adapter
        command = catalogue.read_command(adapter.genesis().market, members, secrets.token_bytes(32))
        domain = adapter.wallet_domain()
        answer = {
            "id": encode_bytes(command.id),
            "command": command_members(command),
            "typed_data": typed_data(domain, command),
            "digest": encode_bytes(commands.wallet_digest(domain, command)),
        }
        return Response(answer)


class State(LedgerView):
    """A record of the ledger's state, as it is there: read by its table and the ids that name it."""

    throttle_classes = (HeavyReads,)

    @extend_schema(
        operation_id="ledger_state",
        parameters=[schema.LEDGER],
        responses=schema.answers(200, schema.RECORD, 403, 404),
    )
    def get(self, request: Request, table: str, ids: str) -> Response:
        found = _TABLES.get(table)
        if found is None:
            raise Http404("no such table")
        parts = tuple(_id(part) for part in ids.split("/"))
        key = found.key(parts)
        value = self.adapter.read([key])[key]
        if value is None:
            raise Http404("no such record")
        record = found.record.decode(value)
        if not access.may_read_record(self.viewer, self.alias, found, parts, record):
            raise Http404("no such record")
        return Response(
            {"table": table, "key": encode_bytes(key), "value": encode_bytes(value), "record": members_of(record)}
        )


class Events(LedgerView):
    """Final outcomes in their order, for those who look after the ledger; `next` leads on while there are more."""

    throttle_classes = (HeavyReads,)

    @extend_schema(
        operation_id="ledger_events",
        parameters=[schema.LEDGER, schema.AFTER],
        responses=schema.answers(200, schema.EVENTS, 400, 403, 404),
    )
    def get(self, request: Request) -> Response:
        if not access.oversees(self.viewer, self.alias):
            raise PermissionDenied(f"person {self.viewer.user.pk} does not look after ledger {self.alias}")
        rows = Event.objects.filter(ledger=self.alias, position__gt=self._after()).order_by("position")
        found = list(rows[: PAGE + 1])
        answer: dict[str, Any] = {"events": [_event(event) for event in found[:PAGE]]}
        if len(found) > PAGE:
            query = request.query_params.copy()
            query["after"] = encode_int(found[PAGE - 1].position)
            answer["next"] = request.build_absolute_uri(f"?{query.urlencode()}")
        return Response(answer)

    def _after(self) -> int:
        text = self.request.query_params.get("after")
        if text is None:
            return -1
        try:
            position = decode_int(text)
        except CanonicalError as error:
            raise MemberError("after", str(error)[:200]) from None
        if not -1 <= position < 1 << 63:
            raise MemberError("after", "A position is a number below 2^63.")
        return position


class Proof(LedgerView):
    """Proof that a command was applied, in the form of the section `ledger` of an evidence bundle.

    It is checked against the trust anchors of the ledger, which have to come by another way.
    """

    throttle_classes = (HeavyReads,)

    @extend_schema(operation_id="ledger_proof", responses=schema.answers(200, schema.PROOF, 403, 404, 409))
    def get(self, request: Request, command_id: str) -> Response:
        command = _visible_command(self.viewer, command_id)
        if command.code != Code.APPLIED:
            message = _("The ledger has not applied this command.")
            raise _refused(HTTPStatus.CONFLICT, "", "not_applied", message)
        return Response(proof_of([bytes(command.command_id)], command.stream.ledger))


# The genesis record has no ids, and everybody gets what it says with the trust anchors.
_TABLES = {name: table for name, table in catalogue.TABLES.items() if table.ids}


def _refused(status: HTTPStatus, field: str, rule: str, message: str) -> ProblemError:
    return ProblemError(status, message, errors=[FieldError(field, rule, message)])


def _an_object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise MemberError("", "An object is expected.")
    return body


def _missing() -> NoReturn:
    raise Http404("no such record")


def _id(text: str) -> bytes | int:
    """Part of an address: numbers have at most 20 digits, ids always 43 characters."""
    if len(text) > 20:
        return _bytes(text)
    try:
        number = decode_int(text)
    except CanonicalError:
        _missing()
    return number if 0 <= number < 1 << 64 else _missing()


def _bytes(text: str) -> bytes:
    try:
        content = decode_bytes(text)
    except CanonicalError:
        _missing()
    return content if len(content) == 32 else _missing()


def _visible_command(viewer: Viewer, command_id: str) -> Command:
    """A command of the outbox; 404 for one that the viewer may not see."""
    found = Command.objects.select_related("stream").filter(command_id=_bytes(command_id)).first()
    if found is None:
        _missing()
    fields = commands.Command.from_bytes(bytes(found.envelope)).fields
    return found if access.may_read_command(viewer, found, fields) else _missing()


def _event(event: Event) -> dict[str, Any]:
    envelope = bytes(event.envelope)
    shown: dict[str, Any] = {
        "position": encode_int(event.position),
        "id": encode_bytes(bytes(event.command_id)),
        "kind": kind_name(event.kind),
        "code": encode_int(event.code),
        "rule": Code(event.code).name,
        "time": encode_int(event.time),
        "transaction": encode_bytes(bytes(event.transaction_id)),
        "envelope": encode_bytes(envelope),
    }
    try:
        shown["command"] = command_members(commands.Command.from_bytes(envelope))
    except CommandError:
        # Somebody else may have sent such bytes to the ledger, which recorded that it refused them.
        pass
    return shown


def _kind(kind: type[Fields]) -> dict[str, Any]:
    reason = reason_against(kind)
    return {
        "kind": encode_int(kind.KIND),
        "name": kind.__name__,
        "description": _description(kind),
        "fields": shape_of(kind),
        "signed_by": list(catalogue.SIGNED_BY.get(kind, ())),
        "needs_operator": catalogue.needs_operator(kind),
        "taken": not reason,
        **({"reason": reason} if reason else {}),
        "eip712": eip712.encode_type(kind),
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "number": encode_int(table.record.TABLE),
        "description": _description(table.record),
        "ids": list(table.ids),
        "fields": shape_of(table.record),
    }


def _description(record: type) -> str:
    """What is written about a record; a dataclass without a docstring gets one that only repeats its signature."""
    text = inspect.getdoc(record) or ""
    return "" if text.startswith(f"{record.__name__}(") else " ".join(text.split())
