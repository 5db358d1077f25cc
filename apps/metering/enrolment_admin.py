"""Enrolments of boxes: to look at. They change by the wizard of the portal and by the boxes themselves."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.tenants import ReadOnlyAdmin
from apps.metering.admin_arrangements import LookInline
from apps.metering.models import EnrolmentCode, FoundMeter


class FoundMeterInline(LookInline):
    model = FoundMeter
    fields = ("__str__", "serial", "role", "point", "read_at", "tested_at", "error")
    readonly_fields = fields


@admin.register(EnrolmentCode)
class EnrolmentCodeAdmin(ReadOnlyAdmin[EnrolmentCode]):
    """Without the code: who is to know it sees it in the wizard, while no box has used it."""

    tenant = ("area__utility",)
    list_display = ("name", "area", "state", "installer", "made_by", "created_at", "seen_at")
    list_filter = ("state", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area", "installer", "made_by")
    search_fields = ("name",)
    fields = (
        *("name", "area", "owner", "state", "planned", "made_by", "installer", "created_at", "expires_at"),
        *("used_at", "agent", "server", "seen_at", "problem", "tpm", "device", "live_at", "undone_at"),
    )
    inlines = (FoundMeterInline,)

    @admin.display(description=_("security chip (TPM) that holds its key"))
    def tpm(self, enrolment: EnrolmentCode) -> str:
        shown: dict[str, Any] = enrolment.attestation or {}
        return str(shown.get("tpm", "")) if "secret" not in shown else ""

    def get_readonly_fields(self, request: HttpRequest, obj: EnrolmentCode | None = None) -> Any:
        return self.fields
