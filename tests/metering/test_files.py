"""Files on their way: checked, decided, stored, stopped and resumed; what they may replace and what not."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from apps.accounts.choices import KeyCustody
from apps.metering import readings
from apps.metering.choices import Grade, ImportState, Placement, SourceKey, Use
from apps.metering.exceptions import ImportRefused
from apps.metering.informative import latest_informative
from apps.metering.models import Batch, PointSource, ReadingImport
from apps.metering.services import files
from apps.metering.services.files import Sender, begin, discard, receive_file, run_imports, stop
from apps.metering.services.intake import store_part
from evidence.readings import Quality, Register
from market_math.slots import day_slots
from tests.market import Market, make_market
from tests.metering.files import Value, interchange, message

pytestmark = pytest.mark.django_db
SUMMER = dt.date(2021, 3, 28)
SLOTS = day_slots(SUMMER, ZoneInfo("Europe/Berlin"), 15)


@pytest.fixture
def market() -> Market:
    return make_market({"alice": 10_000, "bob": 0})


def profile(point: str, kwh: str = "0.1", *, obis: str = "1-1:1.29.0", reference: str = "REF1", **more: str) -> bytes:
    """A day of 92 quarter-hours; `more` gives a qualifier by number of the quarter, as q7."""
    values = [Value(slot, kwh, more.get(f"q{n}", "220")) for n, slot in enumerate(SLOTS)]
    return interchange(message(1, point, obis, values), reference=reference)


def receive(market: Market, content: bytes, source: SourceKey = SourceKey.MSCONS) -> ReadingImport:
    return receive_file(market.area, source, "x.edi", content, Sender()).delivery


def store(market: Market, content: bytes, *, keep_good: bool = False) -> ReadingImport:
    delivery = receive(market, content)
    begin(delivery, keep_good=keep_good)
    run_imports()
    delivery.refresh_from_db()
    return delivery


def values(market: Market, name: str, register: int = Register.CONSUMPTION) -> list[tuple[int, int]]:
    found = readings.latest(market.area.pk, [market.points[name].pk], SLOTS.start, SLOTS.stop)
    return [(reading.value, reading.quality) for reading in found if reading.register == register]


def test_a_day_of_mscons_is_stored_and_signed_by_the_utility(market: Market) -> None:
    delivery = store(market, profile("bob-1"))
    assert (delivery.state, delivery.stored, delivery.done, delivery.content) == (ImportState.STORED, 92, 1, None)
    assert values(market, "bob") == [(100, Quality.TRUE_VALUE)] * 92
    batch = Batch.objects.get()
    assert (batch.grade, batch.importer, batch.brought_by) == (Grade.OPERATOR_SIGNED, market.utility, delivery)


def test_substitutes_are_of_their_own_grade_and_give_way_to_true_values(market: Market) -> None:
    store(market, profile("bob-1", q3="67"))
    assert values(market, "bob")[3] == (100, Quality.SUBSTITUTE)
    assert sorted(Batch.objects.values_list("grade", "count")) == [
        (Grade.OPERATOR_SIGNED, 91),
        (Grade.SUBSTITUTE, 1),
    ]
    delivery = store(market, profile("bob-1", reference="REF2"))
    assert (delivery.report["changed"], delivery.report["identical"]) == (1, 91)
    assert values(market, "bob") == [(100, Quality.TRUE_VALUE)] * 92


def test_a_substitute_does_not_replace_a_true_value(market: Market) -> None:
    store(market, profile("bob-1"))
    delivery = receive(market, profile("bob-1", reference="REF2", q3="67"))
    assert [problem["rule"] for problem in delivery.report["problems"]] == ["true_value_there"]
    with pytest.raises(ImportRefused) as refusal:
        begin(delivery)
    assert refusal.value.rule == "bad_rows"


def test_what_a_meter_signed_is_not_replaced(market: Market) -> None:
    store(market, profile("bob-1"))
    Batch.objects.update(grade=Grade.DEVICE_SIGNED)
    delivery = receive(market, profile("bob-1", "0.101", reference="REF2"))
    assert delivery.report["rules"] == {"signed_by_meter": 92}
    assert delivery.state == ImportState.REFUSED
    assert values(market, "bob") == [(100, Quality.TRUE_VALUE)] * 92


def test_an_interchange_is_stored_once(market: Market) -> None:
    first = store(market, profile("bob-1"))
    again = receive_file(market.area, SourceKey.MSCONS, "again.edi", profile("bob-1"), Sender())
    assert (again.delivery, again.is_new) == (first, False)
    assert Batch.objects.count() == 1
    with pytest.raises(ImportRefused) as refusal:
        receive(market, profile("bob-1", "0.2"))
    assert refusal.value.rule == "reference_reused"


def test_two_that_check_the_same_interchange_store_it_once(market: Market) -> None:
    one, other = receive(market, profile("bob-1")), receive(market, profile("bob-1"))
    begin(one)
    with pytest.raises(ImportRefused) as refusal:
        begin(other)
    assert refusal.value.rule == "interchange_known"


def test_one_bad_row_and_nothing_is_stored_unless_the_good_ones_are_wanted(market: Market) -> None:
    content = profile("bob-1", q5="187")
    delivery = receive(market, content)
    assert [(p["line"], p["rule"]) for p in delivery.report["problems"]] == [(30, "unknown_quality")]
    with pytest.raises(ImportRefused):
        begin(delivery)
    run_imports()
    assert not Batch.objects.exists()
    begin(delivery, keep_good=True)
    run_imports()
    assert len(values(market, "bob")) == 91


def test_an_unknown_point_is_named(market: Market) -> None:
    delivery = receive(market, profile("carol-1"))
    assert delivery.state == ImportState.REFUSED
    assert delivery.report["problems"][0]["rule"] == "unknown_point"
    assert 'no metering point "carol-1"' in delivery.report["problems"][0]["message"]


def test_informative_readings_never_stand_and_are_signed(market: Market) -> None:
    PointSource.objects.create(point=market.points["bob"], source=SourceKey.MSCONS, use=Use.INFORMATIVE)
    delivery = store(market, profile("bob-1"))
    assert delivery.state == ImportState.STORED
    assert values(market, "bob") == []
    point, area = market.points["bob"], market.area
    kept = latest_informative(area.pk, point.pk, SLOTS.start, SLOTS.stop, SourceKey.MSCONS)
    assert [reading.value for reading in kept] == [100] * 92
    assert Batch.objects.get().grade == Grade.OPERATOR_SIGNED
    assert store(market, profile("bob-1", "0.2", reference="REF2")).report["changed"] == 92
    kept = latest_informative(area.pk, point.pk, SLOTS.start, SLOTS.stop, SourceKey.MSCONS)
    assert [reading.value for reading in kept] == [200] * 92
    assert latest_informative(area.pk, point.pk, SLOTS.start, SLOTS.stop, SourceKey.CSV) == []


def test_informative_readings_stand_beside_what_a_meter_signed(market: Market) -> None:
    store(market, profile("bob-1"))
    Batch.objects.update(grade=Grade.DEVICE_SIGNED)
    PointSource.objects.create(point=market.points["bob"], source=SourceKey.MSCONS, use=Use.INFORMATIVE)
    assert store(market, profile("bob-1", "0.3", reference="REF2")).state == ImportState.STORED
    assert values(market, "bob") == [(100, Quality.TRUE_VALUE)] * 92


def test_a_source_that_a_point_does_not_take(market: Market) -> None:
    PointSource.objects.create(point=market.points["bob"], source=SourceKey.MSCONS, use=Use.REFUSED)
    delivery = receive(market, profile("bob-1"))
    assert delivery.report["rules"] == {"source_refused": 1}


def test_a_point_with_a_plant_must_say_where_the_meter_is(market: Market) -> None:
    content = profile("alice-1", obis="1-1:2.29.0")
    assert receive(market, content).report["rules"] == {"no_placement": 1}
    told = PointSource.objects.create(point=market.points["alice"], source=SourceKey.MSCONS, placement=Placement.GRID)
    store(market, content)
    assert values(market, "alice", Register.GRID_EXPORT) == [(100, Quality.TRUE_VALUE)] * 92
    assert values(market, "alice", Register.GENERATION) == []
    told.placement = Placement.SITE
    told.save()
    store(market, profile("alice-1", obis="1-1:2.29.0", reference="REF2"))
    assert values(market, "alice", Register.GENERATION) == [(100, Quality.TRUE_VALUE)] * 92


def test_reactive_energy_has_batches_of_its_own(market: Market) -> None:
    quarters = [Value(slot, "0.04") for slot in SLOTS]
    active = message(1, "bob-1", "1-1:1.29.0", quarters)
    reactive = message(2, "bob-1", "1-1:5.29.0", quarters, unit="K3")
    store(market, interchange(active, reactive))
    assert values(market, "bob", Register.REACTIVE_1) == [(40, Quality.TRUE_VALUE)] * 92
    assert sorted(Batch.objects.values_list("unit", "count")) == [(1, 92), (2, 92)]


def two_points(reference: str = "REF1") -> bytes:
    quarters = [Value(slot, "0.1") for slot in SLOTS]
    return interchange(
        message(1, "alice-1", "1-1:1.29.0", quarters),
        message(2, "bob-1", "1-1:1.29.0", quarters),
        reference=reference,
    )


def test_an_import_is_stopped_after_a_point_and_resumed_there(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    PointSource.objects.create(point=market.points["alice"], source=SourceKey.MSCONS)
    delivery = receive(market, two_points())
    begin(delivery)

    def stopping(*arguments: object) -> int:
        made = store_part(*arguments)  # type: ignore[arg-type]
        assert stop(delivery)
        return made

    monkeypatch.setattr(files, "store_part", stopping)
    run_imports()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.done, delivery.total) == (ImportState.STOPPED, 1, 2)
    assert (len(values(market, "alice")), len(values(market, "bob"))) == (92, 0)
    monkeypatch.undo()
    begin(delivery)
    run_imports()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.done, delivery.stored) == (ImportState.STORED, 2, 184)
    assert Batch.objects.count() == 2


def test_what_a_dead_worker_left_is_taken_up_and_the_slow_one_stores_nothing(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    PointSource.objects.create(point=market.points["alice"], source=SourceKey.MSCONS)
    delivery = receive(market, two_points())
    begin(delivery)
    slow = files._claim()
    assert slow == delivery
    assert run_imports() == 0
    ReadingImport.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    assert run_imports() == 1
    files._run(slow)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt, delivery.stored) == (ImportState.STORED, 2, 184)
    assert Batch.objects.count() == 2


def test_a_file_over_which_workers_die_again_and_again_is_given_up(market: Market) -> None:
    delivery = receive(market, profile("bob-1"))
    begin(delivery)
    ReadingImport.objects.update(attempt=files.MOST_ATTEMPTS)
    assert run_imports() == 0
    delivery.refresh_from_db()
    assert (delivery.state, delivery.report["problems"][0]["rule"]) == (ImportState.FAILED, "given_up")
    assert not Batch.objects.exists()


def test_a_file_that_nobody_wants_is_dropped(market: Market) -> None:
    delivery = receive(market, profile("bob-1"))
    assert discard(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.content) == (ImportState.DISCARDED, None)
    assert not discard(delivery)
    with pytest.raises(ImportRefused):
        begin(delivery)


def test_a_utility_that_keeps_its_own_key_cannot_import_here(market: Market) -> None:
    market.utility.keys.update(custody=KeyCustody.OWN)
    delivery = store(market, profile("bob-1"))
    assert (delivery.state, delivery.report["problems"][0]["rule"]) == (ImportState.FAILED, "no_key")
    assert not Batch.objects.exists()
