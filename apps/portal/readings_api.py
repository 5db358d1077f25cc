"""GET what metering points read, and the evidence of each reading, for whoever may see it."""

import datetime as dt
from http import HTTPStatus
from typing import Any

from django.http import Http404, HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MeteringPoint
from apps.ledger.models import Command
from apps.ledger.services.status import standing_of
from apps.metering.arrangements import VirtualPoint
from apps.metering.choices import Register
from apps.metering.exceptions import EvidenceError
from apps.metering.models import Batch
from apps.metering.origin import source_of
from apps.metering.versions import Version, day_versions
from apps.metering.virtual import Computed, compute_day
from apps.portal.access import viewer_of
from apps.portal.evidence import ReadingProof, find_version, prove, readings_bundle
from apps.portal.ledger_api.schema import answers
from apps.portal.selectors import first_days, visible_points
from apps.web.problems import FieldError, ProblemError
from apps.web.schema import BYTES, INTEGER, TEXT, a_list, an_object
from evidence.canonical import CanonicalError, decode_bytes, decode_int, encode_bytes, encode_int
from evidence.readings import leaf

PAGE = 500

_SOURCE = an_object(
    ("file", "rule", "decided_by", "reason"),
    kind={"type": "string", "enum": ["device", "import", "substitute"]},
    name=TEXT,
    file={**TEXT, "description": "the kind of file or document that it came in"},
    rule=TEXT,
    decided_by=TEXT,
    reason=TEXT,
)
_READING: dict[str, Any] = {
    "slot": INTEGER,
    "register": INTEGER,
    "value": INTEGER,
    "unit": {"type": "string", "enum": ["Wh", "varh"]},
    "quality": INTEGER,
    "version": {**INTEGER, "description": "below zero: of a backup device, for information only"},
    "current": {"type": "boolean"},
    "grade": INTEGER,
    "source": _SOURCE,
    "received": {"type": "string", "format": "date-time"},
}
_PATH = an_object(size=INTEGER, hashes=a_list(BYTES))
_READINGS = an_object(("next",), point=BYTES, day=TEXT, readings=a_list(an_object(**_READING)), next=TEXT)
_EVIDENCE = an_object(
    ("anchor", "ledger", "bundle"),
    **_READING,
    point=BYTES,
    leaf=an_object(index=INTEGER, salt=BYTES, id=BYTES, value=BYTES, hash=BYTES),
    path=_PATH,
    statement=BYTES,
    signature=BYTES,
    anchor=an_object(index=INTEGER, root=BYTES, day=TEXT),
    ledger=an_object(("entry", "time", "reason"), command=BYTES, state=TEXT, entry=INTEGER, time=INTEGER, reason=TEXT),
    bundle={"type": "string", "format": "uri", "description": "for energymarket-verify"},
)
_POINTS = an_object(("next",), points=a_list(an_object(id=BYTES, code=TEXT, name=TEXT, area=TEXT)), next=TEXT)
_TERM = an_object(sign=INTEGER, point=BYTES, virtual={"type": "boolean"}, register=INTEGER)
_VIRTUAL = an_object(
    point=BYTES,
    day=TEXT,
    registers=a_list(
        an_object(
            register=INTEGER,
            unit=TEXT,
            computed_from=a_list(_TERM),
            readings=a_list(an_object(("value", "grade"), slot=INTEGER, value=INTEGER, grade=INTEGER)),
        )
    ),
)


def _parameter(name: str, description: str, required: bool = False) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, required=required)


_DAY = _parameter("day", "a local day of the market area, such as 2026-06-01", required=True)
_AFTER = _parameter("after", "how many to leave out; `next` has it")
_KNOWN_AT = _parameter("known_at", "an instant such as 2026-06-03T12:00:00Z: only what had been received by then")
_SLOT = _parameter("slot", "the start of the slot in UTC seconds", required=True)
_REGISTER = _parameter("register", "the number of the register", required=True)
_VERSION = _parameter("version", "the number of a version, else the one that stands")


class ManyReads(UserRateThrottle):
    scope = "readings"
    rate = "600/min"


