"""The administration of what is arranged about readings. Only virtual points are changed here."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from apps.accounts.tenants import ReadOnlyAdmin, TenantAdmin, of_tenant
from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.arrangements import DayCount, Decision, Measurement, Term, VirtualPoint
from apps.metering.exceptions import VirtualPointError
from apps.metering.virtual import check_terms


class LookInline(admin.TabularInline[Any, Any]):
    """Rows to look at, for whoever may see what they belong to."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


class MeasurementInline(LookInline):
    model = Measurement
    fields = ("point", "registers", "since", "until", "is_backup", "serial", "counters_in", "counters_out")
    readonly_fields = fields


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin[Decision]):
    tenant = ("area__utility",)
    list_display = ("day", "area", "count", "rule", "decided_by", "decided_at")
    list_filter = ("rule", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area", "decided_by")
    date_hierarchy = "day"
    fields = ("area", "day", "count", "rule", "reason", "decided_by", "decided_at")


@admin.register(DayCount)
class DayCountAdmin(ReadOnlyAdmin[DayCount]):
    tenant = ("area__utility",)
    list_display = ("day", "area", "expected", "present", "substituted", "missing", "counted_at")
    list_filter = (("area", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("area",)
    date_hierarchy = "day"
    fields = list_display

    @admin.display(description=gettext_lazy("missing"))
    def missing(self, count: DayCount) -> int:
        return count.missing


class TermFormSet(BaseInlineFormSet[Term, VirtualPoint, Any]):
    def clean(self) -> None:
        """The terms as they would stand lead to no circle."""
        super().clean()
        if any(self.errors):
            return
        # Whoever changes terms of the area at the same moment waits: two changes could close a circle together.
        area = MarketArea.objects.select_for_update(no_key=True).filter(pk=self.instance.area_id).first()
        if area is None:
            return
        kept = [form.instance for form in self.forms if form.has_changed() and form not in self.deleted_forms]
        kept += [form.instance for form in self.initial_forms if not form.has_changed()]
        try:
            check_terms(self.instance, kept)
        except VirtualPointError as error:
            raise ValidationError(str(error)) from None


class TermInline(admin.TabularInline[Term, VirtualPoint]):
    model = Term
    fk_name = "of"
    formset = TermFormSet
    fields = ("register", "sign", "point", "virtual", "source_register", "since", "until")
    extra = 1

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        related: type[Model] = db_field.remote_field.model
        if related in (MeteringPoint, VirtualPoint):
            kwargs["queryset"] = of_tenant(request, related._default_manager.all())
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Whoever may change the virtual point may change what it is made of.
        return True


@admin.register(VirtualPoint)
class VirtualPointAdmin(TenantAdmin[VirtualPoint]):
    tenant = ("area__utility",)
    list_display = ("code", "name", "area", "party")
    list_filter = (("area", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("area", "party")
    search_fields = ("code", "name")
    fields = ("area", "party", "code", "name")
    inlines = (TermInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: VirtualPoint | None = None) -> tuple[str, ...]:
        return ("area",) if obj else ()
