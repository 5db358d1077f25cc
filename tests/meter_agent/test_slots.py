from datetime import date
from zoneinfo import ZoneInfo

import pytest

from meter_agent.slots import day_bounds, local_day, slot_start, slots_of_day, split_evenly
from tests.meter_agent.support import BERLIN


@pytest.mark.parametrize(
    ("day", "slots"),
    [(date(2021, 3, 27), 96), (date(2021, 3, 28), 92), (date(2021, 10, 31), 100), (date(2021, 11, 1), 96)],
)
def test_a_local_day_has_92_96_or_100_slots(day: date, slots: int) -> None:
    assert len(slots_of_day(day, BERLIN, 900)) == slots


def test_the_slots_of_neighbouring_days_follow_each_other() -> None:
    days = [slots_of_day(date(2021, 3, day), BERLIN, 900) for day in (27, 28, 29)]
    assert days[0][-1] + 900 == days[1][0] == 1_616_886_000  # 2021-03-27 23:00 UTC
    assert days[1][-1] + 900 == days[2][0] == 1_616_968_800  # 2021-03-28 22:00 UTC


def test_a_slot_belongs_to_the_day_it_begins_on() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")  # midnight is at half past 18 UTC
    slots = slots_of_day(date(2021, 5, 1), kolkata, 3600)
    assert len(slots) == 24
    assert {local_day(slot, kolkata) for slot in slots} == {date(2021, 5, 1)}


def test_a_day_without_midnight_begins_when_the_clock_goes_on() -> None:
    start, end = day_bounds(date(2022, 9, 11), ZoneInfo("America/Santiago"))  # 00:00 does not exist
    assert (end - start) / 3600 == 23


def test_slots_stand_on_the_utc_grid() -> None:
    assert slot_start(1_616_886_899.9, 900) == 1_616_886_000
    assert slot_start(1_616_886_900, 900) == 1_616_886_900


def test_shares_are_whole_and_their_sum_is_exact() -> None:
    assert list(split_evenly(11, 4)) == [3, 3, 3, 2]
    assert list(split_evenly(2, 4)) == [1, 1, 0, 0]
    assert sum(split_evenly(12_345, 97)) == 12_345
