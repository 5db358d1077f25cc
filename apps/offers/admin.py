"""Declared surplus, offers and purchases: to look at. Sellers and buyers act on the portal."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from apps.accounts.tenants import ReadOnlyAdmin
from apps.offers.models import ClosedDay, Declaration, Offer, Purchase
from apps.web.formatting import kwh, money, unit_price


@admin.register(Declaration)
class DeclarationAdmin(ReadOnlyAdmin[Declaration]):
    tenant = ("area__utility",)
    list_display = ("plant", "seller", "day", "mode", "energy", "offered", "ledger_state")
    list_filter = ("ledger_state", "mode", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("plant", "seller")
    search_fields = ("plant__name", "seller__name")
    date_hierarchy = "day"
    fields = ("area", "plant", "seller", "mode", "day", "energy", "offered", "ledger_state")

    @admin.display(description=_("surplus"), ordering="energy_wh")
    def energy(self, declaration: Declaration) -> str:
        return kwh(declaration.energy_wh, fixed=True)

    @admin.display(description=_("offered"), ordering="offered_wh")
    def offered(self, declaration: Declaration) -> str:
        return kwh(declaration.offered_wh, fixed=True)


@admin.register(ClosedDay)
class ClosedDayAdmin(ReadOnlyAdmin[ClosedDay]):
    tenant = ("area__utility",)
    list_display = ("area", "day")
    list_select_related = ("area",)
    date_hierarchy = "day"


@admin.register(Offer)
class OfferAdmin(ReadOnlyAdmin[Offer]):
    tenant = ("declaration__area__utility",)
    list_display = ("seller", "day", "energy", "sold", "price", "status", "open_until", "ledger_state")
    list_filter = ("status", "ledger_state", ("declaration__area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("declaration__seller", "declaration__area")
    search_fields = ("declaration__seller__name", "declaration__plant__name")
    date_hierarchy = "declaration__day"
    fields = ("seller", "day", "energy", "sold", "price", "status", "published_at", "open_until", "ledger_state")

    @admin.display(description=_("seller"), ordering="declaration__seller__name")
    def seller(self, offer: Offer) -> str:
        return str(offer.declaration.seller)

    @admin.display(description=_("day"), ordering="declaration__day")
    def day(self, offer: Offer) -> str:
        return offer.declaration.day.isoformat()

    @admin.display(description=_("energy"), ordering="energy_wh")
    def energy(self, offer: Offer) -> str:
        return kwh(offer.energy_wh, fixed=True)

    @admin.display(description=_("sold"), ordering="committed_wh")
    def sold(self, offer: Offer) -> str:
        return kwh(offer.committed_wh, fixed=True)

    @admin.display(description=_("price"), ordering="price_micro")
    def price(self, offer: Offer) -> str:
        return unit_price(offer.price_micro, offer.declaration.area.currency)


@admin.register(Purchase)
class PurchaseAdmin(ReadOnlyAdmin[Purchase]):
    tenant = ("offer__declaration__area__utility",)
    list_display = ("buyer", "seller", "day", "energy", "delivered", "price", "due", "ledger_state", "created_at")
    list_filter = ("ledger_state", ("offer__declaration__area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("buyer", "offer__declaration__seller", "offer__declaration__area")
    search_fields = ("buyer__name", "offer__declaration__seller__name")
    date_hierarchy = "created_at"
    fields = ("buyer", "seller", "point", "day", "energy", "delivered", "price", "due", "ledger_state", "created_at")

    @admin.display(description=_("seller"), ordering="offer__declaration__seller__name")
    def seller(self, purchase: Purchase) -> str:
        return str(purchase.offer.declaration.seller)

    @admin.display(description=_("day"), ordering="offer__declaration__day")
    def day(self, purchase: Purchase) -> str:
        return purchase.offer.declaration.day.isoformat()

    @admin.display(description=_("energy"), ordering="energy_wh")
    def energy(self, purchase: Purchase) -> str:
        return kwh(purchase.energy_wh, fixed=True)

    @admin.display(description=_("delivered"), ordering="delivered_wh", empty_value="")
    def delivered(self, purchase: Purchase) -> str | None:
        return None if purchase.delivered_wh is None else kwh(purchase.delivered_wh, fixed=True)

    @admin.display(description=_("price"), ordering="price_micro")
    def price(self, purchase: Purchase) -> str:
        return unit_price(purchase.price_micro, purchase.offer.declaration.area.currency)

    @admin.display(description=_("due"))
    def due(self, purchase: Purchase) -> str:
        return money(purchase.amount_nano, purchase.offer.declaration.area.currency)
