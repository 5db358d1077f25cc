"""What offers do with what the ledger says."""

from functools import partial

from apps.ledger.consumers import Consumer, Handler, Told
from apps.ledger.standing import adopted, confirm, reject
from apps.offers.choices import OfferStatus
from apps.offers.intake import adopt_end, adopt_publication, adopt_purchase
from apps.offers.models import Declaration, Offer, Purchase
from apps.offers.services import end_offer, give_back, reverse_purchase
from evidence.commands.kinds import CloseOffer, CommitPurchase, DeclareSurplus, PublishOffer, WithdrawOffer


def _unpublish(told: Told) -> None:
    for offer in Offer.objects.filter(command_id=told.id):
        give_back(offer.declaration_id, offer.energy_wh)
        Offer.objects.filter(pk=offer.pk).update(status=OfferStatus.DRAFT, published_at=None)


def _reverse(told: Told) -> None:
    for purchase in Purchase.objects.filter(command_id=told.id).select_related("offer__declaration__area"):
        reverse_purchase(purchase)


def _ended(status: OfferStatus) -> Handler:
    def handler(told: Told) -> None:
        offer = Offer.objects.select_for_update().filter(closing_id=told.id).first()
        if offer is None:
            adopted(told, partial(adopt_end, status=status))
        elif offer.status == OfferStatus.OPEN:
            end_offer(offer, status)

    return handler


def _still_open(told: Told) -> None:
    Offer.objects.filter(closing_id=told.id).update(closing_id=None)


CONSUMER = Consumer(
    name="offers",
    confirmed={
        DeclareSurplus: confirm(Declaration),
        PublishOffer: confirm(Offer, adopt=adopt_publication),
        CommitPurchase: confirm(Purchase, adopt=adopt_purchase),
        WithdrawOffer: _ended(OfferStatus.WITHDRAWN),
        CloseOffer: _ended(OfferStatus.CLOSED),
    },
    rejected={
        DeclareSurplus: reject(Declaration),
        PublishOffer: reject(Offer, _unpublish),
        CommitPurchase: reject(Purchase, _reverse),
        WithdrawOffer: _still_open,
        CloseOffer: _still_open,
    },
    resumes=frozenset({PublishOffer, CommitPurchase, WithdrawOffer, CloseOffer}),
)
