"""Which days are settled and which stay on offer, from one start of the demonstration to the next."""

import datetime as dt

import pytest
from django.utils import timezone

from apps.accounts.models import Party
from apps.assets.models import MarketArea
from apps.billing.models import Invoice
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.services.founding import found_ledger
from apps.ledger.services.sweep import drain
from apps.metering.services.imports import import_series
from apps.offers.choices import OfferStatus
from apps.offers.models import Offer, Purchase
from apps.portal.demo import stage
from apps.portal.demo.day import Clerk, settled_days
from apps.portal.demo.market import make_market
from apps.portal.demo.street import HOMES
from evidence.keys import SoftwareKey
from evidence.readings import Register
from market_math.slots import day_slots

pytestmark = pytest.mark.django_db

TODAY = timezone.now().date() - dt.timedelta(days=1)  # some day that is over everywhere


def before(days: int) -> dt.date:
    return TODAY - dt.timedelta(days=days)


@pytest.fixture
def area() -> MarketArea:
    get_ledger.cache_clear()
    found_ledger(DEFAULT)
    area = make_market({box: SoftwareKey.generate().public_key for box in {home.box for home in HOMES}}, "password")
    drain(DEFAULT)
    return MarketArea.objects.select_related("utility").get(pk=area.pk)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def clerk(area: MarketArea, said: list[str]) -> Clerk:
    return Clerk(area, lambda: drain(DEFAULT), said.append)


def read_meters(area: MarketArea, day: dt.date, *, without: int = 0) -> None:
    """A day's readings of all homes, less some slots at its end."""
    slots = list(day_slots(day, area.zone, area.slot_minutes))
    kept = slots[: len(slots) - without]
    series = {}
    for point in area.points.select_related("plant"):
        registers: dict[int, dict[int, int]] = {Register.CONSUMPTION: dict.fromkeys(kept, 100)}
        if hasattr(point, "plant"):
            sunny = range(slots[40], slots[60])
            registers[Register.GENERATION] = {slot: 500 if slot in sunny else 0 for slot in kept}
        series[point] = registers
    import_series(area, Party.objects.get(pk=area.utility_id), series)


def settled(area: MarketArea) -> list[dt.date]:
    return sorted(settled_days(area).values_list("day", flat=True))


def on_offer() -> set[dt.date]:
    return set(Offer.objects.filter(status=OfferStatus.OPEN).values_list("declaration__day", flat=True))


def test_yesterday_is_settled_and_the_day_before_stays_on_offer(
    area: MarketArea, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "today", lambda area: before(2))
    for day in (before(4), before(3)):
        read_meters(area, day)
    assert stage.work_off(clerk)
    assert (settled(area), on_offer()) == ([before(3)], {before(4)})
    assert Invoice.objects.filter(start=before(3)).count() == 9
    assert Purchase.objects.count() == 5

    assert stage.work_off(clerk)
    assert (settled(area), on_offer()) == ([before(3)], {before(4)})
    assert Offer.objects.filter(status=OfferStatus.OPEN).count() == 3

    monkeypatch.setattr(stage, "today", lambda area: before(1))
    read_meters(area, before(2))
    assert stage.work_off(clerk)
    assert (settled(area), on_offer()) == ([before(3), before(2)], {before(4)})

    monkeypatch.setattr(stage, "today", lambda area: TODAY)
    read_meters(area, before(1))
    assert stage.work_off(clerk)
    assert (settled(area), on_offer()) == ([before(3), before(2), before(1)], {before(4)})


def test_two_new_days_end_the_time_to_buy_of_the_old_one(
    area: MarketArea, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "today", lambda area: before(2))
    for day in (before(4), before(3)):
        read_meters(area, day)
    assert stage.work_off(clerk)
    monkeypatch.setattr(stage, "today", lambda area: TODAY)
    for day in (before(2), before(1)):
        read_meters(area, day)
    assert stage.work_off(clerk)
    assert (settled(area), on_offer()) == ([before(4), before(3), before(1)], {before(2)})
    assert Invoice.objects.count() == 27


def test_a_day_without_all_its_readings_waits(
    area: MarketArea, clerk: Clerk, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "today", lambda area: TODAY)
    read_meters(area, before(1), without=1)
    assert not stage.work_off(clerk)
    assert "  this day has to wait: Readings of this day are still missing." in said
    assert settled(area) == []
