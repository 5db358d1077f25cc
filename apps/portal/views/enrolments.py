"""The wizard that brings a box into the market, for staff and installers: code, meters, plant, point, test, live."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import User
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MeteringPoint
from apps.ledger.exceptions import Refused
from apps.ledger.messages import reason
from apps.metering.choices import EnrolmentState, MeterRole
from apps.metering.exceptions import EnrolmentError
from apps.metering.models import EnrolmentCode, FoundMeter
from apps.metering.services import enrolment as services
from apps.portal import enrolments as shows
from apps.portal.access import for_viewer, visible_or_404
from apps.portal.enrolment_forms import NewBoxForm, PlantsForm, PointsForm, RolesForm
from apps.portal.links import point_url
from apps.portal.lists import page_of, shown
from apps.portal.protocol import protocol_of
from apps.portal.records import seals_of
from evidence.boxes import shown_code

PEOPLE = ("made_by", "installer")
get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
@for_viewer
def enrolments(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    if not (viewer.staff_of or viewer.installer_of):
        raise Http404("the viewer brings no boxes into any market")
    page = page_of(request, _visible(viewer))
    table = shows.enrolment_table(page.object_list, viewer)
    return render(request, "portal/enrolments/list.html", {"page": page, "shown": shown(page), "table": table})


@get_or_post
@for_viewer
def new(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    form = NewBoxForm(request.POST or None, viewer=viewer)
    if not form.areas:
        raise Http404("the viewer brings no boxes into any market")
    if request.method == "POST" and form.is_valid():
        made = services.make_code(by=_person(viewer), **form.cleaned_data)
        return redirect("portal:enrolment", made.pk)
    return render(request, "portal/enrolments/new.html", {"form": form})


@never_cache
@require_safe
@for_viewer
def code(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Step one: the code, to be typed at the box."""
    enrolment = _enrolment(viewer, pk)
    is_open = enrolment.state == EnrolmentState.OPEN and not enrolment.is_expired
    text = shown_code(enrolment.code) if is_open and enrolment.code else ""
    site = request.build_absolute_uri("/").removesuffix("/")
    context = {"code": text, "command": f"meter-agent enroll --server {site} --code {text}", "waits": is_open}
    return _step(request, enrolment, "enrolment", context)


