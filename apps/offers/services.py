"""Declare surplus, offer it, buy it. The rows are locked before the stream: declaration, then offer."""

import datetime as dt

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounting.models import EntryKind
from apps.accounting.services import Side, book
from apps.accounts.models import Party
from apps.accounts.services.parties import signer_of
from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.ledger.choices import LedgerState
from apps.ledger.exceptions import Refused
from apps.ledger.services.enqueue import enqueue
from apps.metering import readings
from apps.metering.models import Anchor, Batch
from apps.offers.choices import OfferStatus, SurplusMode
from apps.offers.exceptions import OfferError
from apps.offers.models import ClosedDay, Declaration, Offer, Purchase
from evidence.commands.kinds import CloseOffer, CommitPurchase, DeclareSurplus, PublishOffer, WithdrawOffer
from evidence.hashing import tagged
from evidence.readings import Register
from market_math.slots import day_slots

logger = structlog.get_logger(__name__)


def metered_surplus(plant: Plant, day: dt.date) -> int:
    """Wh that a plant made on a local day and its own site did not use. Raises `OfferError` while readings lack."""
    slots = day_slots(day, plant.area.zone, plant.area.slot_minutes)
    registers = (Register.GENERATION, Register.CONSUMPTION)
    grids = readings.grids(plant.area_id, [plant.point_id], slots, registers)
    generation, consumption = grids[Register.GENERATION], grids[Register.CONSUMPTION]
    if generation.missing.any() or consumption.missing.any():
        raise OfferError(_("Readings of this day are still missing."))
    return int((generation.value - consumption.value).clip(min=0).sum())


def close_day(area: MarketArea, day: dt.date) -> None:
    """From now on nothing of this day can be offered; its settlement has begun. Call with the area locked."""
    ClosedDay.objects.get_or_create(area=area, day=day)


def _check_open(area: MarketArea, day: dt.date) -> None:
    """Taken after a settlement's lock on the area, or before it: never while the day is being closed."""
    MarketArea.objects.select_for_update(no_key=True).get(pk=area.pk)
    if ClosedDay.objects.filter(area=area, day=day).exists():
        raise OfferError(_("This day is settled: nothing of it can be sold any more."))


@transaction.atomic
def declare_surplus(plant: Plant, day: dt.date) -> Declaration:
    """State on the ledger how much of a past day's energy the owner may sell."""
    _check_open(plant.area, day)
    if Batch.objects.filter(area=plant.area, day=day).exclude(anchor__ledger_state=LedgerState.CONFIRMED).exists():
        raise OfferError(_("Readings of this day are not anchored on the ledger yet."))
    if Declaration.objects.filter(plant=plant, day=day, mode=SurplusMode.METERED).exists():
        raise OfferError(_("The surplus of this day was declared already."))
    energy = metered_surplus(plant, day)
    if energy == 0:
        raise OfferError(_("There was no surplus on this day."))
    area, slots = plant.area, day_slots(day, plant.area.zone, plant.area.slot_minutes)
    roots = Anchor.objects.filter(area=area, day=day, ledger_state=LedgerState.CONFIRMED).order_by("id")
    declaration = Declaration(
        area=area, plant=plant, seller=plant.owner, day=day, start=slots.start, end=slots.stop, energy_wh=energy
    )
    declaration.command_id = enqueue(
        DeclareSurplus(
            declaration.ledger_id,
            bytes(area.ledger_id),
            bytes(plant.ledger_id),
            bytes(plant.owner.ledger_id),
            SurplusMode.METERED,
            slots.start,
            slots.stop,
            energy,
            tagged("em/basis/1", b"".join(bytes(root) for root in roots.values_list("root", flat=True))),
        ),
        ledger=plant.owner.ledger,
    )
    declaration.save()
    return declaration


def declare_day(area: MarketArea, day: dt.date) -> list[Declaration]:
    """Declare the surplus of every plant of an area that had some and has all its readings."""
    declared = []
    for plant in area.plants.filter(ledger_state=LedgerState.CONFIRMED).select_related("area", "owner"):
        try:
            declared.append(declare_surplus(plant, day))
        except (OfferError, Refused) as reason:
            logger.info("surplus_not_declared", plant=plant.pk, day=day.isoformat(), reason=str(reason))
    return declared


def close_finished_offers(area: MarketArea) -> int:
    """Close the offers of an area that are over or sold out; returns how many."""
    # The ledger counts whole seconds: an offer is over there a moment later than here.
    over = timezone.now() - dt.timedelta(seconds=2)
    finished = Offer.objects.filter(
        Q(open_until__lt=over) | Q(committed_wh=F("energy_wh")),
        declaration__area=area,
        status=OfferStatus.OPEN,
        ledger_state=LedgerState.CONFIRMED,
        closing_id=None,
    ).exclude(purchases__ledger_state=LedgerState.PENDING)
    closing = 0
    for offer in finished:
        try:
            close_offer(offer)
            closing += 1
        except (OfferError, Refused) as reason:
            logger.warning("offer_not_closed", offer=offer.pk, reason=str(reason))
    return closing


def draft_offer(*, declaration: Declaration, energy_wh: int, price_micro: int, open_until: dt.datetime) -> Offer:
    """Configure an offer; nobody else sees it yet."""
    if not 0 < energy_wh <= declaration.available_wh:
        raise OfferError(_("Choose an amount up to the surplus that is not offered yet."))
    if open_until <= timezone.now():
        raise OfferError(_("The offer has to stay open for some time."))
    return Offer.objects.create(
        declaration=declaration, energy_wh=energy_wh, price_micro=price_micro, open_until=open_until
    )


