"""Six weeks of a market area: a fixed pseudo-random sample of what household meters show, in integer Wh."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from market_math.slots import day_slots
from market_math.waterfall import Purchases

ZONE = ZoneInfo("Europe/Berlin")
FIRST = dt.date(2021, 2, 15)
MINUTES = 15
SEED = 20210215

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Day:
    """`generation` (plants, slots), `consumption` (points, slots); plant i stands behind the meter of point i."""

    date: dt.date
    generation: Ints
    consumption: Ints
    purchases: Purchases


def sample_days(days: int, points: int, plants: int, purchases: int) -> list[Day]:
    """Local days from 2021-02-15 on, so that the change to summer time lies in six weeks."""
    random = np.random.default_rng(SEED)
    demand = random.lognormal(9.0, 0.4, points)  # Wh per day; about 3 MWh a year
    power = random.uniform(4_000, 12_000, plants)
    return [_day(random, FIRST + dt.timedelta(days=number), demand, power, purchases) for number in range(days)]


def _day(random: np.random.Generator, date: dt.date, demand: Floats, power: Floats, purchases: int) -> Day:
    slots = day_slots(date, ZONE, MINUTES)
    hours = np.array([(slot - slots.start) / 3600 for slot in slots]) * 24 / (len(slots) / 4)
    shape = 0.35 + np.exp(-(((hours - 7.5) / 1.8) ** 2)) + 1.4 * np.exp(-(((hours - 19) / 2.5) ** 2))
    noise = random.gamma(1.6, 1 / 1.6, (len(demand), len(slots)))
    consumption = np.rint(demand[:, None] * shape / shape.sum() * noise).astype(np.int64)
    sun = np.clip(np.sin((hours - 6.5) / 11 * np.pi), 0, None) * ((hours > 6.5) & (hours < 17.5))
    clouds = np.clip(random.beta(1.5, 1.2) * random.uniform(0.7, 1.2, (len(power), len(slots))), 0, 1)
    generation = np.rint(power[:, None] * sun * clouds / 4).astype(np.int64)
    return Day(date, generation, consumption, _purchases(random, generation, consumption, purchases))


def _purchases(random: np.random.Generator, generation: Ints, consumption: Ints, count: int) -> Purchases:
    """What each plant's owner does not use is sold, in parts, to points without a plant; many buy from two sellers."""
    plants, points = len(generation), len(consumption)
    surplus = np.maximum(generation - consumption[:plants], 0).sum(axis=1)
    plant = np.sort(random.integers(0, plants, count))
    buyers = random.integers(plants, points, count)
    parts = random.uniform(0.2, 1, count)
    whole = np.bincount(plant, parts, plants)[plant]
    energy = (surplus[plant] * parts / whole * random.uniform(0.5, 1)).astype(np.int64)
    some = energy > 0
    return Purchases(plant[some].astype(np.intp), buyers[some].astype(np.intp), energy[some])
