"""What runs by itself every day: surplus goes on sale, what is over ends, days are settled."""

import datetime as dt
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.billing.models import Invoice
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering.models import Device
from apps.offers import services as offers
from apps.offers.models import Declaration, Offer
from apps.offers.tasks import run_daily as trade
from apps.settlement.models import Settlement
from apps.settlement.tasks import run_daily as settle
from evidence.keys import SoftwareKey
from tests.market import Market, import_day, make_market

pytestmark = pytest.mark.django_db


def market_of(day: dt.date, market: Market | None = None) -> Market:
    market = market or make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    import_day(market, day, {"alice": ([100] * 24, [300] * 24), "bob": ([50] * 24, None)})
    return market


def days_ago(market: Market, number: int) -> dt.date:
    return market.area.today - dt.timedelta(days=number)


def test_surplus_of_the_days_of_trade_is_declared_once() -> None:
    market = make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    for back in (1, 2, 5):
        market_of(days_ago(market, back), market)
    trade()
    trade()
    declared = Declaration.objects.values_list("day", "energy_wh").order_by("day")
    assert list(declared) == [(days_ago(market, 2), 4800), (days_ago(market, 1), 4800)]


def test_a_day_is_settled_after_its_days_of_trade_and_one_that_cannot_be_waits() -> None:
    market = make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    market_of(days_ago(market, 2), market)
    market_of(days_ago(market, 4), market)
    short = days_ago(market, 6)
    import_day(market, short, {"alice": ([100] * 24, [300] * 24)})
    settle()
    settle()
    assert list(Settlement.objects.values_list("day", "version")) == [(days_ago(market, 4), 1)]


def test_an_offer_that_is_sold_out_is_closed() -> None:
    market = make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    market_of(days_ago(market, 1), market)
    trade()
    drain(DEFAULT)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    declaration = Declaration.objects.get()
    for _ in range(2):
        draft = offers.draft_offer(declaration=declaration, energy_wh=500, price_micro=1, open_until=until)
        offers.publish_offer(draft)
        declaration.refresh_from_db()
    drain(DEFAULT)
    sold, unsold = Offer.objects.order_by("pk")
    offers.buy(offer=sold, buyer=market.party("bob"), point=market.points["bob"], energy_wh=500)
    assert offers.close_finished_offers(market.area) == 0, "its purchase still waits for the ledger"
    drain(DEFAULT)
    assert offers.close_finished_offers(market.area) == 1
    unsold.refresh_from_db()
    assert unsold.closing_id is None


def test_an_operator_can_do_each_step_by_hand() -> None:
    market = make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    day = days_ago(market, 2)
    market_of(day, market)
    call_command("declare_surplus", "Area", day.isoformat(), stdout=StringIO())
    drain(DEFAULT)
    out = StringIO()
    call_command("settle", "Area", day.isoformat(), stdout=out)
    assert "version 1: produced 7200 Wh" in out.getvalue()
    drain(DEFAULT)
    call_command("bill", "Area", day.isoformat(), (day + dt.timedelta(days=1)).isoformat(), stdout=StringIO())
    assert Invoice.objects.count() == 2
    with pytest.raises(CommandError, match="no market area"):
        call_command("bill", "Nowhere", day.isoformat(), day.isoformat())


def test_a_meter_box_is_registered_by_its_public_key() -> None:
    make_market({"alice": 10_000})
    key, out = SoftwareKey.generate().public_key, StringIO()
    call_command("register_device", "Area", "Box", key.x.hex(), key.y.hex(), "alice-1", stdout=out)
    drain(DEFAULT)
    device = Device.objects.get()
    assert device.is_confirmed
    assert f'device = "{device.ledger_id.hex()}"' in out.getvalue()
    with pytest.raises(CommandError, match="bob-1"):
        call_command("register_device", "Area", "Box", key.x.hex(), key.y.hex(), "bob-1")
