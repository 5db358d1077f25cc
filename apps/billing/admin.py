"""Invoices and number series: to look at. A document never changes; a correction is another document."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.tenants import ReadOnlyAdmin
from apps.billing.models import Invoice, Series
from apps.web.formatting import money_minor


@admin.register(Series)
class SeriesAdmin(ReadOnlyAdmin[Series]):
    tenant = ("issuer",)
    list_display = ("prefix", "issuer", "last_number")
    list_select_related = ("issuer",)
    fields = ("prefix", "issuer", "last_number")


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin[Invoice]):
    tenant = ("area__utility",)
    list_display = ("full_number", "kind", "party", "point", "start", "end", "net", "vat", "total", "ledger_state")
    list_filter = ("kind", "ledger_state", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("series", "party", "point")
    search_fields = ("=number", "party__name", "point__code")
    date_hierarchy = "issued_at"
    fields = (
        "full_number",
        "kind",
        "party",
        "point",
        "area",
        "start",
        "end",
        "net",
        "vat",
        "total",
        "issued_at",
        "ledger_state",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return super().get_queryset(request).defer("document", "pdf")

    @admin.display(description=_("number"), ordering="number")
    def full_number(self, invoice: Invoice) -> str:
        return invoice.full_number

    @admin.display(description=_("net"), ordering="net_minor")
    def net(self, invoice: Invoice) -> str:
        return money_minor(invoice.net_minor, invoice.currency)

    @admin.display(description=_("VAT"), ordering="vat_minor")
    def vat(self, invoice: Invoice) -> str:
        return money_minor(invoice.vat_minor, invoice.currency)

    @admin.display(description=_("total"), ordering="total_minor")
    def total(self, invoice: Invoice) -> str:
        return money_minor(invoice.total_minor, invoice.currency)
