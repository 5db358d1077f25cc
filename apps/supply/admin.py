"""Supply and feed-in contracts."""

from typing import Any, TypeVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.tenants import TenantAdmin
from apps.supply.models import Contract, FeedInContract, SupplyContract
from apps.web.formatting import percent

C = TypeVar("C", bound=Contract)


class ContractAdmin(TenantAdmin[C]):
    """A contract is never deleted: it ends. What it says about days before stays."""

    date_hierarchy = "since"

    def get_readonly_fields(self, request: HttpRequest, obj: C | None = None) -> Any:
        return tuple(field for field in self.get_fields(request, obj) if field != "until") if obj else ()


@admin.register(SupplyContract)
class SupplyContractAdmin(ContractAdmin[SupplyContract]):
    tenant = ("point__area__utility",)
    list_display = ("point", "customer", "tariff", "since", "until")
    list_filter = (("point__area", admin.RelatedOnlyFieldListFilter), ("tariff", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("point__party", "tariff")
    search_fields = ("point__code", "point__name", "point__party__name")
    autocomplete_fields = ("point", "tariff")
    fields = ("point", "tariff", "since", "until")

    @admin.display(description=_("customer"), ordering="point__party__name")
    def customer(self, contract: SupplyContract) -> str:
        return str(contract.point.party)


@admin.register(FeedInContract)
class FeedInContractAdmin(ContractAdmin[FeedInContract]):
    tenant = ("plant__area__utility",)
    list_display = ("plant", "owner", "tariff", "vat", "since", "until")
    list_filter = (("plant__area", admin.RelatedOnlyFieldListFilter), ("tariff", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("plant__owner", "tariff")
    search_fields = ("plant__name", "plant__owner__name")
    autocomplete_fields = ("plant", "tariff")
    fields = ("plant", "tariff", "vat_ppm", "since", "until")

    @admin.display(description=_("owner"), ordering="plant__owner__name")
    def owner(self, contract: FeedInContract) -> str:
        return str(contract.plant.owner)

    @admin.display(description=_("VAT"), ordering="vat_ppm")
    def vat(self, contract: FeedInContract) -> str:
        return percent(contract.vat_ppm)
