"""One market day through all layers: readings, surplus, offer, purchase, settlement."""

import datetime as dt

import pytest
from django.utils import timezone

from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.offers import services as offers
from apps.settlement.selectors import day_flows
from apps.settlement.services.settle import settle_day
from tests.market import import_day, make_market

pytestmark = pytest.mark.django_db
DAY = dt.date(2026, 6, 1)


def test_a_market_day_from_readings_to_settlement() -> None:
    market = make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    sun = [0] * 8 + [2000] * 8 + [0] * 8
    import_day(market, DAY, {"alice": ([500] * 24, sun), "bob": ([400] * 24, None)})
    declaration = offers.declare_surplus(market.plants["alice"], DAY)
    assert declaration.energy_wh == 8 * 1500
    drain(DEFAULT)
    until = timezone.now() + dt.timedelta(hours=1)
    offer = offers.draft_offer(declaration=declaration, energy_wh=3000, price_micro=200_000, open_until=until)
    offers.publish_offer(offer)
    drain(DEFAULT)
    purchase = offers.buy(offer=offer, buyer=market.party("bob"), point=market.points["bob"], energy_wh=3000)
    drain(DEFAULT)
    offers.close_offer(offer)
    drain(DEFAULT)
    settlement = settle_day(market.area, DAY)
    drain(DEFAULT)
    settlement.refresh_from_db()
    purchase.refresh_from_db()
    assert settlement.is_confirmed
    assert purchase.delivered_wh == 3000
    flows = day_flows(market.points["bob"], DAY)
    assert flows is not None
    assert flows.from_neighbours[8:17] == [400] * 7 + [200, 0]
    assert sum(flows.from_neighbours) + sum(flows.from_utility) == 24 * 400
