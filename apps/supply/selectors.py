"""Which contract holds, and at which price."""

import datetime as dt
from collections.abc import Iterable

from django.db.models import Q

from apps.assets.models import MarketArea
from apps.supply.models import Contract, FeedInContract, SupplyContract
from apps.tariffs.models import Price


def supply_contracts(area: MarketArea, day: dt.date) -> dict[int, SupplyContract]:
    """The supply contract that holds on a day, by metering point."""
    holding = SupplyContract.objects.filter(Q(until=None) | Q(until__gt=day), point__area=area, since__lte=day)
    return {contract.point_id: contract for contract in holding}


def feed_in_contracts(area: MarketArea, day: dt.date) -> dict[int, FeedInContract]:
    """The feed-in contract that holds on a day, by plant."""
    holding = FeedInContract.objects.filter(Q(until=None) | Q(until__gt=day), plant__area=area, since__lte=day)
    return {contract.plant_id: contract for contract in holding}


def prices_on(day: dt.date, contracts: Iterable[Contract]) -> dict[int, int]:
    """Micro-currency per kWh by tariff. A tariff without a price on that day is missing."""
    tariffs = {contract.tariff_id for contract in contracts}
    prices = Price.objects.filter(tariff__in=tariffs, since__lte=day).order_by("since")
    return dict(prices.values_list("tariff_id", "micro_per_kwh"))
