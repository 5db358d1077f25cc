"""What comes late or is missing, and people and plants that come and go."""

import datetime as dt

import pytest

from apps.accounts.services.parties import register_party
from apps.assets.services import add_metering_point, change_occupant, register_plant
from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.billing.services.invoices import bill_area
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.founding import trust_anchors
from apps.ledger.services.sweep import drain
from apps.metering import readings
from apps.metering.choices import Grade
from apps.metering.models import Batch
from apps.metering.services.anchors import anchor_batches
from apps.metering.services.imports import import_series
from apps.settlement.models import Settlement
from apps.settlement.services.settle import settle_day, settle_due_days
from apps.supply.models import SupplyContract
from apps.tariffs.models import Tariff
from evidence.readings import Quality, Register
from evidence.verify import verify
from market_math.slots import day_slots
from tests.market import Market, import_day, make_market

pytestmark = pytest.mark.django_db

HOURS = 24


def two_homes() -> Market:
    return make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)


def days_ago(market: Market, number: int) -> dt.date:
    return market.area.today - dt.timedelta(days=number)


def measure(market: Market, day: dt.date, bob: int = 50) -> None:
    import_day(market, day, {"alice": ([100] * HOURS, [300] * HOURS), "bob": ([bob] * HOURS, None)})


def settle(market: Market, day: dt.date) -> Settlement:
    settlement = settle_day(market.area, day)
    drain(DEFAULT)
    return settlement


def bill(market: Market, day: dt.date) -> dict[tuple[str, str], Invoice]:
    bill_area(market.area, day, day + dt.timedelta(days=1))
    drain(DEFAULT)
    return {(invoice.party.name, invoice.kind): invoice for invoice in Invoice.objects.select_related("party")}


def check(invoice: Invoice) -> dict[int, int]:
    """Verify an invoice's bundle; returns its grades."""
    return verify(evidence_bundle(invoice), trust_anchors(DEFAULT)).grades


def test_a_reading_that_comes_after_the_bill_leaves_its_evidence_as_it_was() -> None:
    market = two_homes()
    day = days_ago(market, 5)
    measure(market, day)
    settle(market, day)
    invoice = bill(market, day)["bob", DocumentKind.INVOICE]
    measure(market, day, bob=70)
    assert settle_due_days(market.area) == [], "a billed day changes by a correcting document only"
    assert check(invoice) == {Grade.OPERATOR_SIGNED: 50 * HOURS}


def test_a_reading_that_comes_before_the_bill_is_settled_anew() -> None:
    market = two_homes()
    day = days_ago(market, 5)
    measure(market, day)
    settle(market, day)
    measure(market, day, bob=70)
    [again] = settle_due_days(market.area)
    assert (again.version, again.consumed_wh) == (2, (100 + 70) * HOURS)
    drain(DEFAULT)
    assert settle_due_days(market.area) == []
    assert check(bill(market, day)["bob", DocumentKind.INVOICE]) == {Grade.OPERATOR_SIGNED: 70 * HOURS}


def test_missing_readings_are_substituted_by_those_of_a_week_before() -> None:
    market = two_homes()
    day = days_ago(market, 5)
    measure(market, day - dt.timedelta(days=7), bob=40)
    measure(market, day - dt.timedelta(days=1), bob=60)
    for earlier in (day - dt.timedelta(days=7), day - dt.timedelta(days=1)):
        settle(market, earlier)
    import_day(market, day, {"alice": ([100] * HOURS, [300] * HOURS)})
    assert day not in {settlement.day for settlement in settle_due_days(market.area)}
    anchor_batches(market.area)
    drain(DEFAULT)
    [settlement] = [one for one in settle_due_days(market.area) if one.day == day]
    assert settlement.consumed_wh == (100 + 40) * HOURS
    drain(DEFAULT)
    assert check(bill(market, day)["bob", DocumentKind.INVOICE]) == {Grade.SUBSTITUTE: 40 * HOURS}


