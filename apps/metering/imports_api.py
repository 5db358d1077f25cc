"""Where programs of a utility post files with readings.

POST /api/v1/imports?source=mscons&name=x.edi   Authorization: Bearer em_...   the file as the body
GET  /api/v1/imports/<id>
"""

from http import HTTPStatus
from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from apps.accounts.api_clients import ApiClientAuthentication
from apps.accounts.models import ApiClient
from apps.accounts.permissions import Action, ClientViewer
from apps.assets.models import MarketArea
from apps.metering.bytes import Bytes
from apps.metering.choices import ImportState, SourceKey
from apps.metering.deliveries import TableLayout
from apps.metering.exceptions import ImportRefused
from apps.metering.formats.base import MOST_BYTES
from apps.metering.models import ReadingImport
from apps.metering.services.files import Sender, begin, receive_file
from apps.metering.sources import FILES
from apps.metering.tasks import wake_imports
from apps.web.problems import FieldError, ProblemError
from apps.web.schema import TEXT, a_list, an_object, problems
from evidence.canonical import CanonicalError, decode_bytes

LISTED = 50
_NUMBER = {"type": "integer"}
_REPORT = an_object(
    new=_NUMBER,
    changed=_NUMBER,
    identical=_NUMBER,
    bad=_NUMBER,
    skipped={"type": "object", "additionalProperties": _NUMBER},
    rules={"type": "object", "additionalProperties": _NUMBER},
    problems=a_list(an_object(line=_NUMBER, field=TEXT, rule=TEXT, message=TEXT)),
    points=a_list(an_object(code=TEXT, use=TEXT, new=_NUMBER)),
)
_IMPORT = an_object(
    id=_NUMBER,
    state={"type": "string", "enum": list(ImportState.values)},
    source=TEXT,
    name=TEXT,
    reference=TEXT,
    total=_NUMBER,
    done=_NUMBER,
    stored=_NUMBER,
    report=_REPORT,
)


class File(Bytes):
    most = MOST_BYTES


class ClientView(APIView):
    """For programs of a utility."""

    authentication_classes = (ApiClientAuthentication,)
    permission_classes = ()

    def client(self, request: Request) -> ApiClient:
        if not isinstance(request.auth, ApiClient):
            raise NotAuthenticated
        return request.auth


class Imports(ClientView):
    """POST a file. 202 when its readings are going to be stored, 200 for an interchange that came before.

    One bad row, and nothing is stored, unless `keep_good` is given: 422 with the first rows and their rules. The
    Location leads to the import either way; staff may still decide to store the good rows of it.
    """

    parser_classes = (File,)

    @extend_schema(
        operation_id="post_import",
        parameters=[
            OpenApiParameter("source", OpenApiTypes.STR, required=True, enum=[key.value for key in FILES]),
            OpenApiParameter("area", OpenApiTypes.STR, description="its id, unless the utility has one only"),
            OpenApiParameter("name", OpenApiTypes.STR, description="what the file is called"),
            OpenApiParameter("layout", OpenApiTypes.STR, description="of a table: the name that was agreed"),
            OpenApiParameter("keep_good", OpenApiTypes.BOOL, description="store the good rows of a file with bad ones"),
        ],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={
            (200, "application/json"): _IMPORT,
            (202, "application/json"): _IMPORT,
            **problems(400, 401, 404, 409, 413, 422),
        },
    )
    def post(self, request: Request) -> Response:
        client = self.client(request)
        source = _source(request.query_params.get("source", ""))
        area = _area(client, request.query_params.get("area", ""))
        layout = _layout(area, request.query_params.get("layout", "")) if FILES[source].needs_layout else None
        body: Any = request.data
        name = request.query_params.get("name", "") or source.value
        try:
            received = receive_file(area, source, name, bytes(body), Sender(client=client), layout)
            delivery = received.delivery
            if not received.is_new:
                return Response(_shown(delivery), headers=_location(request, delivery))
            keep_good = request.query_params.get("keep_good", "").lower() in ("1", "true")
            if delivery.state == ImportState.REFUSED or (delivery.report["bad"] and not keep_good):
                raise _bad_rows(request, delivery)
            begin(delivery, keep_good=keep_good)
        except ImportRefused as refused:
            errors = [FieldError("", refused.rule, refused.message)]
            raise ProblemError(HTTPStatus.CONFLICT, refused.message, errors=errors) from None
        wake_imports()
        delivery.refresh_from_db()
        return Response(_shown(delivery), status=HTTPStatus.ACCEPTED, headers=_location(request, delivery))


class Import(ClientView):
    """GET how far an import is."""

    @extend_schema(operation_id="get_import", responses={(200, "application/json"): _IMPORT, **problems(401, 404)})
    def get(self, request: Request, pk: int) -> Response:
        viewer = ClientViewer(self.client(request))
        found = viewer.visible(Action.VIEW_IMPORTS, ReadingImport.objects.filter(pk=pk), "area__utility").first()
        if found is None:
            raise Http404("no such import")
        return Response(_shown(found))


def _shown(delivery: ReadingImport) -> dict[str, Any]:
    members = ("state", "source", "name", "reference", "total", "done", "stored", "report")
    return {"id": delivery.pk, **{name: getattr(delivery, name) for name in members}}


def _location(request: Request, delivery: ReadingImport) -> dict[str, str]:
    return {"Location": reverse("import", args=[delivery.pk], request=request)}


def _bad_rows(request: Request, delivery: ReadingImport) -> ProblemError:
    report = delivery.report
    errors = [
        FieldError(f"line {each['line']}, {each['field']}", each["rule"], each["message"])
        for each in report["problems"][:LISTED]
    ]
    message = _("%(bad)s rows cannot be used. Nothing was stored.") % {"bad": report["bad"]}
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, message, errors=errors, headers=_location(request, delivery))


def _refuse(field: str, rule: str, message: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError(field, rule, message)])


def _source(text: str) -> SourceKey:
    if text not in {key.value for key in FILES}:
        raise _refuse("source", "unknown_source", _("The source is one of %s.") % ", ".join(key.value for key in FILES))
    return SourceKey(text)


def _area(client: ApiClient, text: str) -> MarketArea:
    """The area that is named, or the only one. Raises Http404 for another utility's as for one that is not there."""
    areas = ClientViewer(client).visible(
        Action.IMPORT_READINGS, MarketArea.objects.select_related("utility"), "utility"
    )
    if not text:
        found = list(areas[:2])
        if len(found) == 1:
            return found[0]
        raise _refuse("area", "no_area", _("The utility has several market areas: name one."))
    try:
        named = areas.filter(ledger_id=decode_bytes(text)).first()
    except CanonicalError as error:
        raise _refuse("area", "format", str(error)[:200]) from None
    if named is None:
        raise Http404("no such area")
    return named


def _layout(area: MarketArea, text: str) -> TableLayout:
    found = TableLayout.objects.filter(area=area, name=text).first()
    if found is None:
        raise _refuse("layout", "unknown_layout", _("There is no such table layout in this area."))
    return found
