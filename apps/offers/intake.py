"""Offers and purchases that their sellers and buyers sign themselves.

`take_…` are sent here by a wallet and change the rows as the pages do. `adopt_…` are on the ledger already, sent by
another way: they bind, so they are sold, settled and billed like any other, as long as this installation knows what
they are about and its own rules are met.
"""

import datetime as dt
from typing import TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from apps.accounts.models import Party
from apps.assets.models import MeteringPoint
from apps.ledger.choices import LedgerState
from apps.ledger.consumers import Told
from apps.ledger.exceptions import Refused
from apps.ledger.intake import as_signed, fields_of
from apps.offers import services
from apps.offers.choices import OfferStatus
from apps.offers.drafts import change_draft
from apps.offers.exceptions import OfferError
from apps.offers.models import Declaration, Offer, Purchase
from evidence.commands import Command
from evidence.commands.kinds import CloseOffer, CommitPurchase, PublishOffer, WithdrawOffer
from ledger_adapters.contract import Code

M = TypeVar("M", bound=Model)

# Later than any offer may be open, and within what a date can be.
_FAR = 1 << 34


@transaction.atomic
def take_publication(command: Command, ledger: str) -> None:
    """Publish an offer, whether or not it was drafted on the pages before."""
    fields = fields_of(command, PublishOffer)
    declaration = services.lock_open(_declaration(fields, ledger))
    energy_wh, price_micro, open_until = fields.energy, fields.price, _instant(fields.open_until)
    offer = Offer.objects.filter(ledger_id=fields.offer).first()
    if offer is None:
        offer = services.draft_offer(
            declaration=declaration,
            energy_wh=energy_wh,
            price_micro=price_micro,
            open_until=open_until,
            ledger_id=fields.offer,
        )
    elif offer.declaration_id != declaration.pk:
        raise Refused(Code.ALREADY_REGISTERED)
    else:
        offer = change_draft(offer=offer, energy_wh=energy_wh, price_micro=price_micro, open_until=open_until)
    services.publish_offer(offer, as_signed(command, ledger))


@transaction.atomic
def take_purchase(command: Command, ledger: str) -> None:
    fields = fields_of(command, CommitPurchase)
    purchase = services.buy(
        offer=_offer(fields, ledger),
        buyer=_known(Party.objects.filter(ledger=ledger), fields.buyer, Code.PARTICIPANT_UNKNOWN),
        point=_point(fields),
        energy_wh=fields.energy,
        purchase_id=fields.purchase,
        send=as_signed(command, ledger),
    )
    if purchase.command_id != command.id:
        # Made before, by another command.
        raise Refused(Code.ALREADY_REGISTERED)


@transaction.atomic
def take_withdrawal(command: Command, ledger: str) -> None:
    offer = _offer(fields_of(command, WithdrawOffer), ledger)
    services.withdraw_offer(offer, as_signed(command, ledger))


@transaction.atomic
def take_closing(command: Command, ledger: str) -> None:
    services.close_offer(_offer(fields_of(command, CloseOffer), ledger), as_signed(command, ledger))


def adopt_publication(told: Told) -> None:
    fields: PublishOffer = told.fields
    declaration = services.lock_open(_declaration(fields, told.ledger))
    at, open_until = _instant(told.time), _instant(fields.open_until)
    services.check_terms(fields.energy, fields.price, open_until, at)
    offer = Offer.objects.select_for_update().filter(ledger_id=fields.offer).first()
    if offer is None:
        offer = Offer(ledger_id=fields.offer)
    elif offer.status != OfferStatus.DRAFT or offer.declaration_id != declaration.pk:
        raise OfferError(_("This offer was published already."))
    offer.declaration, offer.energy_wh, offer.price_micro = declaration, fields.energy, fields.price
    offer.open_until = open_until
    offer.ledger_state, offer.ledger_code, offer.command_id = LedgerState.CONFIRMED, None, told.id
    services.put_on_sale(offer, declaration, at)
    offer.save()


def adopt_purchase(told: Told) -> None:
    """A new one, or one that was taken back when an earlier transaction had the same command rejected."""
    fields: CommitPurchase = told.fields
    offer = services.lock_offer(_offer(fields, told.ledger))
    if offer.status != OfferStatus.OPEN or not offer.is_confirmed:
        raise OfferError(_("This offer is not open."))
    purchase = Purchase.objects.select_related("buyer", "point").filter(ledger_id=fields.purchase).first()
    if purchase is None:
        buyer = _known(Party.objects.filter(ledger=told.ledger), fields.buyer, Code.PARTICIPANT_UNKNOWN)
        purchase = Purchase(ledger_id=fields.purchase, buyer=buyer, point=_point(fields), energy_wh=fields.energy)
        services.check_point(offer.declaration, buyer, purchase.point)
    elif purchase.command_id != told.id:
        raise OfferError(_("Another purchase has this number here."))
    purchase.offer, purchase.price_micro = offer, offer.price_micro
    purchase.ledger_state, purchase.ledger_code, purchase.command_id = LedgerState.CONFIRMED, None, told.id
    services.commit_purchase(purchase)


def adopt_end(told: Told, status: OfferStatus) -> None:
    offer = services.lock_offer(_offer(told.fields, told.ledger))
    if offer.status != OfferStatus.OPEN:
        raise OfferError(_("This offer is not open."))
    # An end that was asked for here as well comes too late on the ledger.
    offer.closing_id = told.id
    services.end_offer(offer, status)


def _declaration(fields: PublishOffer, ledger: str) -> Declaration:
    """That of the fields, if it is of their seller."""
    declarations = Declaration.objects.filter(seller__ledger=ledger).select_related("seller", "area")
    declaration = _known(declarations, fields.declaration, Code.DECLARATION_UNKNOWN)
    if bytes(declaration.seller.ledger_id) != fields.seller:
        raise Refused(Code.NOT_THE_OWNER)
    return declaration


def _offer(fields: CommitPurchase | WithdrawOffer | CloseOffer, ledger: str) -> Offer:
    """That of the fields, if it is on their declaration and, where it ends by its seller, of that seller."""
    offers = Offer.objects.filter(declaration__seller__ledger=ledger).select_related("declaration__seller")
    offer = _known(offers, fields.offer, Code.OFFER_UNKNOWN)
    if bytes(offer.declaration.ledger_id) != fields.declaration:
        raise Refused(Code.NOT_OF_THIS_RECORD)
    if isinstance(fields, WithdrawOffer) and bytes(offer.declaration.seller.ledger_id) != fields.seller:
        raise Refused(Code.NOT_THE_OWNER)
    return offer


def _point(fields: CommitPurchase) -> MeteringPoint:
    point = MeteringPoint.objects.filter(ledger_id=fields.point).first()
    if point is None:
        raise OfferError(_("Choose one of your metering points in the same market area."))
    return point


def _known(objects: QuerySet[M], ledger_id: bytes, missing: Code) -> M:
    found = objects.filter(ledger_id=ledger_id).first()
    if found is None:
        raise Refused(missing)
    return found


def _instant(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(min(seconds, _FAR), dt.UTC)
