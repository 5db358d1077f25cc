"""Settle an area's day."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.assets.selectors import occupied_points, plants_on
from apps.ledger.choices import LedgerState
from apps.ledger.exceptions import Refused
from apps.ledger.services.enqueue import enqueue
from apps.metering import readings
from apps.metering.choices import Unit
from apps.metering.completeness import Gate, gate_of
from apps.metering.models import Anchor, Batch
from apps.metering.services.substitutes import substitute_missing
from apps.offers.choices import OfferStatus
from apps.offers.models import Offer, Purchase
from apps.offers.services import close_day
from apps.settlement import allocations
from apps.settlement.allocations import UTILITY, Allocation, Names
from apps.settlement.choices import Scheme
from apps.settlement.exceptions import SettlementError
from apps.settlement.models import Settlement
from apps.supply.models import FeedInContract, SupplyContract
from apps.supply.selectors import feed_in_contracts, prices_on, supply_contracts
from evidence.commands.kinds import RecordSettlement
from evidence.hashing import ZERO
from evidence.readings import Register
from market_math.allocation import Ints
from market_math.slots import day_number, day_slots
from market_math.waterfall import Purchases, Waterfall, run_waterfall

logger = structlog.get_logger(__name__)

# A day without a single reading is settled with substitutes if it is not longer ago than this.
MOST_SILENT_DAYS = 31


@dataclass(frozen=True, slots=True)
class Day:
    """All that a day's settlement is made from. Points, plants and purchases are in ascending order of ledger ids."""

    area: MarketArea
    day: dt.date
    slots: range
    points: list[MeteringPoint]
    plants: list[Plant]
    purchases: list[Purchase]
    anchors: list[Anchor]
    supply: dict[int, SupplyContract]
    feed_in: dict[int, FeedInContract]
    generation: Ints
    consumption: Ints


def settle_day(area: MarketArea, day: dt.date) -> Settlement:
    """Settle a day that is over, as its next version, and queue the root for the ledger.

    Raises `SettlementError` when something is still open: offers, commands, readings, anchors or contracts.
    """
    slots = day_slots(day, area.zone, area.slot_minutes)
    allocations.prepare_partitions(slots.start, slots.stop)
    with transaction.atomic():
        MarketArea.objects.select_for_update(no_key=True).get(pk=area.pk)
        gathered = gather(area, day)
        close_day(area, day)
        return _store(gathered, settle(gathered))


def settle_due_days(area: MarketArea) -> list[Settlement]:
    """Settle every day that is past its days of trade: those never settled, and those whose readings changed since.

    Readings that are missing are substituted when the area's setting says so; such a day is settled once these are
    anchored. A day that cannot be settled yet is logged with the reason, and tried again the next time.
    """
    done = []
    for day in _due_days(area):
        try:
            if _is_complete(area, day):
                done.append(settle_day(area, day))
        except (SettlementError, Refused) as reason:
            logger.warning("day_not_settled", area=area.pk, day=day.isoformat(), reason=str(reason))
    return done


def _is_complete(area: MarketArea, day: dt.date) -> bool:
    """Whether a day can be settled now. Substitutes for what is missing are put in where they are due."""
    gate = gate_of(area, day)
    if gate is Gate.CLOSED:
        raise SettlementError(_("Readings of this day are missing."))
    if gate is Gate.DUE:
        reason = _("missing for longer than %(days)s days") % {"days": area.substitute_days}
        if decision := substitute_missing(area, day, reason=reason):
            logger.warning("readings_substituted", area=area.pk, day=day.isoformat(), readings=decision.count)
        return False
    return True


def _due_days(area: MarketArea) -> list[dt.date]:
    before = area.today - dt.timedelta(days=area.trade_days)
    measured = set(Batch.objects.filter(area=area, day__lt=before).values_list("day", flat=True).distinct())
    if not measured:
        return []
    standing = Settlement.objects.filter(area=area).exclude(ledger_state=LedgerState.REJECTED)
    settled, billed = (
        set(found.values_list("day", flat=True)) for found in (standing, standing.exclude(invoices=None))
    )
    anchored = Anchor.objects.filter(area=area, ledger_state=LedgerState.CONFIRMED, batches__unit=Unit.WH)
    late = set(anchored.exclude(settlements__in=standing).values_list("day", flat=True))
    silent = {before - dt.timedelta(days=offset) for offset in range(1, MOST_SILENT_DAYS + 1)}
    days = measured | {day for day in silent if day > min(measured)}
    return sorted(day for day in days if day not in settled or (day in late and day not in billed))


