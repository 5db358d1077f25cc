"""Market areas, metering points, occupancies and plants."""

import datetime as dt
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.tenants import ReadOnlyAdmin, TenantAdmin
from apps.assets.models import MarketArea, MeteringPoint, Occupancy, Plant
from apps.assets.services import add_metering_point, register_plant
from apps.web.formatting import NBSP, decimal_text


@admin.register(MarketArea)
class MarketAreaAdmin(TenantAdmin[MarketArea]):
    """Time zone, currency and slots are fixed at the start: readings and settlements rest on them."""

    tenant = ("utility",)
    list_display = ("name", "utility", "time_zone", "currency", "slot_minutes")
    list_select_related = ("utility",)
    search_fields = ("name",)
    autocomplete_fields = ("utility",)

    def get_readonly_fields(self, request: HttpRequest, obj: MarketArea | None = None) -> Any:
        return ("utility", "time_zone", "currency", "slot_minutes") if obj else ()


class NewPointForm(forms.ModelForm[MeteringPoint]):
    since = forms.DateField(label=_("customer since"), initial=dt.date.today)

    class Meta:
        model = MeteringPoint
        fields = ("area", "party", "code", "name", "city")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        area, party = self.cleaned_data.get("area"), self.cleaned_data.get("party")
        if area and party and party.utility_id != area.utility_id and party.pk != area.utility_id:
            self.add_error("party", _("This customer belongs to another utility than the area."))
        return cleaned


@admin.register(MeteringPoint)
class MeteringPointAdmin(TenantAdmin[MeteringPoint]):
    tenant = ("area__utility",)
    list_display = ("code", "name", "party", "city", "area")
    list_filter = (("area", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("party", "area")
    search_fields = ("code", "name", "party__name", "city")
    autocomplete_fields = ("area", "party")

    def get_form(
        self, request: HttpRequest, obj: MeteringPoint | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            kwargs["form"] = NewPointForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: MeteringPoint | None = None) -> Any:
        fields = ("area", "party", "code", "name", "city")
        return fields if obj else (*fields, "since")

    def get_readonly_fields(self, request: HttpRequest, obj: MeteringPoint | None = None) -> Any:
        return ("area", "party", "code") if obj else ()

    def save_model(self, request: HttpRequest, obj: MeteringPoint, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name", "city"])
            return
        added = add_metering_point(
            area=obj.area,
            party=obj.party,
            code=obj.code,
            name=obj.name,
            city=obj.city,
            since=form.cleaned_data["since"],
        )
        obj.__dict__.update(added.__dict__)


@admin.register(Occupancy)
class OccupancyAdmin(ReadOnlyAdmin[Occupancy]):
    tenant = ("point__area__utility",)
    list_display = ("point", "party", "since", "until", "has_secret")
    list_select_related = ("point", "party")
    search_fields = ("point__code", "point__name", "party__name")
    fields = ("point", "party", "since", "until", "has_secret")

    @admin.display(description=_("readings can be linked"), boolean=True)
    def has_secret(self, occupancy: Occupancy) -> bool:
        return occupancy.sealed_secret is not None


@admin.register(Plant)
class PlantAdmin(TenantAdmin[Plant]):
    """Adding one registers it on the ledger for its owner; after that it can only be looked at."""

    tenant = ("area__utility",)
    list_display = ("name", "technology", "power", "owner", "point", "area", "ledger_state")
    list_filter = ("technology", "ledger_state", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("owner", "point", "area")
    search_fields = ("name", "owner__name", "point__code")
    autocomplete_fields = ("point", "owner")

    def get_fields(self, request: HttpRequest, obj: Plant | None = None) -> Any:
        fields = ("point", "owner", "name", "technology", "power_w", "since")
        return (*fields, "area", "ledger_state") if obj else fields

    def has_change_permission(self, request: HttpRequest, obj: Plant | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Plant, form: Any, change: bool) -> None:
        registered = register_plant(
            point=obj.point,
            owner=obj.owner,
            name=obj.name,
            power_w=obj.power_w,
            since=obj.since,
            technology=obj.technology,
        )
        obj.__dict__.update(registered.__dict__)

    @admin.display(description=_("installed power"), ordering="power_w")
    def power(self, plant: Plant) -> str:
        return f"{decimal_text(Decimal(plant.power_w).scaleb(-3), most=3)}{NBSP}kW"
