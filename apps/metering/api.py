"""Where meter agents post what they signed. The signature is the credential; there is no session."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import IO, Any, NoReturn

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.metering.exceptions import InputRefused
from apps.metering.problems import problem_of
from apps.metering.services.batches import MOST_READINGS, accept_batch
from apps.web.problems import CONTENT_TYPE, FieldError, ProblemError
from evidence.abi import EncodingError
from evidence.canonical import CanonicalError, check_depth, decode_bytes, decode_int
from evidence.readings import LeafId, LeafValue, Reading, Statement

_STATEMENT = {
    "device": decode_bytes,
    "key": decode_bytes,
    "sequence": decode_int,
    "start": decode_int,
    "end": decode_int,
    "unit": decode_int,
    "count": decode_int,
    "root": decode_bytes,
}
_SERIES = ("point", "register", "start", "step", "quality", "values")
MOST_BYTES = 1_000_000
_READING = re.compile(r"readings\[(\d+)\](?:\.(\w+))?")


_BYTES = {"type": "string", "description": "unpadded base64url"}
_INTEGER = {"type": "string", "pattern": "^(0|-?[1-9][0-9]*)$"}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


_BODY = _object(
    statement=_object(**{name: _BYTES if decode is decode_bytes else _INTEGER for name, decode in _STATEMENT.items()}),
    signature=_BYTES,
    series={
        "type": "array",
        "items": _object(
            point=_BYTES,
            **{name: {"type": "integer"} for name in ("register", "start", "step", "quality")},
            values={
                "type": "array",
                "items": {"type": "integer"},
                "description": "Wh or varh of consecutive slots, as the statement's unit says",
            },
        ),
    },
)
_ANSWER = _object(sequence=_INTEGER, status={"type": "string", "enum": ["stored", "known"]})
_ERROR = _object(field={"type": "string"}, rule={"type": "string"}, message={"type": "string"})
_PROBLEM = _object(
    type={"type": "string"},
    title={"type": "string"},
    status={"type": "integer"},
    detail={"type": "string"},
    errors={"type": "array", "items": _ERROR},
)
_REFUSALS = {(status, CONTENT_TYPE): _PROBLEM for status in (400, 403, 409, 413, 415, 422)}


class StrictJSON(BaseParser):
    """JSON of bounded size and depth, whole numbers only, each member given once."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            message = _("At most %(bytes)s bytes in a batch.") % {"bytes": MOST_BYTES}
            errors = [FieldError("", "too_large", message)]
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, errors=errors)
        return strict_json(content)


def strict_json(content: bytes) -> Any:
    """Raises `ParseError`."""
    try:
        text = content.decode()
        check_depth(text)
        return json.loads(text, object_pairs_hook=_unique, parse_float=_no_fraction, parse_constant=_no_fraction)
    except ValueError as error:
        raise ParseError(_("This is no JSON that can be read: %(reason)s") % {"reason": error}) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(_("a member is given twice"))
    return members


def _no_fraction(token: str) -> NoReturn:
    raise ValueError(_("numbers are whole"))


class MeterBatches(APIView):
    """POST a signed batch. 200 with `stored` or, for the same batch again, `known`; otherwise a problem document.

    All readings of a batch are in the unit of its statement: 1 is Wh, of the registers 1 consumption, 2 generation,
    3 import from and 4 export to the grid; 2 is varh, of the registers 5 to 8, the quadrants of reactive energy. Only
    consumption and generation are settled.
    """

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSON,)

    @extend_schema(
        operation_id="post_meter_batch",
        request={"application/json": _BODY},
        responses={(200, "application/json"): _ANSWER, **_REFUSALS},
    )
    def post(self, request: Request) -> Response:
        body = _members("", request.data, ("statement", "signature", "series"))
        statement = _statement(body["statement"])
        signature = _read("signature", decode_bytes, body["signature"])
        content, lengths = _readings(body["series"])
        try:
            accepted = accept_batch(statement, signature, content)
        except InputRefused as refused:
            raise problem_of(refused, place=partial(_place, lengths=lengths)) from None
        return Response({"sequence": str(accepted.batch.sequence), "status": "stored" if accepted.is_new else "known"})


def _refuse(field: str, rule: str, message: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError(field, rule, message)])


def _members(field: str, value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise _refuse(field, "members", f"An object with exactly these members is expected: {', '.join(names)}.")
    return value


def _read(field: str, decode: Any, value: Any) -> Any:
    try:
        return decode(value)
    except CanonicalError as error:
        raise _refuse(field, "format", str(error)[:200]) from None


def _place(field: str, lengths: Sequence[int]) -> str:
    """Where in the body a reading's field stands: readings[7].value is series[0].values[7], say.

    `lengths`: how many readings each series has.
    """
    found = _READING.fullmatch(field)
    if found is None:
        return field
    offset, part, series = int(found[1]), found[2], 0
    while offset >= lengths[series]:
        offset, series = offset - lengths[series], series + 1
    return f"series[{series}].{part}" if part in ("point", "register", "quality") else _value_at(series, offset)


def _value_at(series: int, offset: int) -> str:
    return f"series[{series}].values[{offset}]"


def _statement(value: Any) -> Statement:
    members = _members("statement", value, tuple(_STATEMENT))
    decoded = {name: _read(f"statement.{name}", decode, members[name]) for name, decode in _STATEMENT.items()}
    try:
        return Statement(**decoded)
    except EncodingError as error:
        raise _refuse("statement", "range", str(error)[:200]) from None


def _readings(series: Any) -> tuple[list[Reading], list[int]]:
    """The readings in their order, and how many of them each series has."""
    if not isinstance(series, list):
        raise _refuse("series", "format", _("A list of series is expected."))
    content: list[Reading] = []
    lengths: list[int] = []
    for index, item in enumerate(series):
        field = f"series[{index}]"
        members = _members(field, item, _SERIES)
        point = _read(f"{field}.point", decode_bytes, members["point"])
        for name in ("register", "start", "step", "quality"):
            if type(members[name]) is not int:
                raise _refuse(f"{field}.{name}", "format", _("A whole number is expected."))
        register, start, step, quality = (members[name] for name in ("register", "start", "step", "quality"))
        if step <= 0:
            raise _refuse(f"{field}.step", "range", _("The step is the length of a slot in seconds."))
        values = members["values"]
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise _refuse(f"{field}.values", "format", _("Values are whole numbers of Wh or varh."))
        if len(content) + len(values) > MOST_READINGS:
            raise _refuse("series", "too_many", f"At most {MOST_READINGS} readings in a batch.")
        slots = range(start, start + len(values) * step, step)
        if values:
            _check_range(index, point, register, slots, values, quality)
        content += [Reading(point, register, slot, value, quality) for slot, value in zip(slots, values, strict=True)]
        lengths.append(len(values))
    return content, lengths


def _check_range(series: int, point: bytes, register: int, slots: range, values: Sequence[int], quality: int) -> None:
    """Slots ascend and values lie between their extremes: what fits these fits all."""
    try:
        for slot in (slots[0], slots[-1]):
            LeafId(point, register, slot)
        for value in (min(values), max(values)):
            LeafValue(value, quality)
    except EncodingError:
        for offset, (slot, value) in enumerate(zip(slots, values, strict=True)):
            place = _value_at(series, offset)
            _check_form(place, LeafId, point, register, slot)
            _check_form(place, LeafValue, value, quality)


def _check_form(place: str, form: type[LeafId] | type[LeafValue], *members: Any) -> None:
    try:
        form(*members)
    except EncodingError as error:
        raise _refuse(place, "range", str(error)[:200]) from None
