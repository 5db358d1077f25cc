"""POST /api/v1/box-status: what a box says about itself, signed with its key. There is no session."""

from http import HTTPStatus

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.metering.api import StrictJSON
from apps.metering.exceptions import InputRefused
from apps.metering.problems import problem_of
from apps.metering.services.box_status import SequenceRefused, accept_status
from apps.web.problems import FieldError, ProblemError
from apps.web.schema import BYTES, INTEGER, an_object, problems
from evidence.box_forms import read_signed
from evidence.boxes import BoxStatus

SEQUENCE = "Box-Sequence"
_STATUS = an_object(device=BYTES, key=BYTES, sequence=INTEGER, body=BYTES)
_STORED = an_object(sequence=INTEGER, status={"type": "string", "enum": ["stored"]})


class BoxStatuses(APIView):
    """The body is canonical JSON: at, version, backlog {readings, batches}, refused, errors, free_disk, and where the

    box knows them newest and clock_offset. A sequence that does not rise is refused with 409, and `Box-Sequence` says
    from where on it may go on.
    """

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSON,)

    @extend_schema(
        operation_id="post_box_status",
        request={"application/json": an_object(status=_STATUS, signature=BYTES, body=BYTES)},
        responses={(200, "application/json"): _STORED, **problems(400, 403, 409, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        try:
            given = read_signed(BoxStatus, "status", request.data)
        except ValueError as error:
            message = str(error)[:200]
            errors = [FieldError("", "format", message)]
            raise ProblemError(HTTPStatus.BAD_REQUEST, message, errors=errors) from None
        try:
            stored = accept_status(given)
        except SequenceRefused as refused:
            raise problem_of(refused, {SEQUENCE: str(refused.acceptable)}) from None
        except InputRefused as refused:
            raise problem_of(refused) from None
        return Response({"sequence": str(stored.sequence), "status": "stored"})
