"""Six weeks of twelve real households and two real photovoltaic profiles, against a calculation of the test's own."""

import datetime as dt
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.accounting.models import Posting
from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.invoices import bill_area
from apps.ledger.choices import LedgerState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command
from apps.ledger.services.sweep import drain
from apps.metering.models import Batch
from apps.metering.services.anchors import anchor_batches
from apps.offers import services as offers
from apps.offers.models import Declaration, Offer, Purchase
from apps.settlement import allocations
from apps.settlement.models import Settlement
from apps.settlement.services.settle import settle_day
from apps.supply.models import FeedInContract
from apps.tariffs.models import Price, Tariff, TariffKind
from evidence import canonical
from tests.data import reference
from tests.data.reference import Bought, Served
from tests.market import FEED_IN_PRICE, SUPPLY_PRICE, Market, make_market

pytestmark = [pytest.mark.data, pytest.mark.django_db, pytest.mark.timeout(600)]

FIRST, LAST = dt.date(2021, 2, 15), dt.date(2021, 3, 31)
SUMMER_TIME = dt.date(2021, 3, 28)
MONTHS = [(FIRST, dt.date(2021, 3, 1)), (dt.date(2021, 3, 1), dt.date(2021, 4, 1))]
DEARER_SINCE, DEARER = dt.date(2021, 3, 15), 333_333
POWER_W = 10_000
ROOFS = {0: "pv_1_per_unit.csv", 1: "pv_2_per_unit.csv", 2: "pv_1_per_unit.csv"}
SELLER_WITH_VAT = 1
SECONDS = 900
OWN_USE, PURCHASE, FEED_IN, SUPPLY = 1, 5, 8, 9

Registers = dict[bytes, dict[int, int]]


@dataclass(frozen=True)
class Case:
    """The market, and what its readings must be: Wh by slot, of consumption by point and generation by plant."""

    market: Market
    households: list[str]
    consumption: Registers
    generation: Registers
    site: dict[bytes, bytes]
    days: dict[dt.date, list[int]]

    @property
    def sellers(self) -> list[str]:
        return self.households[: len(ROOFS)]


def test_six_weeks_to_the_watt_hour_and_to_the_cent(sample_data: Path) -> None:
    case = imported(sample_data / "community-15min")
    trade(case)
    for day in case.days:
        settle_day(case.market.area, day)
    drain(DEFAULT)
    results = check_settlements(case)
    check_purchases(case, results)
    for start, end in MONTHS:
        bill_area(case.market.area, start, end)
        drain(DEFAULT)
    check_documents(case, results)
    check_books()
    assert not Command.objects.exclude(state="confirmed").exists()


def imported(folder: Path) -> Case:
    files = sorted(folder.glob("household_*.csv"))
    households = [file.stem for file in files]
    assert len(households) == 12
    market = make_market({name: POWER_W if n in ROOFS else 0 for n, name in enumerate(households)})
    supply = Tariff.objects.get(area=market.area, kind=TariffKind.SUPPLY)
    Price.objects.create(tariff=supply, since=DEARER_SINCE, micro_per_kwh=DEARER)
    FeedInContract.objects.filter(plant=market.plants[households[SELLER_WITH_VAT]]).update(vat_ppm=190_000)
    arguments = [f"{file}={file.stem}-1:consumption" for file in files]
    arguments += [f"{folder / roof}={households[n]}-1:generation:share" for n, roof in ROOFS.items()]
    call_command("import_profiles", *arguments, area="Area", verbosity=0)
    anchor_batches(market.area)
    drain(DEFAULT)
    consumption = {id_of(market.points[f.stem]): reference.energy_of_file(f, 1, SECONDS) for f in files}
    generation = {
        id_of(market.plants[households[n]]): reference.energy_of_file(folder / roof, POWER_W, SECONDS)
        for n, roof in ROOFS.items()
    }
    site = {id_of(market.plants[name]): id_of(market.points[name]) for name in households[: len(ROOFS)]}
    days = reference.local_days(next(iter(consumption.values())), market.area.zone)
    assert (min(days), max(days), len(days)) == (FIRST, LAST, 45)
    assert {day: len(slots) for day, slots in days.items() if len(slots) != 96} == {SUMMER_TIME: 92}
    assert set(Batch.objects.values_list("grade", "importer_id")) == {(2, market.utility.pk)}
    return Case(market, households, consumption, generation, site, days)


