from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from meter_agent.household import EPOCH, PATTERN_DAYS, Energies, Household
from tests.meter_agent.support import BERLIN

NOON = int(datetime(2026, 6, 10, 11, tzinfo=UTC).timestamp())
DAY = 86400


def between(house: Household, start: int, end: int) -> Energies:
    return house.energies(end).plus(house.energies(start), times=-1)


def test_the_same_seed_counts_the_same() -> None:
    assert Household(5, 3500, 8, BERLIN).energies(NOON) == Household(5, 3500, 8, BERLIN).energies(NOON)
    assert Household(5, 3500, 8, BERLIN).energies(NOON) != Household(6, 3500, 8, BERLIN).energies(NOON)


def test_counters_never_go_back_and_always_balance() -> None:
    house = Household(3, 4000, 6, BERLIN)
    midnight = EPOCH - 3600 + PATTERN_DAYS * DAY  # where the pattern repeats
    instants = [midnight + offset for offset in range(-DAY // 2, DAY // 2, 97)]
    for before, after in pairwise(instants):
        step = between(house, before, after)
        assert min(step.generated, step.exported, step.imported) >= 0
        assert step.exported <= step.generated + 1  # a minute is cut to whole mWh


def test_a_year_has_about_the_energy_asked_for() -> None:
    year = between(Household(1, 3500, 8.5, BERLIN), NOON, NOON + 365 * DAY)
    assert 3_300 < year.consumed / 1e6 < 3_700
    assert 800 < year.generated / 1e6 / 8.5 < 1_200
    assert 0 < year.imported < year.consumed


def test_the_sun_shines_by_day_and_more_in_summer() -> None:
    house = Household(1, 3500, 8.5, BERLIN)
    night = NOON - 12 * 3600
    assert between(house, night, night + 3600).generated == 0
    assert between(house, NOON, NOON + 3600).generated > 500_000
    summer = between(house, NOON, NOON + 28 * DAY).generated
    assert summer > 3 * between(house, NOON + 182 * DAY, NOON + 210 * DAY).generated


def test_the_sun_follows_the_zone() -> None:
    bogota = Household(1, 3500, 8.5, ZoneInfo("America/Bogota"))
    noon = NOON + int(timedelta(hours=6).total_seconds())
    assert bogota.energies(noon).generated == Household(1, 3500, 8.5, BERLIN).energies(NOON).generated


def test_a_house_without_a_plant_exports_nothing() -> None:
    energies = Household(1, 3500, 0, BERLIN).energies(NOON)
    assert (energies.generated, energies.exported) == (0, 0)
    assert energies.imported == energies.consumed > 0


def test_before_it_was_built_there_is_nothing() -> None:
    with pytest.raises(ValueError, match="did not exist"):
        Household(1, 3500, 0, BERLIN).energies(EPOCH - DAY)