@transaction.atomic
def publish_offer(offer: Offer) -> None:
    _check_open(offer.declaration.area, offer.declaration.day)
    declaration = Declaration.objects.select_for_update().get(pk=offer.declaration_id)
    offer = Offer.objects.select_for_update().get(pk=offer.pk)
    if offer.status != OfferStatus.DRAFT:
        raise OfferError(_("This offer was published already."))
    if offer.energy_wh > declaration.available_wh:
        raise OfferError(_("Less surplus is left than this offer wants to sell."))
    declaration.offered_wh += offer.energy_wh
    declaration.save(update_fields=["offered_wh"])
    offer.status, offer.published_at, offer.ledger_state = OfferStatus.OPEN, timezone.now(), LedgerState.PENDING
    offer.command_id = enqueue(
        PublishOffer(
            bytes(offer.ledger_id),
            bytes(declaration.ledger_id),
            bytes(declaration.seller.ledger_id),
            offer.energy_wh,
            offer.price_micro,
            int(offer.open_until.timestamp()),
        ),
        signer_of(declaration.seller),
        ledger=declaration.seller.ledger,
    )
    offer.save()


@transaction.atomic
def buy(
    *, offer: Offer, buyer: Party, point: MeteringPoint, energy_wh: int, purchase_id: bytes | None = None
) -> Purchase:
    """Buy an offer or a part of it for a metering point; the amount is due at once.

    `purchase_id`: 32 bytes that only this purchase has. Asked again with the same, it is the purchase already made.
    """
    offer = Offer.objects.select_for_update(of=["self"]).select_related("declaration__seller").get(pk=offer.pk)
    declaration = offer.declaration
    # The row is unique and committed with everything below; who asks at the same time waits for the offer above.
    if purchase_id is not None and (made := Purchase.objects.filter(ledger_id=purchase_id).first()) is not None:
        return made
    if offer.status != OfferStatus.OPEN or not offer.is_confirmed or offer.closing_id is not None:
        raise OfferError(_("This offer is not open."))
    if offer.open_until < timezone.now():
        raise OfferError(_("This offer has run out of time."))
    if buyer == declaration.seller:
        raise OfferError(_("You cannot buy your own offer."))
    if point.area_id != declaration.area_id or point.party_id != buyer.pk:
        raise OfferError(_("Choose one of your metering points in the same market area."))
    if not 0 < energy_wh <= offer.remaining_wh:
        raise OfferError(_("Choose an amount up to what is left of this offer."))
    offer.committed_wh += energy_wh
    offer.save(update_fields=["committed_wh"])
    purchase = Purchase(offer=offer, buyer=buyer, point=point, energy_wh=energy_wh, price_micro=offer.price_micro)
    if purchase_id is not None:
        purchase.ledger_id = purchase_id
    purchase.command_id = enqueue(
        CommitPurchase(
            purchase.ledger_id,
            bytes(offer.ledger_id),
            bytes(declaration.ledger_id),
            bytes(buyer.ledger_id),
            bytes(point.ledger_id),
            energy_wh,
        ),
        signer_of(buyer),
        ledger=buyer.ledger,
    )
    purchase.save()
    _book(purchase, EntryKind.PURCHASE, purchase.amount_nano)
    return purchase


def reverse_purchase(purchase: Purchase) -> None:
    """Take back what a rejected purchase did: its energy is for sale again, and nothing is due."""
    Offer.objects.filter(pk=purchase.offer_id).update(committed_wh=F("committed_wh") - purchase.energy_wh)
    _book(purchase, EntryKind.PURCHASE_REVERSED, -purchase.amount_nano)


def _book(purchase: Purchase, kind: str, nano: int) -> None:
    declaration = purchase.offer.declaration
    book(
        area=declaration.area,
        kind=kind,
        reference=bytes(purchase.ledger_id),
        day=declaration.day,
        energy_wh=purchase.energy_wh,
        sides=[Side(purchase.buyer, nano), Side(declaration.seller, -nano)],
    )


@transaction.atomic
def withdraw_offer(offer: Offer) -> None:
    """Ask for an offer's end; purchases made before stay."""
    offer = _ending(offer)
    declaration = offer.declaration
    offer.closing_id = enqueue(
        WithdrawOffer(bytes(offer.ledger_id), bytes(declaration.ledger_id), bytes(declaration.seller.ledger_id)),
        signer_of(declaration.seller),
        ledger=declaration.seller.ledger,
    )
    offer.save(update_fields=["closing_id"])


@transaction.atomic
def close_offer(offer: Offer) -> None:
    """Close an offer that is over or sold out."""
    offer = _ending(offer)
    declaration = offer.declaration
    offer.closing_id = enqueue(
        CloseOffer(bytes(offer.ledger_id), bytes(declaration.ledger_id)), ledger=declaration.seller.ledger
    )
    offer.save(update_fields=["closing_id"])


def _ending(offer: Offer) -> Offer:
    locked = Offer.objects.select_for_update(of=["self"]).select_related("declaration__seller").get(pk=offer.pk)
    if locked.status != OfferStatus.OPEN or locked.closing_id is not None:
        raise OfferError(_("This offer is not open."))
    return locked
