import logging
import random
from collections.abc import Iterable
from dataclasses import replace

import pytest

from evidence.readings import Quality, Reading, Register
from meter_agent.config import PointConfig
from meter_agent.energy import PointState, RawCounters, Remark, read_slot
from meter_agent.meters import AnyMeter
from meter_agent.registers import WRAP, Quantity, RawCounter
from meter_agent.terms import Role
from tests.meter_agent.support import HOUSE, SECRETS, STEP, house, meter

START = 1_700_000_100 // STEP * STEP


def raw(generation: int | None = None, exported: int = 0, imported: int | None = None, scale: int = 0) -> RawCounters:
    counters: dict[Role, dict[Quantity, RawCounter]] = {}
    if generation is not None:
        counters[Role.GENERATION] = {
            Quantity.EXPORT: RawCounter(generation, scale),
            Quantity.IMPORT: RawCounter(0, scale),
        }
    if imported is not None:
        counters[Role.GRID] = {
            Quantity.EXPORT: RawCounter(exported, scale),
            Quantity.IMPORT: RawCounter(imported, scale),
        }
    return counters


class Box:
    """Reads one boundary after another."""

    def __init__(self, point: PointConfig) -> None:
        self.point = point
        self.state = PointState()
        self.remarks: list[Remark] = []

    def read(self, counters: RawCounters, slot: int) -> list[tuple[Register, int, int, int]]:
        """Register, slot counted from the first boundary, Wh and quality of the new readings that are sent."""
        self.state, readings, self.remarks = read_slot(self.point, self.state, counters, START + slot * STEP, STEP)
        sent = [reading for reading in readings if reading.register in self.point.registers]
        return [(Register(r.register), (r.slot - START) // STEP, r.value, r.quality) for r in sent]

    def errors(self) -> list[str]:
        return [remark.text for remark in self.remarks if remark.level == logging.ERROR]


def only(*roles: Role) -> PointConfig:
    meters: dict[Role, AnyMeter] = {role: meter(unit) for unit, role in enumerate(roles, 1)}
    return PointConfig(HOUSE, SECRETS[HOUSE], meters)


def values(readings: Iterable[tuple[Register, int, int, int]], register: Register) -> list[int]:
    return [value for of, _, value, _ in readings if of == register]


def test_the_first_reading_only_sets_the_start() -> None:
    assert Box(house()).read(raw(1000, 200, 300), 0) == []


def test_consumption_is_generation_less_export_plus_import() -> None:
    box = Box(house())
    box.read(raw(1000, 200, 300), 0)
    assert box.read(raw(1500, 550, 340), 1) == [
        (Register.CONSUMPTION, 0, 500 - 350 + 40, Quality.TRUE_VALUE),
        (Register.GENERATION, 0, 500, Quality.TRUE_VALUE),
    ]


def test_what_went_through_the_grid_meter_is_counted_too() -> None:
    point = replace(house(), registers=(Register.GRID_IMPORT, Register.GRID_EXPORT))
    box = Box(point)
    box.read(raw(1000, 200, 300), 0)
    assert box.read(raw(1500, 550, 340), 1) == [
        (Register.GRID_IMPORT, 0, 40, Quality.TRUE_VALUE),
        (Register.GRID_EXPORT, 0, 350, Quality.TRUE_VALUE),
    ]


def test_without_a_grid_meter_only_generation_is_reported() -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(1000), 0)
    assert box.read(raw(1500), 1) == [(Register.GENERATION, 0, 500, Quality.TRUE_VALUE)]


def test_without_a_generation_meter_consumption_is_what_came_from_the_grid() -> None:
    box = Box(only(Role.GRID))
    box.read(raw(imported=300, exported=10), 0)
    assert box.read(raw(imported=340, exported=20), 1) == [(Register.CONSUMPTION, 0, 40, Quality.TRUE_VALUE)]


def test_a_counter_that_wraps_goes_on() -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(WRAP - 300), 0)
    assert values(box.read(raw(200), 1), Register.GENERATION) == [500]
    assert values(box.read(raw(210), 2), Register.GENERATION) == [10]
    assert box.errors() == []


@pytest.mark.parametrize(("scale", "step", "wh"), [(-3, 1_234_567, 1235), (-1, 15, 2), (0, 7, 7), (3, 2, 2000)])
def test_the_scale_factor_is_a_power_of_ten(scale: int, step: int, wh: int) -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(5_000_000, scale=scale), 0)
    assert values(box.read(raw(5_000_000 + step, scale=scale), 1), Register.GENERATION) == [wh]


def test_a_changed_scale_factor_does_not_change_the_energy() -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(1_000_000, scale=-3), 0)
    assert values(box.read(raw(1_500, scale=0), 1), Register.GENERATION) == [500]


def test_rounding_never_adds_up() -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(1_000_000, scale=-3), 0)
    found = [box.read(raw(1_000_000 + 1_400 * n, scale=-3), n) for n in range(1, 97)]
    assert sum(sum(values(readings, Register.GENERATION)) for readings in found) == 134  # 96 times 1.4 Wh


