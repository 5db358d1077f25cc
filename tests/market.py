"""A small market for tests: a utility, an area, customers with metering points, plants and contracts."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from apps.accounts.choices import PartyRole
from apps.accounts.models import Party
from apps.accounts.services.parties import register_party
from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.assets.services import add_metering_point, register_plant
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.services.founding import found_ledger
from apps.ledger.services.sweep import drain
from apps.metering.services.anchors import anchor_batches
from apps.metering.services.imports import Series, import_series
from apps.supply.models import FeedInContract, SupplyContract
from apps.tariffs.models import Price, Tariff, TariffKind, VatRate
from evidence.readings import Register
from market_math.slots import day_slots

SINCE = dt.date(2020, 1, 1)
SUPPLY_PRICE = 320_000
FEED_IN_PRICE = 80_000
VAT_PPM = 190_000


@dataclass(frozen=True)
class Market:
    utility: Party
    area: MarketArea
    points: dict[str, MeteringPoint]
    plants: dict[str, Plant]

    def party(self, name: str) -> Party:
        return self.points[name].party


def make_market(
    people: Mapping[str, int], *, slot_minutes: int = 15, time_zone: str = "Europe/Berlin", name: str = "Utility"
) -> Market:
    """`people`: installed power in W by name, 0 for those without a plant. Everything is on the ledger."""
    get_ledger.cache_clear()
    found_ledger(DEFAULT)
    utility = register_party(name=name, role=PartyRole.UTILITY)
    area = MarketArea.objects.create(utility=utility, name="Area", slot_minutes=slot_minutes, time_zone=time_zone)
    supply = Tariff.objects.create(area=area, kind=TariffKind.SUPPLY, name="Basic")
    feed_in = Tariff.objects.create(area=area, kind=TariffKind.FEED_IN, name="Surplus")
    Price.objects.create(tariff=supply, since=SINCE, micro_per_kwh=SUPPLY_PRICE)
    Price.objects.create(tariff=feed_in, since=SINCE, micro_per_kwh=FEED_IN_PRICE)
    VatRate.objects.create(area=area, since=SINCE, ppm=VAT_PPM)
    points, plants = {}, {}
    for person, power_w in people.items():
        party = register_party(name=person, utility=utility)
        point = add_metering_point(area=area, party=party, code=f"{person}-1", since=SINCE)
        SupplyContract.objects.create(point=point, tariff=supply, since=SINCE)
        points[person] = point
        if power_w:
            plants[person] = register_plant(
                point=point, owner=party, name=f"{person}'s roof", power_w=power_w, since=SINCE
            )
            FeedInContract.objects.create(plant=plants[person], tariff=feed_in, since=SINCE)
    drain(DEFAULT)
    utility.refresh_from_db()
    return Market(utility, area, points, plants)


def import_day(market: Market, day: dt.date, energy: Mapping[str, tuple[list[int], list[int] | None]]) -> None:
    """Import a day of (consumption, generation) per slot by name, and anchor it."""
    slots = day_slots(day, market.area.zone, market.area.slot_minutes)
    series: dict[MeteringPoint, Series] = {}
    for person, (consumption, generation) in energy.items():
        registers: dict[int, dict[int, int]] = {Register.CONSUMPTION: dict(zip(slots, consumption, strict=True))}
        if generation is not None:
            registers[Register.GENERATION] = dict(zip(slots, generation, strict=True))
        series[market.points[person]] = registers
    import_series(market.area, market.utility, series)
    anchor_batches(market.area)
    drain(DEFAULT)
