"""The administration of files and documents with readings: what was agreed, and what came, to look at."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import Party
from apps.accounts.tenants import ReadOnlyAdmin, TenantAdmin, of_tenant
from apps.metering.deliveries import MeasureDevice, PointSource, ReadingImport, TableLayout


@admin.register(PointSource)
class PointSourceAdmin(TenantAdmin[PointSource]):
    tenant = ("point__area__utility",)
    list_display = ("point", "source", "use", "placement")
    list_filter = ("source", "use", "placement")
    list_select_related = ("point",)
    search_fields = ("point__code", "point__name")
    fields = ("point", "source", "use", "placement")

    def has_delete_permission(self, request: HttpRequest, obj: PointSource | None = None) -> bool:
        return self.has_change_permission(request, obj)


@admin.register(TableLayout)
class TableLayoutAdmin(TenantAdmin[TableLayout]):
    tenant = ("area__utility",)
    list_display = ("name", "area", "shape", "unit", "minutes")
    list_filter = ("shape", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area",)
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("area", "name", "shape", "header", "delimiter", "decimal", "encoding")}),
        (None, {"fields": ("time", "date", "form", "is_local", "at_end", "minutes", "unit")}),
        (None, {"fields": ("point", "register", "fixed_register", "value", "quality", "substitutes", "series")}),
    )


@admin.register(MeasureDevice)
class MeasureDeviceAdmin(TenantAdmin[MeasureDevice]):
    """Staff says at which metering point a device is that documents speak of."""

    tenant = ("utility",)
    list_display = ("__str__", "identifier", "point", "device", "last_contact")
    list_select_related = ("point", "device")
    search_fields = ("identifier", "name", "point__code")
    fields = ("utility", "identifier", "name", "point", "device", "description", "last_contact")
    readonly_fields = ("name", "device", "description", "last_contact")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "utility":
            kwargs["queryset"] = of_tenant(request, Party.objects.filter(utility=None))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(ReadingImport)
class ReadingImportAdmin(ReadOnlyAdmin[ReadingImport]):
    tenant = ("area__utility",)
    list_display = ("name", "source", "sender", "created_at", "state", "done", "total", "stored", "area")
    list_filter = ("source", "state", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area", "person", "client", "device")
    search_fields = ("name", "reference")
    date_hierarchy = "created_at"
    fields = (
        *("area", "source", "layout", "name", "reference", "size", "sender", "keep_good"),
        *("state", "done", "total", "stored", "created_at", "finished_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReadingImport]:
        return super().get_queryset(request).defer("content")
