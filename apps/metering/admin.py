"""Devices, their keys, batches and anchors: to look at. They change by signed batches and services."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Action
from apps.accounts.tenants import ReadOnlyAdmin, is_superuser, viewer_of
from apps.ledger.exceptions import Refused
from apps.ledger.messages import reason
from apps.metering import admin_deliveries  # noqa: F401 registers its own
from apps.metering.admin_arrangements import MeasurementInline
from apps.metering.enrolment_admin import EnrolmentCodeAdmin as EnrolmentCodeAdmin
from apps.metering.fleet_admin import AlarmAdmin as AlarmAdmin
from apps.metering.instruction_admin import InstructionAdmin as InstructionAdmin
from apps.metering.models import Anchor, Batch, DailyReport, Device, DeviceKey
from apps.metering.services.devices import revoke_key


class DeviceKeyInline(admin.TabularInline[DeviceKey, Device]):
    model = DeviceKey
    fields = ("__str__", "created_at", "since_day", "grace_until", "revoked_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Whoever may see the device may see its public keys.
        return True


@admin.register(Device)
class DeviceAdmin(ReadOnlyAdmin[Device]):
    tenant = ("area__utility",)
    list_display = ("name", "owner", "area", "last_contact", "ledger_state")
    list_filter = ("ledger_state", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("owner", "area")
    search_fields = ("name", "owner__name")
    fields = ("name", "owner", "area", "last_contact", "ledger_state")
    inlines = (MeasurementInline, DeviceKeyInline)


@admin.register(DeviceKey)
class DeviceKeyAdmin(ReadOnlyAdmin[DeviceKey]):
    tenant = ("device__area__utility",)
    list_display = ("__str__", "device", "created_at", "since_day", "grace_until", "revoked_at")
    list_select_related = ("device",)
    search_fields = ("device__name",)
    fields = ("device", "created_at", "since_day", "grace_until", "revoked_at")
    actions = ("revoke",)

    @admin.action(description=_("Revoke: nothing signed with them from now on is accepted"), permissions=["view"])
    def revoke(self, request: HttpRequest, keys: QuerySet[DeviceKey]) -> None:
        viewer = viewer_of(request)
        for key in keys.select_related("device__area", "device__owner").filter(revoked_at=None):
            if not is_superuser(request):
                viewer.require(Action.MANAGE_METERING, key.device)
            try:
                revoke_key(key)
            except Refused as error:
                messages.error(request, f"{key.device}: {reason(error.code)}")
            else:
                messages.success(request, _("The key of %(device)s is revoked.") % {"device": key.device})


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin[Batch]):
    tenant = ("area__utility",)
    list_display = ("day", "signed_by", "sequence", "count", "grade", "received_at", "is_anchored", "area")
    list_filter = ("grade", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area", "device", "importer", "anchor")
    search_fields = ("device__name", "importer__name")
    date_hierarchy = "day"
    fields = (
        "area",
        "signed_by",
        "sequence",
        "day",
        "unit",
        "count",
        "grade",
        "received_at",
        "decision",
        "brought_by",
        "anchor",
    )

    @admin.display(description=_("signed by"))
    def signed_by(self, batch: Batch) -> str:
        return str(batch.device or batch.importer)

    @admin.display(description=_("anchored"), boolean=True)
    def is_anchored(self, batch: Batch) -> bool:
        return batch.anchor is not None and batch.anchor.is_confirmed


@admin.register(Anchor)
class AnchorAdmin(ReadOnlyAdmin[Anchor]):
    tenant = ("area__utility",)
    list_display = ("day", "area", "count", "root_text", "ledger_state", "created_at")
    list_filter = ("ledger_state", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area",)
    date_hierarchy = "day"
    fields = ("area", "day", "count", "root_text", "ledger_state", "created_at")

    @admin.display(description=_("root"))
    def root_text(self, anchor: Anchor) -> str:
        return bytes(anchor.root).hex()


@admin.register(DailyReport)
class DailyReportAdmin(ReadOnlyAdmin[DailyReport]):
    tenant = ("device__area__utility",)
    list_display = ("day", "device", "generated", "imported", "exported", "reported_at")
    list_filter = (("device__area", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("device",)
    search_fields = ("device__name",)
    date_hierarchy = "day"
    fields = ("device", "day", "generated", "imported", "exported", "reported_at")
