"""Registers of the grid meter and reactive energy: units, bounds, and that nothing of it is settled."""

import datetime as dt

import pytest

from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering.choices import Register as RegisterChoice
from apps.metering.choices import Unit as UnitChoice
from apps.metering.models import Batch
from apps.metering.services.anchors import anchor_batches
from apps.metering.services.batches import most_energy
from apps.metering.services.imports import Series, import_series
from apps.settlement.models import Settlement
from apps.settlement.services.settle import settle_day, settle_due_days
from evidence.readings import Reading, Register, Unit
from market_math.slots import day_slots
from tests.market import import_day, make_market
from tests.metering.head_end import DAY, HeadEnd, assert_refused, make_head_end, post, stored

pytestmark = pytest.mark.django_db
REACTIVE = (Register.REACTIVE_1, Register.REACTIVE_2, Register.REACTIVE_3, Register.REACTIVE_4)
GRID = (Register.GRID_IMPORT, Register.GRID_EXPORT)


@pytest.fixture
def head_end(db: None) -> HeadEnd:
    return make_head_end(points=2)


def of(head_end: HeadEnd, *registers: int, value: int = 7, point: int = 0) -> list[Reading]:
    slots = day_slots(DAY, head_end.area.zone, 15)
    owner = bytes(head_end.points[point].ledger_id)
    return [Reading(owner, register, slot, value) for register in registers for slot in slots]


def test_reactive_energy_is_a_batch_of_its_own_unit(head_end: HeadEnd) -> None:
    assert post(head_end.body(of(head_end, *REACTIVE))).status_code == 200
    batch = Batch.objects.get()
    assert (batch.unit, batch.count, batch.statement.unit) == (Unit.VARH, 4 * 96, Unit.VARH)
    assert head_end.key.public_key.verifies(batch.statement.digest, bytes(batch.signature))
    assert post(head_end.body(of(head_end, *REACTIVE))).json()["status"] == "known"


def test_all_active_registers_fit_in_one_batch(head_end: HeadEnd) -> None:
    registers = (Register.CONSUMPTION, Register.GENERATION, *GRID)
    assert post(head_end.body(of(head_end, *registers))).status_code == 200
    assert (Batch.objects.get().unit, stored()) == (Unit.WH, (1, 4 * 96))


def test_no_batch_mixes_units(head_end: HeadEnd) -> None:
    mixed = of(head_end, Register.CONSUMPTION, Register.REACTIVE_1)
    assert_refused(post(head_end.body(mixed)), 422, "series[1].register", "other_unit")
    mixed = [*of(head_end, Register.REACTIVE_4), *of(head_end, Register.CONSUMPTION)]
    body = head_end.body(sorted(mixed, key=lambda reading: reading.leaf_id))
    assert_refused(post(body), 422, "series[1].register", "other_unit")
    assert stored() == (0, 0)


@pytest.mark.parametrize(
    ("register", "point", "most"),
    [
        (Register.GENERATION, 0, 3_750),
        (Register.GENERATION, 1, 0),
        (Register.GRID_EXPORT, 0, 5_000),
        (Register.GRID_EXPORT, 1, 1_250),
        (Register.GRID_IMPORT, 1, 25_000_000),
        (Register.REACTIVE_1, 1, 25_000_000),
        (Register.REACTIVE_4, 0, 25_000_000),
    ],
)
def test_the_most_that_a_register_can_count(head_end: HeadEnd, register: Register, point: int, most: int) -> None:
    assert most_energy(head_end.points[point], register, 900) == most
    too_much = of(head_end, register, value=most + 1, point=point)
    assert_refused(post(head_end.body(too_much)), 422, "series[0].values[0]", "implausible_energy")
    assert post(head_end.body(of(head_end, register, value=most, point=point))).status_code == 200


def test_every_register_has_a_name_and_a_unit() -> None:
    assert [choice.value for choice in RegisterChoice] == [register.value for register in Register]
    units = [UnitChoice.WH] * 4 + [UnitChoice.VARH] * 4
    assert [choice.unit for choice in RegisterChoice] == units


def test_nothing_of_it_is_settled() -> None:
    """The same day with and without these registers is settled alike, and what comes later changes nothing."""
    market = make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    day = dt.date(2026, 6, 1)
    import_day(market, day, {"alice": ([500] * 24, [2_000] * 24), "bob": ([400] * 24, None)})
    before = settle_day(market.area, day)
    drain(DEFAULT)
    slots = day_slots(day, market.area.zone, 60)
    late: Series = {register: dict.fromkeys(slots, 900) for register in REACTIVE}
    import_series(market.area, market.utility, {market.points["alice"]: late})
    anchor_batches(market.area)
    drain(DEFAULT)
    market.area.trade_days = 0
    assert [made for made in settle_due_days(market.area) if made.day == day] == []
    import_series(
        market.area, market.utility, {market.points["alice"]: {Register.GRID_EXPORT: dict.fromkeys(slots, 9)}}
    )
    anchor_batches(market.area)
    drain(DEFAULT)
    after = settle_day(market.area, day)
    assert (after.produced_wh, after.consumed_wh) == (before.produced_wh, before.consumed_wh) == (48_000, 21_600)
    assert Settlement.objects.filter(day=day).count() == 2