def id_of(thing: Any) -> bytes:
    return bytes(thing.ledger_id)


def trade(case: Case) -> None:
    """Each seller offers most of a day's surplus at two prices; several buyers take parts, some more than they use."""
    chance = random.Random(20210328)
    declared = [declaration for day in case.days for declaration in declare(case, day)]
    drain(DEFAULT)
    published = [offer for declaration in declared for offer in publish(case, declaration, chance)]
    drain(DEFAULT)
    for offer in published:
        buy_parts(case, offer, chance)
    drain(DEFAULT)
    for offer in published:
        offer.refresh_from_db()
        end_offer = offers.withdraw_offer if offer.remaining_wh else offers.close_offer
        end_offer(offer)
    drain(DEFAULT)


def declare(case: Case, day: dt.date) -> Iterable[Declaration]:
    for name in case.sellers:
        plant = case.market.plants[name]
        made, used = case.generation[id_of(plant)], case.consumption[case.site[id_of(plant)]]
        surplus = sum(max(made[slot] - used[slot], 0) for slot in case.days[day])
        if surplus:
            declaration = offers.declare_surplus(plant, day)
            assert declaration.energy_wh == surplus
            yield declaration


def publish(case: Case, declaration: Declaration, chance: random.Random) -> Iterable[Offer]:
    until = timezone.now() + dt.timedelta(hours=1)
    seller = case.sellers.index(declaration.plant.point.code.removesuffix("-1"))
    for part, percent in enumerate((60, 40 if chance.random() < 0.5 else 30)):
        energy = declaration.energy_wh * percent // 100
        if energy:
            price = 150_001 + 12_345 * seller + 7_919 * part + 1_111 * (declaration.day.month - 2)
            offer = offers.draft_offer(declaration=declaration, energy_wh=energy, price_micro=price, open_until=until)
            offers.publish_offer(offer)
            yield offer


def buy_parts(case: Case, offer: Offer, chance: random.Random) -> None:
    """From one to four buyers; an offer sells out half of the time, and a buyer may come twice."""
    market, seller = case.market, offer.declaration.seller
    others = [name for name in case.households if market.party(name) != seller]
    buyers = chance.choices(others, k=chance.randint(1, 4))
    left = offer.energy_wh
    for n, name in enumerate(buyers, 1):
        is_last = n == len(buyers)
        energy = left if is_last and chance.random() < 0.5 else int(left * chance.uniform(0.1, 0.7))
        if energy:
            offers.buy(offer=offer, buyer=market.party(name), point=market.points[name], energy_wh=energy)
            left -= energy


def check_settlements(case: Case) -> dict[dt.date, reference.Result]:
    settlements = {s.day: s for s in Settlement.objects.filter(area=case.market.area)}
    assert set(settlements) == set(case.days)
    assert all(s.ledger_state == LedgerState.CONFIRMED and s.version == 1 for s in settlements.values())
    bought: dict[dt.date, list[Bought]] = defaultdict(list)
    for purchase in Purchase.objects.select_related("offer__declaration__plant", "point"):
        plant, point = purchase.offer.declaration.plant, purchase.point
        bought[purchase.offer.declaration.day].append(
            Bought(id_of(purchase), id_of(plant), id_of(point), purchase.energy_wh)
        )
    results = {
        day: reference.settle(slots, case.generation, case.consumption, case.site, bought[day])
        for day, slots in case.days.items()
    }
    for day, result in results.items():
        check_day(case, settlements[day], result)
    check_variety(results, bought)
    return results


