"""A day of each family of meters, from simulated registers over real Modbus to readings."""

import asyncio
import struct
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from evidence.readings import Quality, Reading, Register
from meter_agent.buses import BusConfig
from meter_agent.config import PointConfig
from meter_agent.household import Household
from meter_agent.journal import Journal
from meter_agent.maps import MAPS
from meter_agent.meters import MeterConfig
from meter_agent.simulator import HouseholdProfile, Profile, at_simulator, simulate_day
from meter_agent.slots import slots_of_day
from meter_agent.tables import ConfigError
from meter_agent.terms import Role
from tests.meter_agent.support import BERLIN, HOUSE, KEY, SECRETS, STEP, kept, make_config

DAY = date(2026, 6, 10)
# The last digit of each family in mWh, or none for floats of 32 bits and the power of ten of their Wh.
DIGITS = {"em340": 100_000, "cvm-c11": 1_000_000, "sunspec201": 1, "sunspec701": 1}
FLOATS = {"sdm630": 1_000_000, "umg": 1_000, "sunspec213": 1_000}


def shown(name: str, mwh: int) -> int:
    """What a counter of that family shows, in µWh."""
    if name in DIGITS:
        mwh = mwh % (1 << 32) if name == "sunspec201" else mwh
        return mwh // DIGITS[name] * DIGITS[name] * 1000
    (value,) = struct.unpack(">f", struct.pack(">f", mwh / FLOATS[name]))
    whole = int(value * (1 << 24))  # a float of 32 bits has no more than 24 bits behind the point here
    return whole * FLOATS[name] * 1000 >> 24


def rounded(micro: int) -> int:
    return (micro + 500_000) // 1_000_000


@pytest.mark.parametrize("name", [*DIGITS, *FLOATS])
def test_a_day_is_read_to_the_last_digit_of_the_meter(name: str, tmp_path: Path, journal: Journal) -> None:
    roles = {Role.GRID: 1, Role.GENERATION: 2}
    registers = (Register.GENERATION, Register.GRID_IMPORT, Register.GRID_EXPORT)
    household = HouseholdProfile(HOUSE, 1, 3500, 8.5, roles, dict.fromkeys(roles, MAPS[name]))
    meters = {role: MeterConfig(BusConfig(), unit, MAPS[name], 100) for role, unit in roles.items()}
    config = make_config(tmp_path, "http://127.0.0.1:9", PointConfig(HOUSE, SECRETS[HOUSE], meters, registers))
    profile = Profile("127.0.0.1", 0, BERLIN, (household,))
    result = asyncio.run(simulate_day(config, profile, journal, KEY, DAY, send=False))
    assert (result["complete"], result["waiting"]) == (True, 3 * 96)

    home = Household(1, 3500, 8.5, BERLIN)
    slots = slots_of_day(DAY, BERLIN, STEP)
    readings = []
    for slot in slots:
        before, after = home.energies(slot), home.energies(slot + STEP)
        for register, old, new in (
            (Register.GENERATION, before.generated, after.generated),
            (Register.GRID_IMPORT, before.imported, after.imported),
            (Register.GRID_EXPORT, before.exported, after.exported),
        ):
            value = rounded(shown(name, new)) - rounded(shown(name, old))
            readings.append(Reading(HOUSE, register, slot, value, Quality.TRUE_VALUE))
    assert kept(journal) == readings


def test_reactive_energy_is_read_in_all_quadrants_where_it_is_sent(tmp_path: Path, journal: Journal) -> None:
    registers = (Register.REACTIVE_1, Register.REACTIVE_2, Register.REACTIVE_3, Register.REACTIVE_4)
    household = HouseholdProfile(HOUSE, 1, 3500, 8.5, {Role.GRID: 1})
    meters = {Role.GRID: MeterConfig(BusConfig(), 1, MAPS["sunspec203"], 100)}
    config = make_config(tmp_path, "http://127.0.0.1:9", PointConfig(HOUSE, SECRETS[HOUSE], meters, registers))
    asyncio.run(simulate_day(config, Profile("127.0.0.1", 0, BERLIN, (household,)), journal, KEY, DAY, send=False))
    home = Household(1, 3500, 8.5, BERLIN)
    slots = slots_of_day(DAY, BERLIN, STEP)
    first, last = home.energies(slots[0]), home.energies(slots[-1] + STEP)

    def varh(old: int, new: int) -> int:
        return rounded(new * 1000) - rounded(old * 1000)

    sums = {each: sum(reading.value for reading in kept(journal) if reading.register == each) for each in registers}
    assert sums == {
        Register.REACTIVE_1: varh(first.imported // 5, last.imported // 5),
        Register.REACTIVE_2: varh(first.exported // 50, last.exported // 50),
        Register.REACTIVE_3: varh(first.exported // 10, last.exported // 10),
        Register.REACTIVE_4: varh(first.imported // 20, last.imported // 20),
    }
    assert len(kept(journal)) == 4 * 96


def test_a_profile_with_another_meter_is_named(tmp_path: Path) -> None:
    household = HouseholdProfile(HOUSE, 1, 3500, 0, {Role.GRID: 1}, {Role.GRID: MAPS["em340"]})
    meter = MeterConfig(BusConfig(), 1, MAPS["sdm630"], 100)
    config = make_config(tmp_path, "http://127.0.0.1:9", PointConfig(HOUSE, SECRETS[HOUSE], {Role.GRID: meter}))
    profile = Profile("127.0.0.1", 0, BERLIN, (household,))
    with pytest.raises(ConfigError, match=r"points\[0\]\.grid: the profile has a em340 there"):
        at_simulator(config, profile, 1)
    reversed_meter = replace(meter, map=MAPS["em340"].reversed())
    config = make_config(tmp_path, "x", PointConfig(HOUSE, SECRETS[HOUSE], {Role.GRID: reversed_meter}))
    with pytest.raises(ConfigError, match="the profile has a em340 there"):
        at_simulator(config, profile, 1)