def test_random_counters_are_reported_to_the_last_wh() -> None:
    draw = random.Random(7)
    box = Box(house())
    g, x, i = 4_294_000_000, 17, 99
    first = rounded(g - x + i)
    box.read(raw(g, x, i, scale=-3), 0)
    consumed = 0
    for n in range(1, 400):
        own, given, taken = draw.randrange(50_000), draw.randrange(80_000), draw.randrange(60_000)
        g, x, i = g + own + given, x + given, i + taken
        consumed += sum(values(box.read(raw(g % WRAP, x % WRAP, i % WRAP, scale=-3), n), Register.CONSUMPTION))
    assert g > WRAP
    assert consumed == rounded(g - x + i) - first


def rounded(mwh: int) -> int:
    return (mwh + 500) // 1000


def test_missed_slots_get_even_substitutes_with_an_exact_sum() -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(1000), 0)
    substitute = Quality.SUBSTITUTE
    assert box.read(raw(1011), 4) == [
        (Register.GENERATION, 0, 3, substitute),
        (Register.GENERATION, 1, 3, substitute),
        (Register.GENERATION, 2, 3, substitute),
        (Register.GENERATION, 3, 2, substitute),
    ]
    assert "11 Wh spread over 4 slots" in box.remarks[0].text
    assert box.read(raw(1020), 5) == [(Register.GENERATION, 4, 9, Quality.TRUE_VALUE)]


def test_a_silent_grid_meter_does_not_stop_the_generation() -> None:
    box = Box(house())
    box.read(raw(1000, 0, 300), 0)
    assert box.read(raw(1100), 1) == [(Register.GENERATION, 0, 100, Quality.TRUE_VALUE)]
    assert box.read(raw(1200, 0, 321), 2) == [
        (Register.CONSUMPTION, 0, 111, Quality.SUBSTITUTE),
        (Register.CONSUMPTION, 1, 110, Quality.SUBSTITUTE),
        (Register.GENERATION, 1, 100, Quality.TRUE_VALUE),
    ]


def test_an_exchanged_meter_gives_no_reading_and_starts_again() -> None:
    box = Box(house())
    box.read(raw(900_000, 0, 300), 0)
    assert box.read(raw(12, 0, 310), 1) == []
    assert "went from 900000e0 to 12e0 Wh, starts again" in box.errors()[0]
    assert values(box.read(raw(22, 0, 310), 2), Register.CONSUMPTION) == [10]


def test_an_exchange_is_noticed_even_when_the_other_meter_was_silent_then() -> None:
    box = Box(house())
    box.read(raw(900_000, 0, 300), 0)
    box.read(raw(12), 1)
    assert box.read(raw(22, 0, 310), 2) == [(Register.GENERATION, 1, 10, Quality.TRUE_VALUE)]
    assert box.read(raw(30, 0, 310), 3) == [
        (Register.CONSUMPTION, 2, 8, Quality.TRUE_VALUE),
        (Register.GENERATION, 2, 8, Quality.TRUE_VALUE),
    ]


def test_a_leap_that_no_power_explains_is_an_exchange() -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(1000), 0)
    assert box.read(raw(900_000), 1) == []
    assert "starts again" in box.errors()[0]


def test_zero_from_a_counter_that_has_counted_is_not_used() -> None:
    box = Box(only(Role.GENERATION))
    box.read(raw(1000), 0)
    assert box.read(raw(0), 1) == []
    assert "not accumulated" in box.errors()[0]
    assert [value for _, _, value, _ in box.read(raw(1010), 2)] == [5, 5]


def test_zero_from_a_counter_that_never_counted_is_zero() -> None:
    box = Box(house())
    box.read(raw(0, 0, 0), 0)
    assert values(box.read(raw(0, 0, 25), 1), Register.CONSUMPTION) == [25]


def test_consumption_below_zero_is_taken_off_the_next_slots() -> None:
    box = Box(house())
    box.read(raw(1000, 500, 100), 0)
    assert values(box.read(raw(1100, 608, 100), 1), Register.CONSUMPTION) == [0]  # 100 generated, 108 exported
    assert values(box.read(raw(1100, 608, 120), 2), Register.CONSUMPTION) == [12]


def test_a_grid_meter_with_swapped_directions_is_noticed() -> None:
    box = Box(house())
    box.read(raw(1000, 500, 100), 0)
    assert values(box.read(raw(1000, 1700, 100), 1), Register.CONSUMPTION) == []
    assert "swapped" in box.errors()[0]


def test_another_set_of_meters_starts_again() -> None:
    box = Box(house())
    box.read(raw(1000, 500, 100), 0)
    box.point = only(Role.GRID)
    assert box.read(raw(exported=510, imported=110), 1) == []
    assert "other meters" in box.errors()[0]


def test_another_slot_length_starts_again() -> None:
    state, _, _ = read_slot(only(Role.GENERATION), PointState(), raw(1000), START, STEP)
    readings: list[Reading]
    _, readings, remarks = read_slot(only(Role.GENERATION), state, raw(1001), START + 1200, 600)
    assert len(readings) == 2
    _, readings, remarks = read_slot(only(Role.GENERATION), state, raw(1001), START + 1500, 600)
    assert readings == []
    assert "length of a slot" in remarks[0].text
