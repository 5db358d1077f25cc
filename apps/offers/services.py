"""Declare surplus, offer it, buy it. The rows are locked before the stream: declaration, then offer."""

import datetime as dt

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounting.models import Entry, EntryKind
from apps.accounting.services import Side, book
from apps.accounts.models import Party, PartyKey
from apps.accounts.services.parties import signer_of
from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.assets.selectors import is_occupant
from apps.ledger.choices import LedgerState
from apps.ledger.exceptions import Refused
from apps.ledger.fields import random_id
from apps.ledger.services.enqueue import Send, enqueue
from apps.metering import readings
from apps.metering.models import Anchor, Batch
from apps.offers.choices import OfferStatus, SurplusMode
from apps.offers.exceptions import OfferError
from apps.offers.models import ClosedDay, Declaration, Offer, Purchase
from evidence.commands.kinds import CloseOffer, CommitPurchase, DeclareSurplus, PublishOffer, WithdrawOffer
from evidence.hashing import tagged
from evidence.readings import Register
from market_math.money import amount
from market_math.slots import day_slots

logger = structlog.get_logger(__name__)

LONGEST_OPEN = dt.timedelta(days=14)
MOST_NANO = (1 << 63) - 1  # what an account can hold


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


def check_terms(energy_wh: int, price_micro: int, open_until: dt.datetime, at: dt.datetime) -> None:
    """What an offer that is published `at` an instant must keep to, whoever publishes it. Raises `OfferError`."""
    if open_until <= at:
        raise OfferError(_("The offer has to stay open for some time."))
    if open_until > at + LONGEST_OPEN:
        raise OfferError(_("An offer is open for %(days)s days at most.") % {"days": LONGEST_OPEN.days})
    if amount(energy_wh, price_micro) > MOST_NANO:
        raise OfferError(_("That is more than can be right."))


def draft_offer(
    *,
    declaration: Declaration,
    energy_wh: int,
    price_micro: int,
    open_until: dt.datetime,
    ledger_id: bytes | None = None,
) -> Offer:
    """Configure an offer; nobody else sees it yet."""
    if not 0 < energy_wh <= declaration.available_wh:
        raise OfferError(_("Choose an amount up to the surplus that is not offered yet."))
    check_terms(energy_wh, price_micro, open_until, timezone.now())
    return Offer.objects.create(
        declaration=declaration,
        energy_wh=energy_wh,
        price_micro=price_micro,
        open_until=open_until,
        ledger_id=ledger_id or random_id(),
    )


def _kept_key_of(party: Party) -> Send:
    """Sends what the platform signs for a party. Raises `OfferError` for one that keeps its key itself."""
    try:
        signer = signer_of(party)
    except PartyKey.DoesNotExist:
        raise OfferError(_("You keep your signing key yourself: sign with your wallet.")) from None
    return lambda fields: enqueue(fields, signer, ledger=party.ledger)


@transaction.atomic
def publish_offer(offer: Offer, send: Send | None = None) -> None:
    """Put a draft on sale; `send` where its seller has signed that already."""
    declaration = lock_open(offer.declaration)
    offer = Offer.objects.select_for_update().get(pk=offer.pk)
    if offer.status != OfferStatus.DRAFT:
        raise OfferError(_("This offer was published already."))
    if offer.energy_wh > declaration.available_wh:
        raise OfferError(_("Less surplus is left than this offer wants to sell."))
    send = send or _kept_key_of(declaration.seller)
    put_on_sale(offer, declaration, timezone.now())
    offer.ledger_state = LedgerState.PENDING
    offer.command_id = send(
        PublishOffer(
            bytes(offer.ledger_id),
            bytes(declaration.ledger_id),
            bytes(declaration.seller.ledger_id),
            offer.energy_wh,
            offer.price_micro,
            int(offer.open_until.timestamp()),
        )
    )
    offer.save()


def lock_open(declaration: Declaration) -> Declaration:
    """A declaration of a day that is not settled yet, locked. Raises `OfferError`."""
    _check_open(declaration.area, declaration.day)
    return Declaration.objects.select_for_update(of=["self"]).select_related("seller", "area").get(pk=declaration.pk)


def put_on_sale(offer: Offer, declaration: Declaration, at: dt.datetime) -> None:
    """Take an offer's energy from its declaration. The offer itself is left to be saved."""
    declaration.offered_wh += offer.energy_wh
    declaration.save(update_fields=["offered_wh"])
    offer.status, offer.published_at = OfferStatus.OPEN, at