def gather(area: MarketArea, day: dt.date) -> Day:
    slots = day_slots(day, area.zone, area.slot_minutes)
    if slots.stop > timezone.now().timestamp():
        raise SettlementError(_("The day is not over yet."))
    _check_nothing_open(area, day)
    points = sorted(occupied_points(area, day), key=lambda point: bytes(point.ledger_id))
    plants = sorted(plants_on(area, day), key=lambda plant: bytes(plant.ledger_id))
    anchors = list(Anchor.objects.filter(area=area, day=day, ledger_state=LedgerState.CONFIRMED))
    bought = Purchase.objects.filter(
        offer__declaration__area=area, offer__declaration__day=day, ledger_state=LedgerState.CONFIRMED
    ).select_related("offer__declaration__plant")
    purchases = sorted(bought, key=lambda p: (bytes(p.offer.declaration.plant.ledger_id), bytes(p.ledger_id)))
    generation, consumption = _energy(area, slots, points, plants, anchors)
    return Day(
        area,
        day,
        slots,
        points,
        plants,
        purchases,
        anchors,
        supply_contracts(area, day),
        feed_in_contracts(area, day),
        generation,
        consumption,
    )


def _check_nothing_open(area: MarketArea, day: dt.date) -> None:
    offers = Offer.objects.filter(declaration__area=area, declaration__day=day, status=OfferStatus.OPEN)
    if offers.exists():
        raise SettlementError(_("%(count)s offers of this day are still open.") % {"count": offers.count()})
    purchases = Purchase.objects.filter(offer__declaration__area=area, offer__declaration__day=day)
    if purchases.filter(ledger_state=LedgerState.PENDING).exists():
        raise SettlementError(_("Purchases of this day still wait for the ledger."))
    batches = Batch.objects.filter(area=area, day=day)
    if batches.exclude(anchor__ledger_state=LedgerState.CONFIRMED).exists():
        raise SettlementError(_("Readings of this day are not anchored on the ledger yet."))
    before = Settlement.objects.filter(area=area, day=day, ledger_state=LedgerState.PENDING)
    if before.exists():
        raise SettlementError(_("An earlier version of this day still waits for the ledger."))


def _energy(
    area: MarketArea, slots: range, points: list[MeteringPoint], plants: list[Plant], anchors: list[Anchor]
) -> tuple[Ints, Ints]:
    """Wh of the plants' generation and the points' consumption, (plants, slots) and (points, slots)."""
    registers = (Register.GENERATION, Register.CONSUMPTION)
    ids = [point.pk for point in points]
    grids = readings.grids(area.pk, ids, slots, registers, [anchor.pk for anchor in anchors])
    row_of = {point.pk: index for index, point in enumerate(points)}
    at = [row_of[plant.point_id] for plant in plants]
    missing = int(grids[Register.CONSUMPTION].missing.sum() + grids[Register.GENERATION].missing[at].sum())
    if missing:
        raise SettlementError(_("%(count)s readings of this day are missing.") % {"count": missing})
    return grids[Register.GENERATION].value[at], grids[Register.CONSUMPTION].value


def settle(day: Day) -> Waterfall:
    """Run the waterfall over a day."""
    row_of_point = {point.pk: index for index, point in enumerate(day.points)}
    row_of_plant = {plant.pk: index for index, plant in enumerate(day.plants)}
    purchases = Purchases(
        np.array([row_of_plant[p.offer.declaration.plant_id] for p in day.purchases], np.intp),
        np.array([row_of_point[p.point_id] for p in day.purchases], np.intp),
        np.array([p.energy_wh for p in day.purchases], np.int64),
    )
    site = np.array([row_of_point[plant.point_id] for plant in day.plants], np.intp)
    return run_waterfall(day.generation, day.consumption, site, purchases)


