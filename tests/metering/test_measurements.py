"""Which device measures what and when: exchange, registers, backup devices, and the table they stand in."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.accounts.choices import PartyRole
from apps.accounts.models import User
from apps.metering import readings
from apps.metering.exceptions import MeasurementError
from apps.metering.models import Batch, Device, Measurement
from apps.metering.services.exchange import Meter, exchange_meter, set_backup
from apps.metering.versions import day_versions
from evidence.readings import Reading, Register
from market_math.slots import day_slots
from tests.metering.head_end import DAY, HeadEnd, assert_refused, make_head_end, post, stored


def second_box(head_end: HeadEnd) -> HeadEnd:
    device = Device.objects.create(area=head_end.area, owner=head_end.device.owner, name="second")
    return HeadEnd(head_end.area, device, head_end.points)


def row_of(head_end: HeadEnd, point: int = 0) -> Measurement:
    return Measurement.objects.filter(device=head_end.device, point=head_end.points[point]).get(until=None)


def exchanged(head_end: HeadEnd, other: HeadEnd, by: User, at: int) -> Measurement:
    return exchange_meter(
        row_of(head_end),
        device=other.device,
        at=at,
        removed=Meter("OLD-1", {Register.CONSUMPTION: 81_234_000}),
        installed=Meter("NEW-1", {Register.CONSUMPTION: 12}),
        by=by,
    )


def current(head_end: HeadEnd) -> list[int]:
    slots = day_slots(DAY, head_end.area.zone, 15)
    found = readings.latest(head_end.area.pk, [head_end.points[0].pk], slots.start, slots.stop)
    return [reading.value for reading in found]


@pytest.fixture
def head_end(db: None) -> HeadEnd:
    return make_head_end(points=2)


@pytest.fixture
def noon(head_end: HeadEnd) -> int:
    return day_slots(DAY, head_end.area.zone, 15)[48]


def test_a_device_measures_its_points_until_told_otherwise(head_end: HeadEnd) -> None:
    row = row_of(head_end)
    assert (row.registers, row.since, row.until, row.is_backup, row.serial) == ([], 0, None, False, "")
    assert row.is_unlimited
    assert list(head_end.device.points.order_by("pk")) == head_end.points


def test_each_device_is_heard_in_its_own_time_only(head_end: HeadEnd, noon: int, alice: User) -> None:
    other = second_box(head_end)
    following = exchanged(head_end, other, alice, noon)
    slots = list(day_slots(DAY, head_end.area.zone, 15))
    assert_refused(post(head_end.body()), 422, "series[0].values[48]", "not_measured_then")
    assert_refused(post(other.body()), 422, "series[0].values[0]", "not_measured_then")
    assert stored() == (0, 0)
    assert post(head_end.body(head_end.readings(slots[:48], 100))).status_code == 200
    assert post(other.body(other.readings(slots[48:], 900))).status_code == 200
    assert current(head_end) == [100 + n for n in range(48)] + [900 + n for n in range(48)]
    old = Measurement.objects.get(device=head_end.device, point=head_end.points[0])
    assert (old.until, old.serial, old.counters_out, old.changed_by) == (noon, "OLD-1", {"1": 81_234_000}, alice)
    assert (following.since, following.serial, following.counters_in) == (noon, "NEW-1", {"1": 12})
    # The box was registered for the point already: its row has become the new meter's.
    assert Measurement.objects.filter(device=other.device, point=head_end.points[0]).get() == following


def test_only_the_meter_behind_a_box_is_exchanged(head_end: HeadEnd, noon: int, alice: User) -> None:
    exchanged(head_end, head_end, alice, noon)
    assert post(head_end.body()).status_code == 200
    rows = Measurement.objects.filter(device=head_end.device, point=head_end.points[0])
    assert [(row.since, row.until, row.serial) for row in rows] == [(0, noon, "OLD-1"), (noon, None, "NEW-1")]
    assert head_end.device.points.distinct().count() == 2


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"at": 61}, "off_the_grid"),
        ({"at": 900_000_000_000}, "not_then"),
        ({"at": 0}, "not_then"),
        ({"removed": Meter("", {Register.CONSUMPTION: -1})}, "no_counter"),
        ({"installed": Meter("", {99: 1})}, "no_counter"),
    ],
)
def test_an_exchange_that_makes_no_sense(
    head_end: HeadEnd, noon: int, alice: User, change: dict[str, Any], rule: str
) -> None:
    asked: dict[str, Any] = {"at": noon, "removed": Meter(), "installed": Meter(), **change}
    with pytest.raises(MeasurementError) as refused:
        exchange_meter(row_of(head_end), device=second_box(head_end).device, by=alice, **asked)
    assert refused.value.rule == rule
    assert Measurement.objects.filter(until=None).count() == 4


def test_a_counter_does_not_run_back(head_end: HeadEnd, noon: int, alice: User) -> None:
    following = exchanged(head_end, head_end, alice, noon)
    with pytest.raises(MeasurementError, match="below what it had"):
        exchange_meter(
            following,
            device=head_end.device,
            at=noon + 900,
            removed=Meter("", {Register.CONSUMPTION: 11}),
            installed=Meter(),
            by=alice,
        )


def test_what_ended_does_not_end_again(head_end: HeadEnd, noon: int, alice: User) -> None:
    old = row_of(head_end)
    exchanged(head_end, second_box(head_end), alice, noon)
    with pytest.raises(MeasurementError) as refused:
        exchange_meter(old, device=head_end.device, at=noon + 900, removed=Meter(), installed=Meter(), by=alice)
    assert refused.value.rule == "ended"


def test_no_exchange_before_what_the_old_device_has_sent(head_end: HeadEnd, noon: int, alice: User) -> None:
    post(head_end.body())
    with pytest.raises(MeasurementError) as refused:
        exchanged(head_end, second_box(head_end), alice, noon)
    assert refused.value.rule == "read_later"


def test_a_device_of_another_area(head_end: HeadEnd, noon: int, alice: User) -> None:
    from tests.factories import DeviceFactory

    with pytest.raises(MeasurementError) as refused:
        exchange_meter(
            row_of(head_end), device=DeviceFactory.make(), at=noon, removed=Meter(), installed=Meter(), by=alice
        )
    assert refused.value.rule == "other_area"


def test_registers_that_a_device_does_not_measure(head_end: HeadEnd) -> None:
    Measurement.objects.filter(point=head_end.points[0]).update(registers=[Register.GENERATION])
    assert_refused(post(head_end.body()), 422, "series[0].register", "other_register")
    point = bytes(head_end.points[0].ledger_id)
    slots = day_slots(DAY, head_end.area.zone, 15)
    generated = [Reading(point, Register.GENERATION, slot, 5) for slot in slots]
    assert post(head_end.body(generated)).status_code == 200


def test_a_backup_device_informs_and_never_counts(head_end: HeadEnd, alice: User) -> None:
    backup = second_box(head_end)
    set_backup(row_of(backup), is_backup=True, by=alice)
    assert post(backup.body(backup.readings(value=700))).status_code == 200
    assert current(head_end) == []
    assert post(head_end.body(head_end.readings(value=100))).status_code == 200
    assert post(backup.body(backup.readings(value=800), sequence=2)).status_code == 200
    assert current(head_end) == [100 + n for n in range(96)]
    versions = [v for v in day_versions(head_end.points[0], DAY) if v.slot == versions_start(head_end)]
    assert [(v.version, v.value, v.is_current) for v in versions] == [
        (-2, 800, False),
        (-1, 700, False),
        (0, 100, True),
    ]
    # The same batch again is known by its content, whatever version it has.
    assert post(backup.body(backup.readings(value=800), sequence=2)).json()["status"] == "known"
    set_backup(row_of(backup), is_backup=False, by=alice)
    assert post(backup.body(backup.readings(value=900), sequence=3)).status_code == 200
    assert current(head_end) == [900 + n for n in range(96)]


def versions_start(head_end: HeadEnd) -> int:
    return day_slots(DAY, head_end.area.zone, 15).start


def test_a_batch_may_count_at_one_point_and_inform_at_another(head_end: HeadEnd, alice: User) -> None:
    set_backup(row_of(head_end, 1), is_backup=True, by=alice)
    assert post(head_end.body(head_end.readings(points=2))).status_code == 200
    slots = day_slots(DAY, head_end.area.zone, 15)
    points = [point.pk for point in head_end.points]
    found = readings.latest(head_end.area.pk, points, slots.start, slots.stop)
    assert {reading.point for reading in found} == {points[0]}
    assert stored() == (1, 192)


@pytest.fixture
def shared(transactional_db: None) -> Iterator[HeadEnd]:
    yield make_head_end()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM metering_reading")


def test_batches_and_an_exchange_at_the_same_moment(shared: HeadEnd, alice: User) -> None:
    """Whoever comes first: a batch that was stored was within its device's time when it was."""
    noon = day_slots(DAY, shared.area.zone, 15)[48]
    other = second_box(shared)
    start = threading.Barrier(2)
    outcome: dict[str, Any] = {}

    def send() -> None:
        start.wait()
        outcome["batch"] = post(shared.body()).status_code
        connection.close()

    def exchange() -> None:
        start.wait()
        try:
            exchanged(shared, other, alice, noon)
            outcome["exchange"] = "done"
        except MeasurementError as error:
            outcome["exchange"] = error.rule
        connection.close()

    threads = [threading.Thread(target=send), threading.Thread(target=exchange)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcome["batch"], outcome["exchange"]) in {(200, "read_later"), (422, "done")}
    assert Batch.objects.count() == (outcome["batch"] == 200)


