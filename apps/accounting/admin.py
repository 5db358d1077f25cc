"""Accounts, entries and postings: to look at. A booking is never changed; it is reversed by another one."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounting.models import Account, Entry, Posting
from apps.accounts.tenants import ReadOnlyAdmin
from apps.web.formatting import kwh, money


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin[Account]):
    tenant = ("area__utility",)
    list_display = ("party", "kind", "area", "balance")
    list_filter = ("kind", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("party", "area")
    search_fields = ("party__name",)
    fields = ("party", "kind", "area", "balance")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        return super().get_queryset(request).annotate(nano=Sum("postings__nano"))

    @admin.display(description=_("balance"), ordering="nano")
    def balance(self, account: Any) -> str:
        return money(account.nano or 0, account.area.currency)


class PostingInline(admin.TabularInline[Posting, Entry]):
    model = Posting
    fields = ("account", "debit", "credit")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Posting]:
        return super().get_queryset(request).select_related("account__party", "account__area")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Whoever may see the entry may see its sides.
        return True

    @admin.display(description=_("debit"))
    def debit(self, posting: Posting) -> str:
        return money(posting.nano, posting.account.area.currency) if posting.nano > 0 else ""

    @admin.display(description=_("credit"))
    def credit(self, posting: Posting) -> str:
        return money(-posting.nano, posting.account.area.currency) if posting.nano < 0 else ""


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin[Entry]):
    tenant = ("area__utility",)
    list_display = ("booked_at", "kind", "day", "energy", "area")
    list_filter = ("kind", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area",)
    search_fields = ("postings__account__party__name",)
    date_hierarchy = "day"
    fields = ("kind", "day", "energy", "area", "booked_at", "version")
    inlines = (PostingInline,)

    @admin.display(description=_("energy"), ordering="energy_wh")
    def energy(self, entry: Entry) -> str:
        return kwh(entry.energy_wh, fixed=True)


@admin.register(Posting)
class PostingAdmin(ReadOnlyAdmin[Posting]):
    tenant = ("account__area__utility",)
    list_display = ("entry", "account", "amount")
    list_filter = ("account__kind",)
    list_select_related = ("entry", "account__party", "account__area")
    search_fields = ("account__party__name",)
    fields = ("entry", "account", "amount")

    @admin.display(description=_("amount"), ordering="nano")
    def amount(self, posting: Posting) -> str:
        return money(posting.nano, posting.account.area.currency)
