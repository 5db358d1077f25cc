"""Virtual points against sums made by hand, on any terms, on days of 92 and 100 quarter-hours."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.permissions import Viewer
from apps.assets.models import MeteringPoint
from apps.metering import readings
from apps.metering.choices import Grade
from apps.metering.exceptions import VirtualPointError
from apps.metering.models import Batch, Term, VirtualPoint
from apps.metering.services.imports import Series, import_series, store_substitutes
from apps.metering.virtual import check_terms, compute_day
from evidence.readings import Quality, Register
from market_math.slots import day_slots
from tests.factories import AreaFactory
from tests.market import Market, make_market

USUAL, SPRING, AUTUMN = dt.date(2026, 6, 1), dt.date(2026, 3, 29), dt.date(2026, 10, 25)
SINCE = dt.date(2020, 1, 1)
NAMES = ("alice", "bob", "carol")
REGISTERS = (Register.CONSUMPTION, Register.GENERATION, Register.GRID_IMPORT)

pytestmark = pytest.mark.django_db


@pytest.fixture
def market() -> Market:
    return make_market(dict.fromkeys(NAMES, 10_000))


def value_of(name: str, register: int, slot: int) -> int:
    """Any number that is different for each."""
    return (NAMES.index(name) + 3) * (register + 7) * (slot // 900 % 97) % 2_000


def measure(market: Market, day: dt.date) -> None:
    slots = day_slots(day, market.area.zone, 15)
    series: dict[MeteringPoint, Series] = {
        market.points[name]: {
            register: {slot: value_of(name, register, slot) for slot in slots} for register in REGISTERS
        }
        for name in NAMES
    }
    import_series(market.area, market.utility, series)


def virtual(market: Market, code: str = "V") -> VirtualPoint:
    return VirtualPoint.objects.create(area=market.area, code=code)


def add(
    of: VirtualPoint,
    source: MeteringPoint | VirtualPoint,
    register: int = Register.CONSUMPTION,
    *,
    sign: int = 1,
    into: int = Register.CONSUMPTION,
    since: dt.date = SINCE,
    until: dt.date | None = None,
) -> Term:
    own = {"point": source} if isinstance(source, MeteringPoint) else {"virtual": source}
    return Term.objects.create(
        of=of, register=into, sign=sign, source_register=register, since=since, until=until, **own
    )


@pytest.mark.parametrize(("day", "slots"), [(USUAL, 96), (SPRING, 92), (AUTUMN, 100)])
def test_consumption_from_generation_export_and_import(market: Market, day: dt.date, slots: int) -> None:
    measure(market, day)
    house = virtual(market)
    alice = market.points["alice"]
    add(house, alice, Register.GENERATION)
    add(house, alice, Register.GRID_IMPORT)
    add(house, alice, Register.CONSUMPTION, sign=-1)
    computed = compute_day(market.area, day, [house])[house.pk, Register.CONSUMPTION]
    expected = [
        value_of("alice", Register.GENERATION, slot)
        + value_of("alice", Register.GRID_IMPORT, slot)
        - value_of("alice", Register.CONSUMPTION, slot)
        for slot in day_slots(day, market.area.zone, 15)
    ]
    assert len(expected) == slots and min(expected) < 0 < max(expected)
    assert computed.value.tolist() == expected
    assert set(computed.grade.tolist()) == {Grade.OPERATOR_SIGNED}


@pytest.fixture
def measured() -> Market:
    market = make_market(dict.fromkeys(NAMES, 10_000))
    measure(market, USUAL)
    return market


TERMS = st.lists(
    st.tuples(
        st.integers(0, 3),  # of which virtual point
        st.sampled_from(REGISTERS),  # into
        st.sampled_from([1, -1]),
        st.integers(0, 5),  # a metering point, or a virtual point before
        st.sampled_from(REGISTERS),
        st.sampled_from([(SINCE, None), (USUAL, None), (SINCE, USUAL), (USUAL + dt.timedelta(days=1), None)]),
    ),
    max_size=14,
)


def test_any_terms_come_to_what_a_recursion_by_hand_comes_to(measured: Market) -> None:
    chain = [virtual(measured, f"V{n}") for n in range(4)]

    @given(TERMS)
    def check(drawn: list[tuple[int, int, int, int, int, tuple[dt.date, dt.date | None]]]) -> None:
        Term.objects.all().delete()
        for of, into, sign, source, register, (since, until) in drawn:
            # Only virtual points before its own: no circle.
            target = chain[source - 3] if source >= 3 and source - 3 < of else measured.points[NAMES[source % 3]]
            add(chain[of], target, register, sign=sign, into=into, since=since, until=until)
        computed = compute_day(measured.area, USUAL, chain)
        slot = day_slots(USUAL, measured.area.zone, 15)[17]
        for (pk, register), one in computed.items():
            value, known = by_hand(pk, register, slot)
            assert (one.grade[17] > 0) == known
            assert one.value[17] == (value if known else 0)
        wanted = {(t.of_id, t.register) for t in Term.objects.all() if t.holds_on(USUAL)}
        assert set(computed) == wanted

    check()


def by_hand(pk: int, register: int, slot: int) -> tuple[int, bool]:
    own = [t for t in Term.objects.filter(of=pk, register=register).select_related("point") if t.holds_on(USUAL)]
    total, known = 0, bool(own)
    for term in own:
        if term.point is not None:
            name = term.point.code.removesuffix("-1")
            part, is_known = value_of(name, term.source_register, slot), True
        else:
            part, is_known = by_hand(term.virtual_id or 0, term.source_register, slot)
        total += term.sign * part
        known = known and is_known
    return total, known


def test_the_worst_part_gives_the_grade_and_a_missing_one_takes_it_away(market: Market) -> None:
    slots = day_slots(USUAL, market.area.zone, 15)
    both = virtual(market)
    for name in ("alice", "bob"):
        add(both, market.points[name])
    wh: Series = {Register.CONSUMPTION: dict.fromkeys(slots, 10)}
    import_series(market.area, market.utility, {market.points["alice"]: wh})
    Batch.objects.update(grade=Grade.DEVICE_SIGNED)
    import_series(market.area, market.utility, {market.points["bob"]: {Register.CONSUMPTION: {slots[0]: 5}}})
    store_substitutes(market.area, market.utility, {market.points["bob"]: {Register.CONSUMPTION: {slots[1]: 7}}})
    computed = compute_day(market.area, USUAL, [both])[both.pk, Register.CONSUMPTION]
    assert computed.grade[:3].tolist() == [Grade.OPERATOR_SIGNED, Grade.SUBSTITUTE, 0]
    assert computed.value[:3].tolist() == [15, 17, 0]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE metering_reading SET quality = %s WHERE slot = %s AND point = %s",
            [Quality.SUBSTITUTE, slots[0], market.points["alice"].pk],
        )
    computed = compute_day(market.area, USUAL, [both])[both.pk, Register.CONSUMPTION]
    assert computed.grade[0] == Grade.SUBSTITUTE, "what the device itself marked"


def test_terms_hold_from_their_first_day_to_before_their_last(market: Market) -> None:
    measure(market, USUAL)
    point = virtual(market)
    add(point, market.points["alice"], since=USUAL, until=USUAL + dt.timedelta(days=1))
    days = [USUAL + dt.timedelta(days=n) for n in (-1, 0, 1)]
    assert [len(compute_day(market.area, day, [point])) for day in days] == [0, 1, 0]


def test_no_circle_however_long(market: Market) -> None:
    a, b, c = (virtual(market, code) for code in "ABC")
    add(a, b)
    add(b, c)
    for of, source in ((a, a), (c, a), (c, b)):
        term = Term(of=of, virtual=source, register=1, source_register=2, since=SINCE)
        with pytest.raises(VirtualPointError):
            check_terms(of, [term])
    # Other periods make no difference.
    past = Term(of=c, virtual=a, register=1, source_register=1, since=SINCE, until=SINCE + dt.timedelta(days=1))
    with pytest.raises(VirtualPointError):
        check_terms(c, [past])
    check_terms(c, [Term(of=c, point=market.points["alice"], register=1, source_register=1, since=SINCE)])
    check_terms(a, [Term(of=a, virtual=c, register=1, source_register=1, since=SINCE)])


def test_terms_that_make_no_sense(market: Market) -> None:
    own = virtual(market)
    elsewhere = VirtualPoint.objects.create(area=AreaFactory.make(), code="X")
    alice = market.points["alice"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "Choose either"),
        ({"point": alice, "virtual": elsewhere}, "Choose either"),
        ({"virtual": elsewhere}, "another market area"),
        ({"point": alice, "source_register": Register.REACTIVE_1}, "same unit"),
    ]
    for wrong, complaint in cases:
        term = Term(**{"of": own, "register": 1, "source_register": 1, "since": SINCE, **wrong})
        with pytest.raises(ValidationError, match=complaint):
            term.clean()


def test_any_number_of_virtual_points_takes_three_queries(market: Market) -> None:
    measure(market, USUAL)
    every = []
    for n in range(60):
        every.append(virtual(market, f"V{n:02}"))
        add(every[n], market.points[NAMES[n % 3]])
        if n:
            add(every[n], every[n - 1])
    for wanted in (every[:1], every):
        with CaptureQueriesContext(connection) as captured:
            computed = compute_day(market.area, USUAL, wanted)
        assert (len(captured), len(computed)) == (3, len(wanted))
    slot = day_slots(USUAL, market.area.zone, 15)[5]
    total = 20 * sum(value_of(name, Register.CONSUMPTION, slot) for name in NAMES)
    assert computed[every[-1].pk, Register.CONSUMPTION].value[5] == total


def test_who_may_see_it(market: Market) -> None:
    own = virtual(market)
    own.party = market.party("alice")
    assert own.scope.party_ids == {market.party("alice").pk}
    assert not Viewer(AnonymousUser()).relations(own.scope)


def test_readings_themselves_are_not_touched(market: Market) -> None:
    measure(market, USUAL)
    slots = day_slots(USUAL, market.area.zone, 15)
    points = [point.pk for point in market.points.values()]
    before = readings.latest(market.area.pk, points, slots.start, slots.stop)
    point = virtual(market)
    add(point, market.points["alice"])
    compute_day(market.area, USUAL, [point])
    assert readings.latest(market.area.pk, points, slots.start, slots.stop) == before