def check_day(case: Case, settlement: Settlement, result: reference.Result) -> None:
    slots = case.days[settlement.day]
    assert settlement.slots == len(slots)
    rows = allocations.read(case.market.area.pk, [settlement.pk], slots[0], slots[-1] + SECONDS)
    plants = {plant.pk: id_of(plant) for plant in case.market.plants.values()}
    points = {point.pk: id_of(point) for point in case.market.points.values()}
    claims = {pk: bytes(ledger_id) for pk, ledger_id in Purchase.objects.values_list("pk", "ledger_id")}
    found = reference.Result()
    for row in rows:
        if row.scheme == OWN_USE:
            found.own_use[plants[row.plant], row.slot] = row.allocated
        elif row.scheme == PURCHASE:
            found.served[claims[row.claim], row.slot] = Served(row.weight, row.limit, row.allocated)
        elif row.scheme == FEED_IN:
            found.fed_in[plants[row.plant], row.slot] = row.allocated
        else:
            assert (row.scheme, row.plant) == (SUPPLY, allocations.UTILITY)
            found.supplied[points[row.point], row.slot] = row.allocated
    assert len(rows) == len(found.own_use) + len(found.served) + len(found.fed_in) + len(found.supplied)
    for name in ("own_use", "fed_in", "supplied"):
        assert getattr(found, name) == {key: wh for key, wh in getattr(result, name).items() if wh}, name
    assert found.served == result.served
    check_conservation(case, settlement, rows)


def check_conservation(case: Case, settlement: Settlement, rows: list[allocations.Allocation]) -> None:
    """In each slot: produced = allocated + fed in, consumed = allocated + supplied; also plant by plant."""
    by_scheme: Counter[tuple[int, int]] = Counter()
    given: Counter[tuple[int, int]] = Counter()
    taken: Counter[tuple[int, int]] = Counter()
    for row in rows:
        by_scheme[row.slot, row.scheme] += row.allocated
        given[row.plant, row.slot] += row.allocated
        if row.scheme != FEED_IN:
            taken[row.point, row.slot] += row.allocated
    totals: Counter[str] = Counter()
    for slot in case.days[settlement.day]:
        produced = sum(series[slot] for series in case.generation.values())
        consumed = sum(series[slot] for series in case.consumption.values())
        allocated = by_scheme[slot, OWN_USE] + by_scheme[slot, PURCHASE]
        assert produced == allocated + by_scheme[slot, FEED_IN]
        assert consumed == allocated + by_scheme[slot, SUPPLY]
        for plant in case.market.plants.values():
            assert given[plant.pk, slot] == case.generation[id_of(plant)][slot]
        for point in case.market.points.values():
            assert taken[point.pk, slot] == case.consumption[id_of(point)][slot]
        totals.update(produced=produced, consumed=consumed, allocated=allocated)
        totals.update(fed_in=by_scheme[slot, FEED_IN], supplied=by_scheme[slot, SUPPLY])
    for name, wh in totals.items():
        assert getattr(settlement, f"{name}_wh") == wh, name


def check_variety(results: Mapping[dt.date, reference.Result], bought: Mapping[dt.date, list[Bought]]) -> None:
    """The trade must have met what makes settlement hard, or the test says little."""
    shared = [row for result in results.values() for row in result.served.values() if row.weight]
    full = [row for result in results.values() for row in result.served.values() if not row.weight]
    assert min(len(shared), len(full)) > 1000
    several_sellers = twice = 0
    for day in results:
        pairs = Counter((b.point, b.plant) for b in bought[day])
        several_sellers += max(Counter(point for point, _ in pairs).values(), default=0) > 1
        twice += max(pairs.values(), default=0) > 1
    assert min(several_sellers, twice) > 10