@transaction.atomic
def buy(
    *,
    offer: Offer,
    buyer: Party,
    point: MeteringPoint,
    energy_wh: int,
    purchase_id: bytes | None = None,
    send: Send | None = None,
) -> Purchase:
    """Buy an offer or a part of it for a metering point; the amount is due at once.

    `purchase_id`: 32 bytes that only this purchase has. Asked again with the same, it is the purchase already made.
    `send` where the buyer has signed the purchase already.
    """
    offer = lock_offer(offer)
    # The row is unique and committed with everything below; who asks at the same time waits for the offer above.
    if purchase_id is not None and (made := Purchase.objects.filter(ledger_id=purchase_id).first()) is not None:
        return made
    if offer.status != OfferStatus.OPEN or not offer.is_confirmed or offer.closing_id is not None:
        raise OfferError(_("This offer is not open."))
    if offer.open_until < timezone.now():
        raise OfferError(_("This offer has run out of time."))
    if buyer == offer.declaration.seller:
        raise OfferError(_("You cannot buy your own offer."))
    check_point(offer.declaration, buyer, point)
    if not 0 < energy_wh <= offer.remaining_wh:
        raise OfferError(_("Choose an amount up to what is left of this offer."))
    send = send or _kept_key_of(buyer)
    purchase = Purchase(offer=offer, buyer=buyer, point=point, energy_wh=energy_wh, price_micro=offer.price_micro)
    if purchase_id is not None:
        purchase.ledger_id = purchase_id
    purchase.command_id = send(
        CommitPurchase(
            bytes(purchase.ledger_id),
            bytes(offer.ledger_id),
            bytes(offer.declaration.ledger_id),
            bytes(buyer.ledger_id),
            bytes(point.ledger_id),
            energy_wh,
        )
    )
    commit_purchase(purchase)
    return purchase


def lock_offer(offer: Offer) -> Offer:
    offers = Offer.objects.select_related("declaration__seller", "declaration__area")
    return offers.select_for_update(of=["self"]).get(pk=offer.pk)


def check_point(declaration: Declaration, buyer: Party, point: MeteringPoint) -> None:
    """The energy of a day goes to whom its buyer was, and still is, the customer of. Raises `OfferError`."""
    if point.area_id != declaration.area_id or point.party_id != buyer.pk:
        raise OfferError(_("Choose one of your metering points in the same market area."))
    if not is_occupant(buyer, point, declaration.day):
        raise OfferError(_("On the day of delivery this metering point was not yours yet."))


def commit_purchase(purchase: Purchase) -> None:
    """Store a purchase, take its energy from the locked offer, and book what is due for it."""
    offer = purchase.offer
    offer.committed_wh += purchase.energy_wh
    offer.save(update_fields=["committed_wh"])
    purchase.save()
    _book(purchase, EntryKind.PURCHASE, purchase.amount_nano)


@transaction.atomic
def reverse_purchase(purchase: Purchase) -> None:
    """Take back what a rejected purchase did: its energy is for sale again, and nothing is due."""
    offer = lock_offer(purchase.offer)
    offer.committed_wh -= purchase.energy_wh
    offer.save(update_fields=["committed_wh"])
    if offer.status != OfferStatus.OPEN:
        give_back(offer.declaration_id, purchase.energy_wh)
    _book(purchase, EntryKind.PURCHASE_REVERSED, -purchase.amount_nano)


def give_back(declaration_id: int, energy_wh: int) -> None:
    """Energy that was offered, and neither is nor can be sold by that offer any more, may be offered again."""
    Declaration.objects.filter(pk=declaration_id).update(offered_wh=F("offered_wh") - energy_wh)


def _book(purchase: Purchase, kind: str, nano: int) -> None:
    """Once for every time that the ledger changed its mind about the purchase: nearly always once."""
    declaration = purchase.offer.declaration
    reference = bytes(purchase.ledger_id)
    book(
        area=declaration.area,
        kind=kind,
        reference=reference,
        version=Entry.objects.filter(kind=kind, reference=reference).count(),
        day=declaration.day,
        energy_wh=purchase.energy_wh,
        sides=[Side(purchase.buyer, nano), Side(declaration.seller, -nano)],
    )


@transaction.atomic
def withdraw_offer(offer: Offer, send: Send | None = None) -> None:
    """Ask for an offer's end; purchases made before stay. `send` where its seller has signed that already."""
    offer = _ending(offer)
    declaration = offer.declaration
    send = send or _kept_key_of(declaration.seller)
    offer.closing_id = send(
        WithdrawOffer(bytes(offer.ledger_id), bytes(declaration.ledger_id), bytes(declaration.seller.ledger_id))
    )
    offer.save(update_fields=["closing_id"])


@transaction.atomic
def close_offer(offer: Offer, send: Send | None = None) -> None:
    """Close an offer that is over or sold out."""
    offer = _ending(offer)
    declaration = offer.declaration
    fields = CloseOffer(bytes(offer.ledger_id), bytes(declaration.ledger_id))
    offer.closing_id = send(fields) if send else enqueue(fields, ledger=declaration.seller.ledger)
    offer.save(update_fields=["closing_id"])


def _ending(offer: Offer) -> Offer:
    locked = lock_offer(offer)
    if locked.status != OfferStatus.OPEN or locked.closing_id is not None:
        raise OfferError(_("This offer is not open."))
    return locked


def end_offer(offer: Offer, status: OfferStatus) -> None:
    """The locked offer has ended: what was offered and not bought goes back to the declaration."""
    give_back(offer.declaration_id, offer.energy_wh - offer.committed_wh)
    offer.status = status
    offer.save(update_fields=["status", "closing_id"])
