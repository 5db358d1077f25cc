"""Surplus declared for sale, offers on it, and purchases: committed ≤ offered ≤ declared, whoever asks."""

from dataclasses import replace

from evidence.commands.kinds import CloseOffer, CommitPurchase, DeclareSurplus, PublishOffer, WithdrawOffer
from ledger_adapters.contract.errors import Code
from ledger_adapters.contract.kind import Context, Kind, View, require
from ledger_adapters.contract.records import (
    Declaration,
    Domain,
    Mode,
    Offer,
    OfferState,
    Participant,
    Plant,
    Purchase,
    State,
)
from ledger_adapters.contract.registry import active_participant, person


def _domain(declaration: bytes) -> bytes:
    return Domain.key(Declaration.TABLE, declaration)


def _declare(fields: DeclareSurplus, view: View, context: Context) -> None:
    active_participant(view, fields.seller)
    plant = view.get(Plant, (fields.plant,), Code.PLANT_UNKNOWN)
    require(plant.state == State.ACTIVE, Code.PLANT_INACTIVE)
    require((plant.owner, plant.area) == (fields.seller, fields.area), Code.NOT_OF_THIS_RECORD)
    require(view.find(Declaration, fields.declaration) is None, Code.ALREADY_REGISTERED)
    require(fields.mode in list(Mode), Code.BAD_MODE)
    require(fields.start < fields.end, Code.EMPTY_WINDOW)
    require(fields.energy > 0, Code.NO_ENERGY)
    if fields.mode == Mode.METERED:
        require(fields.end <= context.time, Code.NOT_YET_MEASURED)
    else:
        require(fields.start > context.time, Code.DELIVERY_STARTED)
    view.put(
        Declaration(
            fields.area,
            fields.plant,
            fields.seller,
            fields.mode,
            fields.start,
            fields.end,
            fields.energy,
            0,
            fields.basis,
        ),
        fields.declaration,
    )


def _publish(fields: PublishOffer, view: View, context: Context) -> None:
    active_participant(view, fields.seller)
    declared = view.get(Declaration, (fields.declaration,), Code.DECLARATION_UNKNOWN)
    require(declared.seller == fields.seller, Code.NOT_THE_OWNER)
    require(view.find(Offer, fields.offer) is None, Code.ALREADY_REGISTERED)
    require(fields.energy > 0, Code.NO_ENERGY)
    require(declared.offered + fields.energy <= declared.energy, Code.MORE_THAN_DECLARED)
    require(fields.open_until > context.time, Code.OFFER_OVER)
    if declared.mode == Mode.FORECAST:
        require(context.time < declared.start, Code.DELIVERY_STARTED)
    view.put(replace(declared, offered=declared.offered + fields.energy), fields.declaration)
    view.put(
        Offer(fields.declaration, fields.energy, fields.price, 0, fields.open_until, OfferState.OPEN), fields.offer
    )


def _open_offer(view: View, offer: bytes, declaration: bytes) -> Offer:
    found = view.get(Offer, (offer,), Code.OFFER_UNKNOWN)
    require(found.declaration == declaration, Code.NOT_OF_THIS_RECORD)
    require(found.state == OfferState.OPEN, Code.OFFER_NOT_OPEN)
    return found


def _commit(fields: CommitPurchase, view: View, context: Context) -> None:
    active_participant(view, fields.buyer)
    declared = view.get(Declaration, (fields.declaration,), Code.DECLARATION_UNKNOWN)
    offer = _open_offer(view, fields.offer, fields.declaration)
    require(view.find(Purchase, fields.purchase) is None, Code.ALREADY_REGISTERED)
    require(fields.buyer != declared.seller, Code.OWN_OFFER)
    require(fields.energy > 0, Code.NO_ENERGY)
    require(context.time <= offer.open_until, Code.OFFER_OVER)
    if declared.mode == Mode.FORECAST:
        require(context.time < declared.start, Code.DELIVERY_STARTED)
    require(offer.committed + fields.energy <= offer.energy, Code.MORE_THAN_OFFERED)
    view.put(replace(offer, committed=offer.committed + fields.energy), fields.offer)
    view.put(Purchase(fields.offer, fields.buyer, fields.point, fields.energy, offer.price), fields.purchase)


def _end(view: View, offer: bytes, declaration: bytes, found: Offer, state: OfferState) -> None:
    """What was offered and not bought goes back to the declaration."""
    declared = view.get(Declaration, (declaration,), Code.DECLARATION_UNKNOWN)
    view.put(replace(declared, offered=declared.offered - (found.energy - found.committed)), declaration)
    view.put(replace(found, state=state), offer)


def _withdraw(fields: WithdrawOffer, view: View, context: Context) -> None:
    declared = view.get(Declaration, (fields.declaration,), Code.DECLARATION_UNKNOWN)
    found = _open_offer(view, fields.offer, fields.declaration)
    require(declared.seller == fields.seller, Code.NOT_THE_OWNER)
    _end(view, fields.offer, fields.declaration, found, OfferState.WITHDRAWN)


def _close(fields: CloseOffer, view: View, context: Context) -> None:
    """Anybody who runs the market may close an offer that is over or sold out, nobody one that still sells."""
    found = _open_offer(view, fields.offer, fields.declaration)
    require(context.time > found.open_until or found.committed == found.energy, Code.STILL_OPEN)
    _end(view, fields.offer, fields.declaration, found, OfferState.CLOSED)


KINDS = (
    Kind(
        DeclareSurplus,
        domain=lambda f: _domain(f.declaration),
        reads=lambda f: (Declaration.key(f.declaration), Plant.key(f.plant), Participant.key(f.seller)),
        rule=_declare,
        by_utility=True,
    ),
    Kind(
        PublishOffer,
        domain=lambda f: _domain(f.declaration),
        reads=lambda f: (Declaration.key(f.declaration), Offer.key(f.offer), Participant.key(f.seller)),
        rule=_publish,
        signers=lambda f, view, context: (person(view, f.seller),),
    ),
    Kind(
        CommitPurchase,
        domain=lambda f: _domain(f.declaration),
        reads=lambda f: (
            Declaration.key(f.declaration),
            Offer.key(f.offer),
            Purchase.key(f.purchase),
            Participant.key(f.buyer),
        ),
        rule=_commit,
        signers=lambda f, view, context: (person(view, f.buyer),),
    ),
    Kind(
        WithdrawOffer,
        domain=lambda f: _domain(f.declaration),
        reads=lambda f: (Declaration.key(f.declaration), Offer.key(f.offer), Participant.key(f.seller)),
        rule=_withdraw,
        signers=lambda f, view, context: (person(view, f.seller),),
    ),
    Kind(
        CloseOffer,
        domain=lambda f: _domain(f.declaration),
        reads=lambda f: (Declaration.key(f.declaration), Offer.key(f.offer)),
        rule=_close,
        by_utility=True,
    ),
)