def test_a_running_system_keeps_its_devices_and_goes_on_adding(transactional_db: None) -> None:
    """What was a plain many-to-many relation is taken over, and the version before can still insert into it."""
    before = [("metering", "0002_readings"), ("assets", "0003_plant_since")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    try:
        head = _old_device(executor)
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO metering_device_points (device_id, meteringpoint_id) VALUES (%s, %s)", head)
        rows = Measurement.objects.filter(device=head[0], point=head[1])
        assert [(row.since, row.until, row.registers, row.counters_in) for row in rows] == [(0, None, [], {})] * 2
        assert all(row.is_unlimited for row in rows)
        area = rows[0].device.area
        assert (area.trade_days, area.substitute_days) == (5, 5)
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())


def _old_device(executor: MigrationExecutor) -> tuple[int, int]:
    apps = executor.loader.project_state([("metering", "0002_readings"), ("assets", "0003_plant_since")]).apps
    party = apps.get_model("accounts", "Party")
    utility = party.objects.create(name="Utility", role=PartyRole.UTILITY, ledger_id=b"\x01" * 32)
    area = apps.get_model("assets", "MarketArea").objects.create(
        utility=utility, name="Area", trade_days=5, ledger_id=b"\x02" * 32
    )
    point = apps.get_model("assets", "MeteringPoint").objects.create(
        area=area, party=utility, code="P", ledger_id=b"\x03" * 32
    )
    device = apps.get_model("metering", "Device").objects.create(
        area=area, owner=utility, name="box", ledger_id=b"\x04" * 32, salt=b"\x05" * 32
    )
    device.points.add(point)
    return device.pk, point.pk