class ReadingsView(APIView):
    throttle_classes = (ManyReads,)

    @property
    def viewer(self) -> Viewer:
        return viewer_of(self.request._request)

    def point(self, point_id: str) -> MeteringPoint:
        """404 for one that the viewer may not see, as for one that is not there."""
        found = visible_points(self.viewer).filter(ledger_id=_id(point_id)).first()
        if found is None:
            raise Http404("no such metering point")
        return found

    def day(self) -> dt.date:
        text = self.request.query_params.get("day", "")
        try:
            day = dt.date.fromisoformat(text)
        except ValueError:
            raise _bad("day", _("Write a day such as 2026-06-01.")) from None
        if not 1970 < day.year < 2200:
            raise _bad("day", _("Write a day such as 2026-06-01."))
        return day

    def number(self, name: str, least: int = 0) -> int:
        try:
            number = decode_int(self.request.query_params.get(name))
        except CanonicalError as error:
            raise _bad(name, str(error)[:200]) from None
        # Beyond, no calendar has a day for it.
        if not least <= number < 1 << 32:
            raise _bad(name, _("The number is out of range."))
        return number

    def next_page(self, after: int) -> str:
        query = self.request.query_params.copy()
        query["after"] = encode_int(after)
        return self.request.build_absolute_uri(f"?{query.urlencode()}")


class Points(ReadingsView):
    """The metering points whose readings the viewer may see, by market area and code."""

    @extend_schema(operation_id="metering_points", parameters=[_AFTER], responses=answers(200, _POINTS, 400, 403))
    def get(self, request: Request) -> Response:
        after = self.number("after") if "after" in request.query_params else 0
        found = list(visible_points(self.viewer)[after : after + PAGE + 1])
        points = [
            {"id": encode_bytes(bytes(p.ledger_id)), "code": p.code, "name": p.name, "area": p.area.name}
            for p in found[:PAGE]
        ]
        more = {"next": self.next_page(after + PAGE)} if len(found) > PAGE else {}
        return Response({"points": points, **more})


class Readings(ReadingsView):
    """Readings of a local day, all versions of each, by slot, register and version; `next` leads on to more.

    With `known_at`, only versions that had been received by then: the highest of them stood at that time.
    """

    @extend_schema(
        operation_id="metering_point_readings",
        parameters=[_DAY, _KNOWN_AT, _AFTER],
        responses=answers(200, _READINGS, 400, 403, 404),
    )
    def get(self, request: Request, point_id: str) -> Response:
        point, day = self.point(point_id), self.day()
        first = first_days(self.viewer, [point]).get(point.pk)
        versions = [] if first is not None and day < first else day_versions(point, day, known_at=self._known_at())
        after = self.number("after") if "after" in request.query_params else 0
        more = {"next": self.next_page(after + PAGE)} if len(versions) > after + PAGE else {}
        shown = [_reading(version) for version in versions[after : after + PAGE]]
        return Response({"point": point_id, "day": day.isoformat(), "readings": shown, **more})

    def _known_at(self) -> dt.datetime | None:
        text = self.request.query_params.get("known_at")
        if text is None:
            return None
        try:
            instant = parse_datetime(text)
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None:
            raise _bad("known_at", _("Write an instant with its time zone, such as 2026-06-03T12:00:00Z."))
        return instant


class Evidence(ReadingsView):
    """The evidence of one reading in the forms of a bundle: leaf, path, statement, signature, anchor, ledger."""

    @extend_schema(
        operation_id="reading_evidence",
        parameters=[_SLOT, _REGISTER, _VERSION],
        responses=answers(200, _EVIDENCE, 400, 403, 404, 409),
    )
    def get(self, request: Request, point_id: str) -> Response:
        point = self.point(point_id)
        version = self.version(point)
        try:
            proof = prove(point, version)
        except EvidenceError as error:
            raise _conflict(str(error)) from None
        return Response({"point": point_id, **_reading(version), **_proof(proof), **self._ledger(version.batch)})

    def version(self, point: MeteringPoint) -> Version:
        number = self.number("version", -(1 << 15)) if "version" in self.request.query_params else None
        found = find_version(self.viewer, point, self.number("slot"), self.number("register"), number)
        if found is None:
            raise Http404("no such reading")
        return found

    def _ledger(self, batch: Batch) -> dict[str, Any]:
        anchor = batch.anchor
        if anchor is None or anchor.command_id is None or batch.anchor_index is None:
            return {}
        command = Command.objects.select_related("stream").get(command_id=bytes(anchor.command_id))
        stands = standing_of(command)
        ledger: dict[str, Any] = {"command": encode_bytes(bytes(anchor.command_id)), "state": str(stands.state)}
        if stands.entry is not None and stands.time is not None:
            ledger |= {"entry": encode_int(stands.entry), "time": encode_int(stands.time)}
        if stands.reason:
            ledger["reason"] = stands.reason
        root = encode_bytes(bytes(anchor.root))
        place = {"index": encode_int(batch.anchor_index), "root": root, "day": anchor.day.isoformat()}
        found: dict[str, Any] = {"anchor": place, "ledger": ledger}
        if anchor.is_confirmed:
            query = self.request.query_params.urlencode()
            found["bundle"] = self.request.build_absolute_uri(f"{self.request.path}/bundle?{query}")
        return found