def rows(day: Day, waterfall: Waterfall) -> Iterator[Allocation]:
    """The waterfall as allocations. Raises `SettlementError` when energy flows without a contract."""
    slots, points, plants = day.slots, day.points, day.plants
    for i, t in zip(*np.nonzero(waterfall.own_use), strict=True):
        wh, point = int(waterfall.own_use[i, t]), plants[i].point_id
        yield Allocation(plants[i].pk, slots[t], Scheme.OWN_USE, point, point, 0, wh, wh, 0)
    delivered = waterfall.deliveries
    columns = (delivered.purchase, delivered.slot, delivered.weight, delivered.limit, delivered.allocated)
    for i, t, weight, limit, wh in zip(*(column.tolist() for column in columns), strict=True):
        purchase = day.purchases[i]
        plant, price = purchase.offer.declaration.plant_id, purchase.price_micro
        yield Allocation(plant, slots[t], Scheme.PURCHASE, purchase.point_id, purchase.pk, weight, limit, wh, price)
    feed_in_prices = prices_on(day.day, day.feed_in.values())
    for i, t in zip(*np.nonzero(waterfall.fed_in), strict=True):
        wh, plant = int(waterfall.fed_in[i, t]), plants[i]
        contract = day.feed_in.get(plant.pk)
        if contract is None:
            raise SettlementError(_("The plant %(plant)s has no feed-in contract.") % {"plant": plant})
        price = _price(feed_in_prices, contract)
        yield Allocation(plant.pk, slots[t], Scheme.FEED_IN, plant.point_id, contract.pk, 0, wh, wh, price)
    supply_prices = prices_on(day.day, day.supply.values())
    for i, t in zip(*np.nonzero(waterfall.supplied), strict=True):
        wh, point = int(waterfall.supplied[i, t]), points[i]
        supply = day.supply.get(point.pk)
        if supply is None:
            raise SettlementError(_("The metering point %(point)s has no supply contract.") % {"point": point.code})
        price = _price(supply_prices, supply)
        yield Allocation(UTILITY, slots[t], Scheme.SUPPLY, point.pk, supply.pk, 0, wh, wh, price)


def _price(prices: dict[int, int], contract: SupplyContract | FeedInContract) -> int:
    if contract.tariff_id not in prices:
        raise SettlementError(_("The tariff %(tariff)s has no price yet on this day.") % {"tariff": contract.tariff})
    return prices[contract.tariff_id]


def _store(day: Day, waterfall: Waterfall) -> Settlement:
    area = day.area
    before = Settlement.objects.filter(area=area, day=day.day).exclude(ledger_state=LedgerState.REJECTED)
    previous = before.order_by("-version").first()
    if previous is not None and previous.invoices.exists():
        raise SettlementError(_("This day is billed: its settlement can only change with a correcting document."))
    allocated = list(rows(day, waterfall))
    settlement = Settlement(
        area=area,
        day=day.day,
        version=previous.version + 1 if previous else 1,
        slots=len(day.slots),
        produced_wh=int(day.generation.sum()),
        consumed_wh=int(day.consumption.sum()),
        allocated_wh=int(waterfall.own_use.sum() + waterfall.deliveries.allocated.sum()),
        fed_in_wh=int(waterfall.fed_in.sum()),
        supplied_wh=int(waterfall.supplied.sum()),
    )
    names = Names(area.pk, bytes(area.utility.ledger_id), [purchase.pk for purchase in day.purchases])
    trees = allocations.build_trees(settlement.salt, names, allocated, allocations.surplus_of(allocated))
    settlement.root = allocations.settlement_root(trees)
    settlement.command_id = enqueue(
        RecordSettlement(
            bytes(area.ledger_id),
            day_number(day.day),
            settlement.version,
            len(trees),
            settlement.root,
            bytes(previous.root) if previous else ZERO,
            settlement.produced_wh,
            settlement.consumed_wh,
            settlement.allocated_wh,
            settlement.fed_in_wh,
            settlement.supplied_wh,
        ),
        ledger=area.utility.ledger,
    )
    settlement.save()
    settlement.anchors.set(day.anchors)
    allocations.write(settlement, allocated)
    return settlement
