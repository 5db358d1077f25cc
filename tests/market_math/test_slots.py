"""Local days and their slots, where clocks change and where offsets are no whole hours."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_math.slots import day_bounds, day_number, day_of, day_slots, local_day

# Clocks change at 2 or 3 o'clock, at midnight, by half an hour, never; offsets of half and quarter hours.
ZONES = [
    "Europe/Berlin",
    "Europe/Madrid",
    "Atlantic/Canary",
    "America/Bogota",
    "America/Santiago",
    "America/Havana",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "UTC",
]
days = st.dates(dt.date(2000, 1, 1), dt.date(2037, 12, 30))
zones = st.sampled_from(ZONES).map(ZoneInfo)


@pytest.mark.parametrize(
    ("zone", "day", "count"),
    [
        ("Europe/Berlin", dt.date(2021, 3, 28), 92),
        ("Europe/Berlin", dt.date(2021, 3, 27), 96),
        ("Europe/Berlin", dt.date(2021, 10, 31), 100),
        ("Europe/Madrid", dt.date(2026, 3, 29), 92),
        ("Europe/Madrid", dt.date(2026, 10, 25), 100),
        ("America/Bogota", dt.date(2021, 3, 28), 96),
        ("America/Bogota", dt.date(2021, 10, 31), 96),
        ("Asia/Kolkata", dt.date(2021, 3, 28), 96),
        ("America/Santiago", dt.date(2024, 9, 8), 92),
        ("America/Santiago", dt.date(2024, 4, 6), 100),
        ("America/Havana", dt.date(2024, 3, 10), 92),
        ("America/Havana", dt.date(2024, 11, 3), 100),
        ("Australia/Lord_Howe", dt.date(2024, 10, 6), 94),
    ],
)
def test_quarter_hours_of_a_day(zone: str, day: dt.date, count: int) -> None:
    slots = day_slots(day, ZoneInfo(zone), 15)
    assert len(slots) == count
    assert slots.stop == day_bounds(day, ZoneInfo(zone))[1]


def test_the_first_slots_in_utc() -> None:
    assert day_slots(dt.date(2021, 2, 15), ZoneInfo("Europe/Berlin"), 15)[0] == 1_613_343_600
    assert day_slots(dt.date(2021, 2, 15), ZoneInfo("Asia/Kolkata"), 30)[0] % 3600 == 1800


@given(days, zones, st.sampled_from([5, 15]))
def test_days_follow_each_other_without_gap_on_the_grid(day: dt.date, zone: ZoneInfo, minutes: int) -> None:
    slots = day_slots(day, zone, minutes)
    assert slots.stop == day_slots(day + dt.timedelta(days=1), zone, minutes).start
    assert slots.start % (minutes * 60) == 0
    assert {local_day(slot, zone) for slot in slots} == {day}
    assert local_day(slots.start - 1, zone) == day - dt.timedelta(days=1)


@given(st.dates())
def test_days_are_numbered_from_1970(day: dt.date) -> None:
    assert day_of(day_number(day)) == day
    assert day_number(day + dt.timedelta(days=1)) == day_number(day) + 1 if day < dt.date.max else True


def test_day_zero() -> None:
    assert day_number(dt.date(1970, 1, 1)) == 0