class EvidenceBundle(Evidence):
    """The same as a bundle that energymarket-verify checks offline; 409 before the ledger has the anchor."""

    @extend_schema(
        operation_id="reading_evidence_bundle",
        parameters=[_SLOT, _REGISTER, _VERSION],
        responses=answers(200, {"type": "object", "additionalProperties": True}, 400, 403, 404, 409),
    )
    def get(self, request: Request, point_id: str) -> HttpResponse:  # type: ignore[override] # bytes as they are
        point = self.point(point_id)
        try:
            content = readings_bundle(point, [self.version(point)])
        except EvidenceError as error:
            raise _conflict(str(error)) from None
        return HttpResponse(content, content_type="application/json")


class VirtualReadings(ReadingsView):
    """A local day of a virtual point, computed from other points; nothing of it is signed.

    A slot of which a part is missing has no value; otherwise its grade is the worst of its parts.
    """

    @extend_schema(
        operation_id="virtual_point_readings", parameters=[_DAY], responses=answers(200, _VIRTUAL, 400, 403, 404)
    )
    def get(self, request: Request, point_id: str) -> Response:
        found = visible_virtual(self.viewer).filter(ledger_id=_id(point_id)).first()
        if found is None:
            raise Http404("no such virtual point")
        day = self.day()
        computed = compute_day(found.area, day, [found])
        registers = [_computed(register, one) for (_point, register), one in sorted(computed.items())]
        return Response({"point": point_id, "day": day.isoformat(), "registers": registers})


def visible_virtual(viewer: Viewer) -> Any:
    objects = VirtualPoint.objects.select_related("area__utility", "party")
    return viewer.visible(Action.VIEW_READINGS, objects, "area__utility", "party")


def _id(text: str) -> bytes:
    try:
        content = decode_bytes(text)
    except CanonicalError:
        raise Http404("no such id") from None
    if len(content) != 32:
        raise Http404("no such id")
    return content


def _bad(field: str, message: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, message, errors=[FieldError(field, "format", message)])


def _conflict(message: str) -> ProblemError:
    return ProblemError(HTTPStatus.CONFLICT, message, errors=[FieldError("", "no_evidence", message)])


def _reading(version: Version) -> dict[str, Any]:
    source = source_of(version.batch)
    about = {"kind": str(source.kind), "name": source.name}
    for name in ("file", "rule", "decided_by", "reason"):
        if text := getattr(source, name):
            about[name] = text
    return {
        "slot": encode_int(version.slot),
        "register": encode_int(version.register),
        "value": encode_int(version.value),
        "unit": Register(version.register).unit.label,
        "quality": encode_int(version.quality),
        "version": encode_int(version.version),
        "current": version.is_current,
        "grade": encode_int(version.grade),
        "source": about,
        "received": f"{version.batch.received_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
    }


def _proof(proof: ReadingProof) -> dict[str, Any]:
    batch, (shown,) = proof.leaves.batch, proof.leaves.readings
    leaf_id, value = shown.id.encode(), shown.value.encode()
    return {
        "leaf": {
            "index": encode_int(shown.index),
            "salt": encode_bytes(shown.salt),
            "id": encode_bytes(leaf_id),
            "value": encode_bytes(value),
            "hash": encode_bytes(leaf(shown.salt, leaf_id, value)),
        },
        "path": {
            "size": encode_int(proof.leaves.path.size),
            "hashes": [encode_bytes(each) for each in proof.leaves.path.hashes],
        },
        "statement": encode_bytes(batch.statement.encode()),
        "signature": encode_bytes(bytes(batch.signature)),
    }


def _computed(register: int, computed: Computed) -> dict[str, Any]:
    values = zip(computed.slots, computed.value.tolist(), computed.grade.tolist(), strict=True)
    return {
        "register": encode_int(register),
        "unit": Register(register).unit.label,
        "computed_from": [
            {
                "sign": encode_int(term.sign),
                "point": encode_bytes(bytes((term.virtual or term.point).ledger_id)),  # type: ignore[union-attr]
                "virtual": term.virtual is not None,
                "register": encode_int(term.source_register),
            }
            for term in computed.terms
        ],
        "readings": [
            {"slot": encode_int(slot), **({"value": encode_int(value), "grade": encode_int(grade)} if grade else {})}
            for slot, value, grade in values
        ],
    }
