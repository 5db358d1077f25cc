"""Alarms and what boxes say about themselves, to look at; from when on something is an alarm, to change."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.accounts.tenants import ReadOnlyAdmin, TenantAdmin
from apps.metering.fleet_models import Alarm, BoxStatus, Thresholds


@admin.register(Thresholds)
class ThresholdsAdmin(TenantAdmin[Thresholds]):
    tenant = ("area__utility",)
    list_display = ("area", "silence_minutes", "clock_seconds", "backlog_readings", "zero_days", "consumption_factor")
    list_select_related = ("area",)

    def get_readonly_fields(self, request: HttpRequest, obj: Thresholds | None = None) -> Any:
        return ("area",) if obj else ()


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin[Alarm]):
    tenant = ("device__area__utility",)
    list_display = ("device", "kind", "opened_at", "closed_at", "acknowledged_at", "acknowledged_by")
    list_filter = ("kind", ("device__area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("device", "acknowledged_by")
    search_fields = ("device__name",)
    fields = ("device", "kind", "values", "opened_at", "closed_at", "acknowledged_at", "acknowledged_by")


@admin.register(BoxStatus)
class BoxStatusAdmin(ReadOnlyAdmin[BoxStatus]):
    tenant = ("device__area__utility",)
    list_display = ("device", "version", "readings", "refused", "clock_offset", "received_at")
    list_filter = ("version", ("device__area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("device",)
    search_fields = ("device__name",)
    fields = (
        *("device", "sequence", "version", "readings", "batches", "growing_since"),
        *("refused", "errors", "free_disk", "clock_offset", "received_at"),
    )
