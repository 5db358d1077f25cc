"""Takes a local day of the demonstration through the market: anchored, offered, bought, settled, invoiced.

Every step asks what is done already, so that a day that was interrupted goes on where it stopped.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.billing.models import Invoice
from apps.billing.services.invoices import bill_area
from apps.ledger.choices import LedgerState
from apps.metering import readings
from apps.metering.models import Anchor, Batch
from apps.metering.services.anchors import anchor_batches
from apps.offers import services as offers
from apps.offers.choices import OfferStatus
from apps.offers.models import Declaration, Offer, Purchase
from apps.portal.demo.exceptions import DemoError
from apps.portal.demo.street import HOMES, PURCHASES, Home
from apps.portal.demo.waiting import wait_for_ledger, wait_until
from apps.settlement.models import Settlement
from apps.settlement.selectors import current_settlements
from apps.settlement.services.settle import settle_day
from evidence.readings import Register
from market_math.slots import day_bounds, day_slots

HOME_OF = {home.code: home for home in HOMES}
CODE_OF = {home.number: home.code for home in HOMES}
ONE_DAY = dt.timedelta(days=1)
LEAST_OFFER_WH = 100


@dataclass(frozen=True, slots=True)
class Clerk:
    """Does the utility's work. `watch` is called while waiting, `say` tells people what happens."""

    area: MarketArea
    watch: Callable[[], None]
    say: Callable[[str], None]

    def trade(self, day: dt.date) -> None:
        """Let neighbours trade a day's surplus, settle the day, send invoices."""
        self.say(f"{day}: neighbours trade what their roofs made and they did not use")
        self.anchor(day)
        self.offer(day, until=timezone.now() + ONE_DAY, again=False)
        self.buy(day)
        self._settle(day)

    def finish_or_trade(self, day: dt.date) -> None:
        """A day that was on offer is finished; one that never was is traded first."""
        if Declaration.objects.filter(area=self.area, day=day).exists():
            self.finish(day)
        else:
            self.trade(day)

    def show(self, day: dt.date) -> None:
        """Keep a day's surplus on offer until the end of tomorrow, so that visitors can buy."""
        self.say(f"{day}: the surplus of this day stays on offer until tomorrow night")
        self.anchor(day)
        self.end_offers(day, only_expired=True)
        today = timezone.now().astimezone(self.area.zone).date()
        until = dt.datetime.fromtimestamp(day_bounds(today + ONE_DAY, self.area.zone)[1], dt.UTC)
        self.offer(day, until=until, again=True)

    def finish(self, day: dt.date) -> None:
        """Settle a day that was on offer."""
        self.say(f"{day}: the time to buy is over")
        self.anchor(day)
        self._settle(day)

    def _settle(self, day: dt.date) -> None:
        """End what is still on offer, settle the day and send invoices and credit notes."""
        self.end_offers(day)
        if not settled_days(self.area, pending=True).filter(day=day).exists():
            settle_day(self.area, day)
        self.wait()
        settled = current_settlements(self.area.pk, day, day + ONE_DAY).get(day)
        if settled is None:
            raise DemoError(f"The ledger did not take the settlement of {day}.")
        self.say(
            f"  settled: {kwh(settled.produced_wh)} made, {kwh(settled.allocated_wh)} of it used in the street,"
            f" {kwh(settled.fed_in_wh)} fed in; {kwh(settled.supplied_wh)} came from the utility"
        )
        self.bill(day)

    def bill(self, day: dt.date) -> None:
        """Issue the documents of a settled day that are still missing."""
        if bill_area(self.area, day, day + ONE_DAY):
            self.wait()
            issued = Invoice.objects.filter(area=self.area, start=day)
            self.say(f"  {issued.count()} invoices and credit notes issued, each with its evidence")

    def wait(self) -> None:
        wait_for_ledger(self.watch)

    def anchor(self, day: dt.date) -> None:
        """Put the roots of the day's batches on the ledger now rather than at the next minute."""
        batches = Batch.objects.filter(area=self.area, day=day)
        if batches.exclude(anchor__ledger_state=LedgerState.CONFIRMED).exists():
            anchor_batches(self.area)
            done = Anchor.objects.filter(area=self.area).exclude(ledger_state=LedgerState.CONFIRMED)
            wait_until(
                lambda: not done.exists() and not batches.filter(anchor=None).exists(), "the anchors", self.watch
            )
            self.say(f"  {batches.count()} signed batches of readings anchored on the ledger")

    def offer(self, day: dt.date, *, until: dt.datetime, again: bool) -> None:
        """Declare each plant's surplus, and let its owner offer a part of it; `again` when earlier offers are over."""
        plants = list(self.area.plants.select_related("owner", "point", "area").order_by("name"))
        for plant in plants:
            declared = Declaration.objects.filter(plant=plant, day=day).exists()
            if not declared and offers.metered_surplus(plant, day):
                offers.declare_surplus(plant, day)
        self.wait()
        for plant in plants:
            declaration = Declaration.objects.filter(plant=plant, day=day, ledger_state=LedgerState.CONFIRMED).first()
            if declaration is not None:
                earlier = declaration.offers.all()
                if not (earlier.filter(status=OfferStatus.OPEN) if again else earlier).exists():
                    self._offer_of(plant, declaration, until)
        self.wait()

    def _offer_of(self, plant: Plant, declaration: Declaration, until: dt.datetime) -> None:
        home = HOME_OF[plant.point.code]
        energy = min(offered_part(home, declaration.energy_wh), declaration.available_wh)
        if energy < LEAST_OFFER_WH:
            return
        with transaction.atomic():
            draft = offers.draft_offer(
                declaration=declaration, energy_wh=energy, price_micro=home.price_micro, open_until=until
            )
            offers.publish_offer(draft)
        price = f"{home.price_micro / 10_000:.1f} ct/kWh"
        self.say(f"  {home.person} offers {kwh(energy)} of {kwh(declaration.energy_wh)} surplus at {price}")

    def buy(self, day: dt.date) -> None:
        """Neighbours buy from the cheapest offer on, no more than they used while the sun was shining."""
        open_offers = Offer.objects.filter(
            declaration__area=self.area,
            declaration__day=day,
            status=OfferStatus.OPEN,
            ledger_state=LedgerState.CONFIRMED,
            open_until__gt=timezone.now(),
        ).select_related("declaration__plant__point")
        by_seller = {offer.declaration.plant.point.code: offer for offer in open_offers}
        points = {point.code: point for point in self.area.points.select_related("party")}
        needs = self._needs(day, list(points.values()))
        for seller, buyer, percent in PURCHASES:
            offer, point = by_seller.get(CODE_OF[seller]), points[CODE_OF[buyer]]
            if offer is None or Purchase.objects.filter(offer=offer, point=point).exists():
                continue
            energy = min(offer.energy_wh * percent // 100, needs[point.pk])
            if energy:
                offers.buy(offer=offer, buyer=point.party, point=point, energy_wh=energy)
                needs[point.pk] -= energy
                part = "all" if energy == offer.energy_wh else "a part"
                self.say(f"  {point.party} buys {kwh(energy)}, {part} of what {HOME_OF[CODE_OF[seller]].person} offers")
        self.wait()

    def _needs(self, day: dt.date, points: list[MeteringPoint]) -> dict[int, int]:
        """Wh that each metering point used in slots in which the street had surplus, by its id."""
        slots = day_slots(day, self.area.zone, self.area.slot_minutes)
        grids = readings.grids(
            self.area.pk, [point.pk for point in points], slots, (Register.CONSUMPTION, Register.GENERATION)
        )
        consumption, generation = grids[Register.CONSUMPTION].value, grids[Register.GENERATION].value
        sunny = np.any(generation > consumption, axis=0)
        used = consumption[:, sunny].sum(axis=1).tolist()
        return {point.pk: wh for point, wh in zip(points, used, strict=True)}

    def end_offers(self, day: dt.date, *, only_expired: bool = False) -> None:
        """Close what is sold out or over; with everything, the sellers withdraw the rest."""
        self.wait()
        still_open = Offer.objects.filter(
            declaration__area=self.area, declaration__day=day, status=OfferStatus.OPEN, closing_id=None
        )
        for offer in still_open:
            if offer.open_until < timezone.now() or not offer.remaining_wh:
                offers.close_offer(offer)
            elif not only_expired:
                offers.withdraw_offer(offer)
        self.wait()


def offered_part(home: Home, surplus_wh: int) -> int:
    part = surplus_wh * home.offers_percent // 100
    return min(part, home.offers_at_most_wh) if home.offers_at_most_wh else part


def kwh(wh: int) -> str:
    return f"{wh / 1000:.2f} kWh"


def settled_days(area: MarketArea, *, pending: bool = False) -> QuerySet[Settlement]:
    """Settlements that are on the ledger; with `pending` those on their way too."""
    states = [LedgerState.CONFIRMED, LedgerState.PENDING] if pending else [LedgerState.CONFIRMED]
    return Settlement.objects.filter(area=area, ledger_state__in=states)


def unsettled_days(area: MarketArea, before: dt.date) -> list[dt.date]:
    """Days with readings before `before` that are not settled, the oldest first."""
    metered = Batch.objects.filter(area=area, day__lt=before).values_list("day", flat=True).distinct()
    return sorted(set(metered) - set(settled_days(area).values_list("day", flat=True)))
