"""What declarations, offers and purchases say that the ledger should hold.

Energy is taken here as soon as somebody asks, there once the ledger has applied it: what waits is no difference.
"""

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from apps.ledger.choices import LedgerState
from apps.ledger.reconcilers import Expected, Reconciler
from apps.offers.choices import OfferStatus
from apps.offers.models import Declaration, Offer, Purchase
from evidence.commands.kinds import CloseOffer, CommitPurchase, DeclareSurplus, PublishOffer, WithdrawOffer
from ledger_adapters.contract import records


def _declarations(ledger: str) -> QuerySet[Declaration]:
    waiting = Q(offers__status=OfferStatus.OPEN, offers__ledger_state=LedgerState.PENDING)
    declarations = Declaration.objects.filter(seller__ledger=ledger).select_related("area", "plant", "seller")
    return declarations.annotate(waiting_wh=Coalesce(Sum("offers__energy_wh", filter=waiting), 0))


def _declaration(declaration: Declaration) -> Expected:
    waiting: int = declaration.waiting_wh  # type: ignore[attr-defined]
    values = {
        "area": bytes(declaration.area.ledger_id),
        "plant": bytes(declaration.plant.ledger_id),
        "seller": bytes(declaration.seller.ledger_id),
        "mode": declaration.mode,
        "start": declaration.start,
        "end": declaration.end,
        "energy": declaration.energy_wh,
        "offered": declaration.offered_wh - waiting,
    }
    return Expected(records.Declaration, (bytes(declaration.ledger_id),), values)


def _offers(ledger: str) -> QuerySet[Offer]:
    waiting = Q(purchases__ledger_state=LedgerState.PENDING)
    offers = Offer.objects.filter(declaration__seller__ledger=ledger).select_related("declaration__plant")
    return offers.annotate(waiting_wh=Coalesce(Sum("purchases__energy_wh", filter=waiting), 0))


def _offer(offer: Offer) -> Expected:
    waiting: int = offer.waiting_wh  # type: ignore[attr-defined]
    values = {
        "declaration": bytes(offer.declaration.ledger_id),
        "energy": offer.energy_wh,
        "price": offer.price_micro,
        "committed": offer.committed_wh - waiting,
        "open_until": int(offer.open_until.timestamp()),
        "state": offer.status,
    }
    return Expected(records.Offer, (bytes(offer.ledger_id),), values)


def _purchases(ledger: str) -> QuerySet[Purchase]:
    return Purchase.objects.filter(buyer__ledger=ledger).select_related("offer", "buyer", "point")


def _purchase(purchase: Purchase) -> Expected:
    values = {
        "offer": bytes(purchase.offer.ledger_id),
        "buyer": bytes(purchase.buyer.ledger_id),
        "point": bytes(purchase.point.ledger_id),
        "energy": purchase.energy_wh,
        "price": purchase.price_micro,
    }
    return Expected(records.Purchase, (bytes(purchase.ledger_id),), values)


RECONCILERS = (
    Reconciler("declarations", Declaration, _declarations, _declaration, {DeclareSurplus: "command_id"}),
    Reconciler(
        "offers",
        Offer,
        _offers,
        _offer,
        {PublishOffer: "command_id", WithdrawOffer: "closing_id", CloseOffer: "closing_id"},
    ),
    Reconciler("purchases", Purchase, _purchases, _purchase, {CommitPurchase: "command_id"}),
)
