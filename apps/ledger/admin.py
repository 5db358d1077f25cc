"""The outbox and what the ledger said: for superusers, to look at. Staff have a page of the portal for it."""

from typing import Any, TypeVar

from django.conf import settings
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from apps.ledger.catalogue import kind_name
from apps.ledger.messages import reason
from apps.ledger.models import Attempt, Command, Cursor, Event, Lane, Replaced, Stream, Transaction
from apps.ledger.services.figures import figures
from apps.ledger.services.streams import resume

M = TypeVar("M", bound=Model)


class LookOnly(admin.ModelAdmin[M]):
    """Django's own permissions decide who looks; nobody changes anything here."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Stream)
class StreamAdmin(LookOnly[Stream]):
    list_display = ("__str__", "ledger", "lane", "length", "stopped_by")
    list_filter = ("ledger", "lane", ("parked_by", admin.EmptyFieldListFilter))
    list_select_related = ("parked_by",)
    fields = ("ledger", "lane", "length", "stopped_by")
    actions = ("let_go_on",)

    @admin.action(description=_("Let parked streams go on"))
    def let_go_on(self, request: HttpRequest, chosen: QuerySet[Stream]) -> None:
        for stream in chosen.exclude(parked_by=None):
            resume(stream)
        self.message_user(request, _("The streams go on."))

    @admin.display(description=_("stopped by"), empty_value="")
    def stopped_by(self, stream: Stream) -> str | None:
        return kind_name(stream.parked_by.kind) if stream.parked_by else None


@admin.register(Lane)
class LaneAdmin(LookOnly[Lane]):
    """Its list stands under the figures of all ledgers."""

    change_list_template = "admin/ledger/lanes.html"
    list_display = ("__str__", "conflicts", "token", "leased_until")
    list_filter = ("ledger",)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        found = [figures(ledger) for ledger in settings.LEDGERS]
        return super().changelist_view(request, {"figures": found, **(extra_context or {})})


@admin.register(Transaction)
class TransactionAdmin(LookOnly[Transaction]):
    list_display = ("__str__", "ledger", "lane", "state", "cost", "created_at")
    list_filter = ("ledger", "state", "lane")
    fields = ("ledger", "lane", "state", "cost", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Transaction]:
        return super().get_queryset(request).defer("payload")


@admin.register(Replaced)
class ReplacedAdmin(LookOnly[Replaced]):
    list_display = ("__str__", "successor")
    fields = ("successor",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Replaced]:
        return super().get_queryset(request).select_related("successor").defer("payload", "successor__payload")


@admin.register(Attempt)
class AttemptAdmin(LookOnly[Attempt]):
    list_display = ("transaction", "result", "message", "started_at", "ended_at")
    list_filter = ("result",)
    list_select_related = ("transaction",)
    fields = ("transaction", "result", "message", "started_at", "ended_at")


@admin.register(Command)
class CommandAdmin(LookOnly[Command]):
    list_display = ("__str__", "kind_name", "state", "outcome", "event", "stream", "position", "created_at")
    list_filter = ("state", "kind")
    list_select_related = ("stream",)
    date_hierarchy = "created_at"
    fields = ("hex", "kind_name", "stream", "position", "state", "outcome", "event", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Command]:
        return super().get_queryset(request).defer("envelope")

    @admin.display(description=_("command"))
    def hex(self, command: Command) -> str:
        return bytes(command.command_id).hex()

    @admin.display(description=_("kind"), ordering="kind")
    def kind_name(self, command: Command) -> str:
        return kind_name(command.kind)

    @admin.display(description=_("refused because"), empty_value="")
    def outcome(self, command: Command) -> str | None:
        return reason(command.code) if command.code else None


@admin.register(Event)
class EventAdmin(LookOnly[Event]):
    list_display = ("position", "ledger", "kind_name", "code", "time")
    list_filter = ("ledger", "kind")
    fields = ("ledger", "position", "kind_name", "code", "time")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        return super().get_queryset(request).defer("envelope")

    @admin.display(description=_("kind"), ordering="kind")
    def kind_name(self, event: Event) -> str:
        return kind_name(event.kind)


@admin.register(Cursor)
class CursorAdmin(LookOnly[Cursor]):
    list_display = ("ledger", "reader", "position")
    list_filter = ("ledger",)
