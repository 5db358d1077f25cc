"""What a day has and lacks, whether it may be settled, and who decided on substitutes."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.choices import KeyCustody
from apps.accounts.custody import seal
from apps.accounts.models import Party, PartyKey, User
from apps.assets.services import change_occupant
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering import readings
from apps.metering.completeness import Gate, count_days, decisions_of, gate_of, point_counts, recount
from apps.metering.models import Batch, DayCount, Decision
from apps.metering.services.anchors import anchor_batches
from apps.metering.services.imports import import_series
from apps.metering.services.substitutes import substitute_missing
from apps.metering.tasks import count_all
from apps.metering.versions import day_versions
from apps.settlement.services.settle import settle_due_days
from evidence.keys import SoftwareKey
from evidence.readings import Quality, Register
from market_math.slots import day_slots
from tests.factories import CustomerFactory, PointFactory
from tests.market import Market, import_day, make_market
from tests.metering.head_end import DAY, HeadEnd, make_head_end, post

HOURS = 24


def two_homes() -> Market:
    return make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)


def days_ago(market: Market, number: int) -> dt.date:
    return market.area.today - dt.timedelta(days=number)


def counted(market: Market, day: dt.date) -> list[tuple[str, str, int, int, int, int]]:
    return [
        (c.point.code, c.register.name, c.expected, c.present, c.substituted, c.missing)
        for c in point_counts(market.area, day)
    ]


@pytest.mark.django_db
def test_each_point_and_register_is_counted() -> None:
    market, day = two_homes(), dt.date(2026, 10, 25)
    import_day(market, day, {"alice": ([100] * 25, None)})
    assert counted(market, day) == [
        ("alice-1", "CONSUMPTION", 25, 25, 0, 0),
        ("alice-1", "GENERATION", 25, 0, 0, 25),
        ("bob-1", "CONSUMPTION", 25, 0, 0, 25),
    ]
    spring = dt.date(2026, 3, 29)
    assert [row[2] for row in counted(market, spring)] == [23, 23, 23]
    count = recount(market.area, day)
    assert (count.expected, count.present, count.substituted, count.missing) == (75, 25, 0, 50)


@pytest.mark.django_db
def test_nobody_is_expected_to_measure_before_they_came() -> None:
    market, day = two_homes(), dt.date(2026, 6, 1)
    plant = market.plants["alice"]
    plant.since = day + dt.timedelta(days=1)
    plant.save()
    bob = market.points["bob"]
    occupancy = bob.occupancies.get()
    occupancy.since = day + dt.timedelta(days=1)
    occupancy.save()
    assert [row[:3] for row in counted(market, day)] == [("alice-1", "CONSUMPTION", HOURS)]
    change_occupant(bob, CustomerFactory.make(utility=market.utility), day + dt.timedelta(days=5))
    assert len(counted(market, day + dt.timedelta(days=5))) == 3, "whoever lives there, it is one point"


@pytest.mark.django_db
def test_days_are_counted_again_when_readings_have_come() -> None:
    market, day = two_homes(), dt.date(2026, 6, 1)
    start, end = day, day + dt.timedelta(days=2)
    first = count_days(market.area, start, end)
    assert [(d, c.present, c.missing) for d, c in sorted(first.items())] == [
        (day, 0, 72),
        (day + dt.timedelta(days=1), 0, 72),
    ]
    import_day(market, day, {"bob": ([50] * HOURS, None)})
    again = count_days(market.area, start, end)
    assert again[day].present == HOURS and again[day + dt.timedelta(days=1)].present == 0
    stamp = DayCount.objects.get(day=day).counted_at
    assert count_days(market.area, start, end)[day].counted_at == stamp, "nothing came, nothing is counted"


@pytest.mark.django_db
def test_today_is_not_counted() -> None:
    market = two_homes()
    today = market.area.today
    assert today not in count_days(market.area, today - dt.timedelta(days=1), today + dt.timedelta(days=3))
    count_all()
    assert DayCount.objects.filter(area=market.area).count() == 62


@pytest.mark.django_db
def test_the_gate_opens_when_everything_is_there() -> None:
    market = two_homes()
    late, recent = days_ago(market, 5), days_ago(market, 2)
    for day in (late, recent):
        import_day(market, day, {"alice": ([100] * HOURS, [300] * HOURS)})
    assert (gate_of(market.area, late), gate_of(market.area, recent)) == (Gate.DUE, Gate.CLOSED)
    import_day(market, recent, {"bob": ([50] * HOURS, None)})
    assert gate_of(market.area, recent) is Gate.OPEN
    market.area.substitute_days = None
    assert gate_of(market.area, late) is Gate.CLOSED
    market.area.substitute_days = 5
    assert gate_of(market.area, late) is Gate.CLOSED, "five days are not over yet"


@pytest.mark.django_db
def test_without_a_setting_a_person_has_to_decide(alice: User) -> None:
    market = two_homes()
    day = days_ago(market, 6)
    market.area.substitute_days = None
    import_day(market, day, {"alice": ([100] * HOURS, [300] * HOURS)})
    settle_due_days(market.area)
    assert not Decision.objects.exists()
    decision = substitute_missing(market.area, day, reason="the box burnt", by=alice)
    assert decision is not None
    assert (decision.decided_by, decision.reason, decision.count) == (alice, "the box burnt", HOURS)
    assert {batch.decision for batch in Batch.objects.filter(day=day, grade=3)} == {decision}
    anchor_batches(market.area)
    drain(DEFAULT)
    assert day in {settlement.day for settlement in settle_due_days(market.area)}
    assert substitute_missing(market.area, day, reason="again", by=alice) is None


@pytest.mark.django_db
def test_the_settings_decision_names_nobody() -> None:
    market = two_homes()
    day = days_ago(market, 5)
    import_day(market, day, {"alice": ([100] * HOURS, [300] * HOURS)})
    settle_due_days(market.area)
    decision = Decision.objects.get(day=day)
    assert (decision.decided_by, decision.reason) == (None, "missing for longer than 3 days")
    assert [row[3:] for row in counted(market, day)] == [(24, 0, 0), (24, 0, 0), (24, 24, 0)]


@pytest.mark.django_db
def test_later_true_values_undo_substitutes(alice: User) -> None:
    market = two_homes()
    day = days_ago(market, 5)
    import_day(market, day, {"alice": ([100] * HOURS, [300] * HOURS)})
    decision = substitute_missing(market.area, day, reason="no reading", by=alice)
    slots = day_slots(day, market.area.zone, 60)
    bob = market.points["bob"]
    import_series(market.area, market.utility, {bob: {Register.CONSUMPTION: dict.fromkeys(slots[:10], 7)}})
    assert decisions_of(market.area, day) == [(decision, 14)]
    assert counted(market, day)[-1] == ("bob-1", "CONSUMPTION", 24, 24, 14, 0)
    versions = [v for v in day_versions(bob, day) if v.slot == slots[0]]
    assert [(v.quality, v.value, v.is_current) for v in versions] == [
        (Quality.SUBSTITUTE, 0, False),
        (Quality.TRUE_VALUE, 7, True),
    ]
    assert versions[0].batch.decision == decision


@pytest.mark.django_db
def test_what_was_known_at_an_instant() -> None:
    """Versions that came later are as if they had not come; the queries stay the same."""
    market, day = two_homes(), dt.date(2026, 6, 1)
    slots = day_slots(day, market.area.zone, 60)
    point = market.points["bob"].pk
    import_day(market, day, {"bob": ([50] * HOURS, None)})
    first = Batch.objects.get(day=day).received_at
    import_day(market, day, {"bob": ([60] * HOURS, None)})
    second = Batch.objects.latest("pk").received_at
    before = first - dt.timedelta(microseconds=1)
    found = {
        instant: [r.value for r in readings.latest(market.area.pk, [point], slots.start, slots.stop, known_at=instant)]
        for instant in (before, first, second)
    }
    assert found == {before: [], first: [50] * HOURS, second: [60] * HOURS}
    grid = readings.grids(market.area.pk, [point], slots, (Register.CONSUMPTION,), known_at=first)
    assert grid[Register.CONSUMPTION].value[0].tolist() == [50] * HOURS
    assert set(grid[Register.CONSUMPTION].quality[0].tolist()) == {Quality.TRUE_VALUE}


@pytest.mark.django_db
def test_many_points_take_no_more_queries_than_few() -> None:
    """10 and 1,000 metering points, a month of days."""
    queries = []
    market = two_homes()
    for points in (8, 990):
        people = CustomerFactory.make(utility=market.utility)
        for _ in range(points):
            point = PointFactory.make(area=market.area, party=people)
            point.occupancies.create(party=people, since=dt.date(2020, 1, 1), sealed_secret=b"k")
        DayCount.objects.all().delete()
        with CaptureQueriesContext(connection) as captured:
            month = count_days(market.area, dt.date(2026, 6, 1), dt.date(2026, 7, 1))
            day = point_counts(market.area, dt.date(2026, 6, 1))
            gate_of(market.area, dt.date(2026, 6, 1))
        queries.append(len(captured))
    assert (len(day), month[dt.date(2026, 6, 30)].expected) == (1001, 1001 * HOURS)
    assert queries[0] == queries[1] <= 16


def keep_key(party: Party) -> None:
    """The platform signs for this party."""
    key = SoftwareKey.generate()
    public = key.public_key
    PartyKey.objects.create(
        party=party,
        key_id=public.id,
        algorithm=public.algorithm,
        x=public.x,
        y=public.y,
        custody=KeyCustody.CUSTODIAL,
        sealed_secret=seal(key.secret),
    )


@pytest.fixture
def shared(transactional_db: None) -> Iterator[HeadEnd]:
    yield make_head_end()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM metering_reading")


def test_a_true_value_that_arrives_while_substitutes_are_decided_stands(shared: HeadEnd) -> None:
    """Whoever comes first, the meter's value is the one that stands."""
    keep_key(shared.area.utility)
    start = threading.Barrier(2)
    failures: list[Exception] = []

    def run(work: Callable[[], object]) -> None:
        try:
            start.wait()
            work()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    def decide() -> object:
        return substitute_missing(shared.area, DAY, reason="nobody knows")

    def send() -> object:
        return post(shared.body())

    threads = [threading.Thread(target=run, args=[work]) for work in (send, decide)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    slots = day_slots(DAY, shared.area.zone, 15)
    found = readings.latest(shared.area.pk, [shared.points[0].pk], slots.start, slots.stop)
    consumed = [reading for reading in found if reading.register == Register.CONSUMPTION]
    assert [reading.value for reading in consumed] == [100 + n for n in range(96)]
    assert {reading.quality for reading in consumed} == {Quality.TRUE_VALUE}