@require_POST
@for_viewer
def renew(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    enrolment = _enrolment(viewer, pk)
    _tell(request, lambda: services.renew_code(enrolment), _("The code before this one is void."))
    return redirect("portal:enrolment", pk)


@get_or_post
@for_viewer
def meters(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Step two: what the box has found, and what each meter measures."""
    enrolment = _enrolment(viewer, pk)
    found = _meters(enrolment)
    may_change = enrolment.state in services.ASSIGNABLE
    form = RolesForm(request.POST or None, meters=found) if found and may_change else None
    if request.method == "POST" and form is not None and form.is_valid():
        if _attempt(form, lambda: services.set_roles(enrolment, form.roles)):
            has_plant = MeterRole.GENERATION in form.roles.values()
            return redirect("portal:enrolment_plant" if has_plant else "portal:enrolment_point", pk)
    context = {
        "form": form,
        "table": shows.found_table(found, enrolment),
        "waits": not found and enrolment.state in (EnrolmentState.OPEN, *services.ASSIGNABLE),
        "last_contact": enrolment.seen_at,
    }
    return _step(request, enrolment, "enrolment_meters", context, found)


@get_or_post
@for_viewer
def plant(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Step three: whose generation is measured."""
    enrolment = _enrolment(viewer, pk)
    return _points(request, enrolment, MeterRole.GENERATION, "enrolment_plant", "portal:enrolment_point")


@get_or_post
@for_viewer
def point(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Step four: which connection to the grid is measured; then everything is there to register the box."""
    enrolment = _enrolment(viewer, pk)
    return _points(request, enrolment, MeterRole.GRID, "enrolment_point", "portal:enrolment_point")


def _points(request: HttpRequest, enrolment: EnrolmentCode, role: MeterRole, step: str, following: str) -> HttpResponse:
    found = _meters(enrolment)
    these = [meter for meter in found if meter.role == role]
    planned = list(enrolment.planned.select_related("plant").order_by("code"))
    proposed, kind = _grid_first(found, planned), PointsForm
    if role == MeterRole.GENERATION:
        proposed, kind = [each for each in planned if hasattr(each, "plant")], PlantsForm
    may_change = enrolment.state in services.ASSIGNABLE
    form = kind(request.POST or None, enrolment=enrolment, meters=these, planned=proposed) if may_change else None
    if request.method == "POST" and form is not None and form.is_valid():
        if _attempt(form, lambda: services.set_points(enrolment, role, form.found)):
            return redirect(following, enrolment.pk)
    used = [meter for meter in found if meter.role != MeterRole.NONE]
    context = {
        "form": form if these else None,
        "planned": planned,
        "table": shows.assignment_table(found, enrolment),
        "is_complete": bool(used) and all(meter.point_id for meter in used) and may_change,
        "warnings": shows.measured_already(enrolment, used) if may_change else [],
    }
    return _step(request, enrolment, step, context, found)


def _grid_first(found: list[FoundMeter], planned: list[MeteringPoint]) -> list[MeteringPoint]:
    """Where a plant was chosen, its connection to the grid is meant as a rule."""
    chosen = [meter.point for meter in found if meter.role == MeterRole.GENERATION and meter.point]
    return [*chosen, *(each for each in planned if each not in chosen)]


@require_POST
@for_viewer
def register(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    enrolment = _enrolment(viewer, pk)
    done = _("The box is registered. It fetches its settings and reads its meters.")
    if _tell(request, lambda: services.configure(enrolment, _person(viewer)), done):
        return redirect("portal:enrolment_test", pk)
    return redirect("portal:enrolment_point", pk)


@require_safe
@for_viewer
def test(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Step five: what the box reads has to be what the meters show."""
    enrolment = _enrolment(viewer, pk)
    found = _meters(enrolment)
    used = [meter for meter in found if meter.role != MeterRole.NONE]
    context = {
        "table": shows.assignment_table(found, enrolment, read=True),
        "is_tested": bool(used) and all(meter.tested_at for meter in used),
        "errors": [meter for meter in used if meter.error],
        "seals": seals_of([enrolment.device]) if enrolment.device else [],
        "waits": enrolment.state == EnrolmentState.CONFIGURED,
    }
    return _step(request, enrolment, "enrolment_test", context, found)


@require_POST
@for_viewer
def go_live(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    enrolment = _enrolment(viewer, pk)
    if _tell(request, lambda: services.go_live(enrolment, _person(viewer)), _("The box is live.")):
        return redirect("portal:enrolment_live", pk)
    return redirect("portal:enrolment_test", pk)


@require_safe
@for_viewer
def live(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Step six: done, with its protocol."""
    enrolment = _enrolment(viewer, pk)
    found = _meters(enrolment)
    points = {meter.point for meter in found if meter.role and shows.may_see_point(viewer, meter)}
    context = {
        "table": shows.assignment_table(found, enrolment),
        "seals": seals_of([enrolment.device]) if enrolment.device else [],
        "points": [(point_url(each), each) for each in sorted(points, key=str) if each],
    }
    return _step(request, enrolment, "enrolment_live", context, found)


@require_safe
@for_viewer
def protocol(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    enrolment = _enrolment(viewer, pk)
    if enrolment.device is None:
        raise Http404("there is nothing to write down before the box is registered")
    content = protocol_of(enrolment, _meters(enrolment), request.LANGUAGE_CODE)
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="box-{enrolment.pk}.pdf"'
    return response


@never_cache
@require_safe
@for_viewer
def progress(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """A token that pages which wait compare with theirs."""
    enrolment = _enrolment(viewer, pk)
    return HttpResponse(shows.progress_token(enrolment, _meters(enrolment)), content_type="text/plain")


@require_POST
@for_viewer
def undo(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    enrolment = _enrolment(viewer, pk)
    done = _("Undone: the code and the key of the box are void, and its metering points are free.")
    _tell(request, lambda: services.undo(enrolment, _person(viewer)), done)
    return redirect("portal:enrolment", pk)


def _visible(viewer: Viewer) -> QuerySet[EnrolmentCode]:
    rows = EnrolmentCode.objects.select_related("area__utility", "owner", "installer", "made_by", "device")
    return viewer.visible(Action.ENROL_BOX, rows, "area__utility", people=PEOPLE)


def _enrolment(viewer: Viewer, pk: int) -> EnrolmentCode:
    rows = EnrolmentCode.objects.select_related("area__utility", "owner", "installer", "made_by", "live_by", "device")
    return visible_or_404(viewer, Action.ENROL_BOX, rows, "area__utility", people=PEOPLE, pk=pk)


def _meters(enrolment: EnrolmentCode) -> list[FoundMeter]:
    return list(enrolment.meters.select_related("point__plant", "point__area"))


def _person(viewer: Viewer) -> User:
    assert isinstance(viewer.user, User)  # noqa: S101 pages for viewers are for people who are signed in
    return viewer.user


def _step(
    request: HttpRequest,
    enrolment: EnrolmentCode,
    step: str,
    context: dict[str, Any],
    found: list[FoundMeter] | None = None,
) -> HttpResponse:
    common = {
        "enrolment": enrolment,
        "steps": shows.steps(enrolment, step),
        "state": shows.state_words(enrolment),
        "is_undone": enrolment.state == EnrolmentState.UNDONE,
        "next": shows.next_step(enrolment),
        "token": shows.progress_token(enrolment, _meters(enrolment) if found is None else found),
    }
    return render(request, f"portal/enrolments/{step}.html", common | context)


def _attempt(form: Form, action: Callable[[], object]) -> bool:
    """Whether `action` went through; else the form says why not."""
    try:
        action()
    except EnrolmentError as error:
        form.add_error(None, str(error))
        return False
    return True


def _tell(request: HttpRequest, action: Callable[[], object], done: str) -> bool:
    """Whether `action` went through; the next page says so, or why not."""
    try:
        action()
    except EnrolmentError as error:
        messages.error(request, str(error))
    except Refused as error:
        messages.error(request, reason(error.code))
    else:
        messages.success(request, done)
        return True
    return False
