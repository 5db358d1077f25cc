"""Tariffs with their prices, and VAT rates."""

import datetime as dt

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.tenants import TenantAdmin
from apps.tariffs.models import Price, Tariff, VatRate
from apps.web.formatting import percent, unit_price


class PriceInline(admin.TabularInline[Price, Tariff]):
    """Prices are added with the day from which they hold; those that hold already stay as they are."""

    model = Price
    extra = 1
    can_delete = False
    fields = ("since", "micro_per_kwh", "shown")
    readonly_fields = ("shown",)

    def has_change_permission(self, request: HttpRequest, obj: Tariff | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Tariff | None = None) -> bool:
        # Whoever may see the tariff may see and add its prices.
        return True

    def has_add_permission(self, request: HttpRequest, obj: Tariff | None = None) -> bool:
        return True

    @admin.display(description=_("price"))
    def shown(self, price: Price) -> str:
        return unit_price(price.micro_per_kwh, price.tariff.area.currency) if price.pk else ""


@admin.register(Tariff)
class TariffAdmin(TenantAdmin[Tariff]):
    tenant = ("area__utility",)
    list_display = ("name", "kind", "area", "price_today")
    list_filter = ("kind", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area",)
    search_fields = ("name",)
    autocomplete_fields = ("area",)
    inlines = (PriceInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Tariff | None = None) -> tuple[str, ...]:
        return ("area", "kind") if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tariff]:
        return super().get_queryset(request).prefetch_related("prices")

    @admin.display(description=_("price today"))
    def price_today(self, tariff: Tariff) -> str:
        today = dt.datetime.now(tariff.area.zone).date()
        holding = [price for price in tariff.prices.all() if price.since <= today]
        newest = max(holding, key=lambda price: price.since, default=None)
        return unit_price(newest.micro_per_kwh, tariff.area.currency) if newest else ""


@admin.register(VatRate)
class VatRateAdmin(TenantAdmin[VatRate]):
    tenant = ("area__utility",)
    list_display = ("area", "since", "rate")
    list_filter = (("area", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("area",)
    autocomplete_fields = ("area",)

    def get_readonly_fields(self, request: HttpRequest, obj: VatRate | None = None) -> tuple[str, ...]:
        return ("area", "since", "ppm") if obj else ()

    @admin.display(description=_("rate"), ordering="ppm")
    def rate(self, vat: VatRate) -> str:
        return percent(vat.ppm)
