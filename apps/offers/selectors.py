"""What of the market a person may see."""

from django.db.models import F, QuerySet
from django.utils import timezone

from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MeteringPoint
from apps.ledger.choices import LedgerState
from apps.offers.choices import OfferStatus
from apps.offers.models import Declaration, Offer, Purchase

_UTILITY = "declaration__area__utility_id"
_SELLER = "declaration__seller_id"


def own_declarations(viewer: Viewer) -> QuerySet[Declaration]:
    return Declaration.objects.filter(seller__in=viewer.own).select_related("plant__point", "area")


def own_offers(viewer: Viewer) -> QuerySet[Offer]:
    offers = Offer.objects.filter(declaration__seller__in=viewer.own)
    return offers.select_related("declaration__plant__point", "declaration__area", "declaration__seller")


def open_offers(viewer: Viewer) -> QuerySet[Offer]:
    """Offers of others that can be bought now."""
    offers = Offer.objects.filter(
        status=OfferStatus.OPEN,
        ledger_state=LedgerState.CONFIRMED,
        closing_id=None,
        open_until__gte=timezone.now(),
        committed_wh__lt=F("energy_wh"),
    ).exclude(declaration__seller__in=viewer.own)
    if viewer.own:
        areas = MeteringPoint.objects.filter(party__in=viewer.own).values("area")
        offers = offers.filter(declaration__area__in=areas)
    visible = viewer.visible(Action.VIEW_MARKET, offers, _UTILITY, _SELLER)
    return visible.select_related("declaration__plant__point", "declaration__area", "declaration__seller")


def own_purchases(viewer: Viewer) -> QuerySet[Purchase]:
    purchases = Purchase.objects.filter(buyer__in=viewer.own)
    return purchases.select_related("offer__declaration__seller", "offer__declaration__area", "point")