def check_purchases(case: Case, results: Mapping[dt.date, reference.Result]) -> None:
    delivered: Counter[bytes] = Counter()
    for result in results.values():
        for (purchase, _slot), row in result.served.items():
            delivered[purchase] += row.wh
    purchases = list(Purchase.objects.all())
    assert {id_of(p): p.delivered_wh for p in purchases} == {id_of(p): delivered[id_of(p)] for p in purchases}
    in_part = sum(0 < delivered[id_of(p)] < p.energy_wh for p in purchases)
    assert in_part > 20 and sum(delivered[id_of(p)] == p.energy_wh for p in purchases) > 20


def check_documents(case: Case, results: Mapping[dt.date, reference.Result]) -> None:
    """The lines and cents of every invoice and credit note; and that there is no other."""
    expected = {
        (kind, point, start): reference.bill(energy, vat)
        for start, end in MONTHS
        for (kind, point, vat), energy in energies(case, results, start, end).items()
    }
    issued = {(i.kind, id_of(i.point), i.start): i for i in Invoice.objects.select_related("point")}
    assert set(issued) == set(expected)
    assert len(issued) == 2 * (12 + 3)
    for key, invoice in issued.items():
        bill = expected[key]
        assert lines_of(invoice) == bill.lines, key
        assert (invoice.net_minor, invoice.vat_minor) == (bill.net, bill.vat), key
        assert invoice.total_minor == bill.net + bill.vat
        assert invoice.is_confirmed


def energies(
    case: Case, results: Mapping[dt.date, reference.Result], start: dt.date, end: dt.date
) -> dict[tuple[str, bytes, int], Counter[tuple[int, int]]]:
    """Wh by (scheme, price) of what each point bought and sold, by document, point and VAT."""
    documents: dict[tuple[str, bytes, int], Counter[tuple[int, int]]] = defaultdict(Counter)
    with_vat = id_of(case.market.points[case.households[SELLER_WITH_VAT]])
    terms = {
        id_of(p): (id_of(p.point), id_of(p.offer.declaration.plant), p.offer.price_micro)
        for p in Purchase.objects.select_related("point", "offer__declaration__plant")
    }
    for day, result in results.items():
        if not start <= day < end:
            continue
        for (purchase, _slot), row in result.served.items():
            buyer, plant, price = terms[purchase]
            seller = case.site[plant]
            documents[DocumentKind.INVOICE, buyer, 19][PURCHASE, price] += row.wh
            documents[DocumentKind.CREDIT_NOTE, seller, 19 if seller == with_vat else 0][PURCHASE, price] += row.wh
        for (point, _slot), wh in result.supplied.items():
            price = SUPPLY_PRICE if day < DEARER_SINCE else DEARER
            documents[DocumentKind.INVOICE, point, 19][SUPPLY, price] += wh
        for (plant, _slot), wh in result.fed_in.items():
            seller = case.site[plant]
            documents[DocumentKind.CREDIT_NOTE, seller, 19 if seller == with_vat else 0][FEED_IN, FEED_IN_PRICE] += wh
    return documents


def lines_of(invoice: Invoice) -> Counter[tuple[int, int, int, int]]:
    document: Any = canonical.loads(bytes(invoice.document))
    return Counter(
        (
            0 if line["scheme"] == "rounding" else int(line["scheme"]),
            int(line["energy_wh"]),
            int(line["price_micro"]),
            int(line["amount_minor"]),
        )
        for line in document["lines"]
    )


def check_books() -> None:
    """What each party owes for documents and nothing else is left, and the books balance."""
    assert sum(Posting.objects.values_list("nano", flat=True)) == 0
    due: Counter[int] = Counter()
    for invoice in Invoice.objects.all():
        sign = 1 if invoice.kind == DocumentKind.INVOICE else -1
        due[invoice.party_id] += sign * invoice.total_minor * 10_000_000
    found: Counter[int] = Counter()
    for party, nano in Posting.objects.values_list("account__party_id", "nano"):
        found[party] += nano
    assert {party: found[party] for party in due} == dict(due)
