"""Auctions with sealed orders: every order is on the ledger before anybody can know how the auction ends."""

from dataclasses import replace

from evidence.accumulators import chain
from evidence.commands.kinds import ClearAuction, OpenAuction, PlaceOrder
from evidence.hashing import ZERO
from ledger_adapters.contract.errors import Code
from ledger_adapters.contract.kind import Context, Kind, View, require
from ledger_adapters.contract.records import Auction, AuctionState, Domain, Order, Participant, Pricing, Role
from ledger_adapters.contract.registry import active_participant, person

# Ledger time is exact to 60 seconds on either side, so that twice that lies between the last order and clearing.
CLEARING_DELAY = 120


def _domain(auction: bytes) -> bytes:
    return Domain.key(Auction.TABLE, auction)


def _open(fields: OpenAuction, view: View, context: Context) -> None:
    require(view.find(Auction, fields.auction) is None, Code.ALREADY_REGISTERED)
    require(fields.pricing in list(Pricing), Code.BAD_PRICING)
    require(fields.start < fields.end, Code.EMPTY_WINDOW)
    require(context.time < fields.own_orders_until < fields.orders_until, Code.BAD_DEADLINES)
    view.put(
        Auction(
            area=fields.area,
            pricing=fields.pricing,
            state=AuctionState.OPEN,
            start=fields.start,
            end=fields.end,
            own_orders_until=fields.own_orders_until,
            orders_until=fields.orders_until,
            terms=fields.terms,
            count=0,
            head=ZERO,
            price=0,
            volume=0,
            orders=ZERO,
            awards=ZERO,
        ),
        fields.auction,
    )


def _place(fields: PlaceOrder, view: View, context: Context) -> None:
    bidder = active_participant(view, fields.bidder)
    found = view.get(Auction, (fields.auction,), Code.AUCTION_UNKNOWN)
    require(view.find(Order, fields.order) is None, Code.ALREADY_REGISTERED)
    deadline = found.own_orders_until if bidder.role == Role.UTILITY else found.orders_until
    require(context.time <= deadline, Code.ORDERS_OVER)
    number = found.count + 1
    view.put(replace(found, count=number, head=chain(found.head, fields.order)), fields.auction)
    view.put(Order(fields.auction, fields.bidder, fields.commitment, number), fields.order)


def _clear(fields: ClearAuction, view: View, context: Context) -> None:
    found = view.get(Auction, (fields.auction,), Code.AUCTION_UNKNOWN)
    require(found.state == AuctionState.OPEN, Code.ALREADY_CLEARED)
    require(context.time >= found.orders_until + CLEARING_DELAY, Code.ORDERS_STILL_OPEN)
    require((fields.count, fields.head) == (found.count, found.head), Code.OTHER_ORDERS)
    view.put(
        replace(
            found,
            state=AuctionState.CLEARED,
            price=fields.price,
            volume=fields.volume,
            orders=fields.orders,
            awards=fields.awards,
        ),
        fields.auction,
    )


KINDS = (
    Kind(
        OpenAuction,
        domain=lambda f: _domain(f.auction),
        reads=lambda f: (Auction.key(f.auction),),
        rule=_open,
        by_utility=True,
    ),
    Kind(
        PlaceOrder,
        domain=lambda f: _domain(f.auction),
        reads=lambda f: (Auction.key(f.auction), Order.key(f.order), Participant.key(f.bidder)),
        rule=_place,
        signers=lambda f, view, context: (person(view, f.bidder),),
    ),
    Kind(
        ClearAuction,
        domain=lambda f: _domain(f.auction),
        reads=lambda f: (Auction.key(f.auction),),
        rule=_clear,
        by_utility=True,
    ),
)
