"""What a seal opens: a command's record. For staff, how the ledger as a whole is doing."""

from datetime import UTC, datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.permissions import Viewer
from apps.ledger.models import Command
from apps.portal.access import for_viewer
from apps.portal.overview import overviews
from apps.portal.records import fields_of, kind_title, object_of, object_url, seal_of, signatures_of, zone_of
from apps.portal.selectors import utilities_overseen
from apps.web.templatetags.components import ledger_seal


@require_safe
@for_viewer
def record(request: HttpRequest, viewer: Viewer, command_id: str) -> HttpResponse:
    command, thing = _find(viewer, command_id)
    told = datetime.fromtimestamp(command.ledger_time, UTC) if command.ledger_time is not None else None
    context: dict[str, Any] = {
        "command": command,
        "hex": command_id,
        "title": kind_title(command.kind),
        "seal": seal_of(command, linked=False),
        "thing": thing,
        "thing_url": object_url(thing),
        "zone": zone_of(thing),
        "told": told,
        "fields": fields_of(command),
        "signatures": signatures_of(command, viewer),
        "by_another_way": command.event is not None and command.transaction is None,
        "transaction": bytes(command.transaction.transaction_id).hex() if command.transaction else "",
        "ledger": command.stream.ledger,
    }
    return render(request, "portal/record.html", context)


@never_cache
@require_safe
@for_viewer
def seal(request: HttpRequest, viewer: Viewer, command_id: str) -> HttpResponse:
    """The seal alone, for a page that waits for it."""
    command, _thing = _find(viewer, command_id)
    return render(request, "components/seal.html", ledger_seal(seal_of(command)))


def _find(viewer: Viewer, command_id: str) -> tuple[Command, Any]:
    """A command and what it is about; 404 unless the viewer may see that."""
    commands = Command.objects.select_related("stream", "transaction")
    command = commands.filter(command_id=bytes.fromhex(command_id)).first()
    thing = object_of(viewer, command) if command else None
    if command is None or thing is None:
        raise Http404("no such record")
    return command, thing


@require_safe
@for_viewer
def ledger(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """For those who look after a utility's ledger."""
    aliases = sorted({utility.ledger for utility in utilities_overseen(viewer)})
    if not aliases:
        raise Http404("nothing to oversee")
    context = {"overviews": list(overviews(aliases)), "now": timezone.now(), "title": _("Ledger")}
    return render(request, "portal/ledger.html", context)
