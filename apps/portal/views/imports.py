"""Files with readings, for staff: send one, look at what is in it, have it stored, stop it, go on."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import User
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MarketArea
from apps.metering.choices import ImportState, SourceKey
from apps.metering.exceptions import ImportRefused
from apps.metering.models import ReadingImport
from apps.metering.services.files import Sender, begin, discard, receive_file, stop
from apps.metering.tasks import wake_imports
from apps.portal.access import for_viewer, visible_or_404
from apps.portal.import_pages import FileForm, answer_of, import_table, point_table, problem_table, state_chip
from apps.portal.lists import page_of, shown

UNDER_WAY = (ImportState.QUEUED, ImportState.RUNNING)


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def imports(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """The history, and for staff the form for a new file."""
    if not viewer.visible(Action.VIEW_IMPORTS, MarketArea.objects.all(), "utility").exists():
        raise Http404("nothing to import to")
    may_send = viewer.visible(Action.IMPORT_READINGS, MarketArea.objects.all(), "utility").exists()
    form = FileForm(request.POST or None, request.FILES or None, viewer=viewer) if may_send else None
    if request.method == "POST":
        if form is None:
            raise Http404("nothing to send here")
        if form.is_valid():
            return _receive(request, viewer, form)
    # Measure documents come every quarter of an hour: the administration has them.
    page = page_of(request, _visible(viewer).exclude(source=SourceKey.MEASURES))
    context = {"form": form, "page": page, "shown": shown(page), "table": import_table(list(page.object_list))}
    return render(request, "portal/imports.html", context)


def _receive(request: HttpRequest, viewer: Viewer, form: FileForm) -> HttpResponse:
    given = form.cleaned_data
    viewer.require(Action.IMPORT_READINGS, given["area"])
    file, source = given["file"], SourceKey(given["source"])
    try:
        received = receive_file(
            given["area"], source, file.name, file.read(), Sender(person=_person(request)), given["layout"]
        )
    except ImportRefused as refused:
        messages.error(request, refused.message)
        return redirect("portal:imports")
    if not received.is_new:
        messages.warning(request, _("This interchange is here already; nothing was stored again."))
    return redirect("portal:import", received.delivery.pk)


@never_cache
@require_safe
@for_viewer
def one_import(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """What is in a file, what is wrong with it, and how far it is."""
    delivery = visible_or_404(viewer, Action.VIEW_IMPORTS, _visible(viewer), "area__utility", pk=pk)
    context = {
        "delivery": delivery,
        "answer": answer_of(delivery),
        "chip": state_chip(delivery),
        "under_way": delivery.state in UNDER_WAY,
        "may_store": delivery.state == ImportState.CHECKED,
        "may_resume": delivery.state == ImportState.STOPPED,
        "may_decide": viewer.may(Action.IMPORT_READINGS, delivery),
        "problems": problem_table(delivery),
        "more": delivery.report["bad"] - len(delivery.report["problems"]),
        "points": point_table(delivery),
        "skipped": sum(delivery.report["skipped"].values()),
        "zone": delivery.area.zone,
    }
    return render(request, "portal/import.html", context)


@require_POST
@for_viewer
def store_import(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Have it stored, or go on with it; `?keep_good=1` without its bad rows."""
    delivery = _to_decide(viewer, pk)
    try:
        begin(delivery, keep_good="keep_good" in request.GET)
    except ImportRefused as refused:
        messages.error(request, refused.message)
    else:
        wake_imports()
    return redirect("portal:import", pk)


@require_POST
@for_viewer
def stop_import(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    if not stop(_to_decide(viewer, pk)):
        messages.warning(request, _("There is nothing to stop any more."))
    return redirect("portal:import", pk)


@require_POST
@for_viewer
def discard_import(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    if not discard(_to_decide(viewer, pk)):
        messages.warning(request, _("This file does not wait for a decision."))
    return redirect("portal:import", pk)


def _visible(viewer: Viewer) -> QuerySet[ReadingImport]:
    imports = ReadingImport.objects.defer("content").select_related("area__utility", "person", "client", "device")
    return viewer.visible(Action.VIEW_IMPORTS, imports, "area__utility")


def _to_decide(viewer: Viewer, pk: int) -> ReadingImport:
    delivery = visible_or_404(viewer, Action.VIEW_IMPORTS, _visible(viewer), "area__utility", pk=pk)
    viewer.require(Action.IMPORT_READINGS, delivery)
    return delivery


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 pages for viewers ask people to sign in
    return request.user
