"""Where meter agents post what they signed. The signature is the credential; there is no session."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.metering.exceptions import BatchRefused
from apps.metering.services.batches import MOST_READINGS, accept_batch
from apps.web.problems import FieldError, ProblemError
from evidence.abi import EncodingError
from evidence.canonical import CanonicalError, decode_bytes, decode_int
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


class MeterBatches(APIView):
    """POST a signed batch. 200 with `stored` or, for the same batch again, `known`; otherwise a problem document."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        body = _members("", request.data, ("statement", "signature", "series"))
        statement = _statement(body["statement"])
        signature = _read("signature", decode_bytes, body["signature"])
        content = list(_readings(body["series"]))
        try:
            accepted = accept_batch(statement, signature, content)
        except BatchRefused as refused:
            errors = [FieldError(v.field, v.rule, v.message) for v in refused.violations]
            raise ProblemError(HTTPStatus(refused.status), errors[0].message, errors=errors) from None
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
        raise _refuse(field, "format", str(error)) from None


def _statement(value: Any) -> Statement:
    members = _members("statement", value, tuple(_STATEMENT))
    decoded = {name: _read(f"statement.{name}", decode, members[name]) for name, decode in _STATEMENT.items()}
    try:
        return Statement(**decoded)
    except EncodingError as error:
        raise _refuse("statement", "range", str(error)) from None


def _readings(series: Any) -> Iterator[Reading]:
    if not isinstance(series, list):
        raise _refuse("series", "format", "A list of series is expected.")
    total = 0
    for index, item in enumerate(series):
        field = f"series[{index}]"
        members = _members(field, item, _SERIES)
        point = _read(f"{field}.point", decode_bytes, members["point"])
        numbers = [members["register"], members["start"], members["step"], members["quality"]]
        if not all(type(number) is int for number in numbers) or members["step"] <= 0:
            raise _refuse(field, "format", "register, start, step and quality are whole numbers.")
        values = members["values"]
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise _refuse(f"{field}.values", "format", "Values are whole numbers of Wh.")
        total += len(values)
        if total > MOST_READINGS:
            raise _refuse("series", "too_many", f"At most {MOST_READINGS} readings in a batch.")
        for offset, value in enumerate(values):
            slot = members["start"] + offset * members["step"]
            yield _reading(f"{field}.values[{offset}]", point, members["register"], slot, value, members["quality"])


def _reading(field: str, point: bytes, register: int, slot: int, value: int, quality: int) -> Reading:
    try:
        LeafId(point, register, slot)
        LeafValue(value, quality)
    except EncodingError as error:
        raise _refuse(field, "range", str(error)) from None
    return Reading(point, register, slot, value, quality)