def test_a_day_without_any_reading_is_settled_with_substitutes() -> None:
    market = two_homes()
    day = days_ago(market, 4)
    measure(market, day - dt.timedelta(days=1))
    settle(market, day - dt.timedelta(days=1))
    settle_due_days(market.area)
    anchor_batches(market.area)
    drain(DEFAULT)
    [settlement] = settle_due_days(market.area)
    assert (settlement.day, settlement.produced_wh) == (day, 300 * HOURS), "the sun of the day before"
    assert settlement.consumed_wh == (100 + 50) * HOURS
    assert set(Batch.objects.filter(day=day).values_list("grade", flat=True)) == {Grade.SUBSTITUTE}


def test_substitutes_keep_to_the_clock_when_it_is_changed() -> None:
    """2026-10-25 has 25 hours in Berlin. What is put in at 18:00 is what was measured at 18:00 a week before."""
    market = two_homes()
    before, day = dt.date(2026, 10, 18), dt.date(2026, 10, 25)
    bob = list(range(24))
    import_day(market, before, {"alice": ([100] * 24, [0] * 24), "bob": (bob, None)})
    import_day(market, day, {"alice": ([100] * 25, [0] * 25)})
    settle_due_days(market.area)
    slots = day_slots(day, market.area.zone, 60)
    point = market.points["bob"].pk
    grid = readings.grids(market.area.pk, [point], slots, (Register.CONSUMPTION,))[Register.CONSUMPTION]
    assert grid.value[0].tolist() == [0, 1, 2, 2, *range(3, 24)]
    stored = readings.latest(market.area.pk, [point], slots.start, slots.stop)
    assert {reading.quality for reading in stored} == {Quality.SUBSTITUTE}


def test_a_newcomer_does_not_stop_the_settlement_of_days_before() -> None:
    market = two_homes()
    day = days_ago(market, 5)
    measure(market, day)
    carol = register_party(name="carol", utility=market.utility)
    add_metering_point(area=market.area, party=carol, code="carol-1", since=day + dt.timedelta(days=1))
    drain(DEFAULT)
    assert settle(market, day).consumed_wh == 150 * HOURS


def test_a_new_plant_does_not_stop_the_settlement_of_days_before() -> None:
    """And bob's bundle of that day verifies although his plant is on the ledger before its settlement."""
    market = two_homes()
    day = days_ago(market, 5)
    measure(market, day)
    bob = market.points["bob"]
    register_plant(point=bob, owner=bob.party, name="new roof", power_w=5_000, since=day + dt.timedelta(days=1))
    drain(DEFAULT)
    settle(market, day)
    assert check(bill(market, day)["bob", DocumentKind.INVOICE]) == {Grade.OPERATOR_SIGNED: 50 * HOURS}


def test_a_former_occupants_invoice_can_be_proven_after_the_next_one_moved_in() -> None:
    market = two_homes()
    day = days_ago(market, 6)
    moving = day + dt.timedelta(days=1)
    bob = market.points["bob"]
    carol = register_party(name="carol", utility=market.utility)
    drain(DEFAULT)
    SupplyContract.objects.filter(point=bob).update(until=moving)
    SupplyContract.objects.create(point=bob, tariff=Tariff.objects.get(name="Basic"), since=moving)
    measure(market, day)
    change_occupant(bob, carol, since=moving)
    measure(market, moving, bob=80)
    for one in (day, moving):
        settle(market, one)
    bill(market, day)
    invoices = bill(market, moving)
    assert check(invoices["bob", DocumentKind.INVOICE]) == {Grade.OPERATOR_SIGNED: 50 * HOURS}
    assert check(invoices["carol", DocumentKind.INVOICE]) == {Grade.OPERATOR_SIGNED: 80 * HOURS}


def test_late_readings_are_imported_with_their_own_occupants_secret() -> None:
    """Readings of a day before the change are salted with the secret of who lived there then."""
    market = two_homes()
    day = days_ago(market, 6)
    bob = market.points["bob"]
    carol = register_party(name="carol", utility=market.utility)
    change_occupant(bob, carol, since=day + dt.timedelta(days=1))
    slots = day_slots(day, market.area.zone, 60)
    import_series(market.area, market.utility, {bob: {Register.CONSUMPTION: dict.fromkeys(slots, 10)}})
    assert Batch.objects.filter(day=day).count() == 1
