"""Settling six weeks for 1,000 metering points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.baselines import settlement as baseline
from bench.measure import Figure, compare
from bench.sample import SEED, Day, sample_days
from market_math.allocation import Indexes, Ints
from market_math.waterfall import Purchases, run_waterfall

POINTS, PLANTS, PURCHASES, DAYS = 1_000, 200, 1_500, 44


Stack = tuple[Ints, Ints, Indexes, Purchases]


def stacked(days: Sequence[Day]) -> Stack:
    """Days below each other: rows of plants and points of all days, shorter days filled up with empty slots."""
    plants, points = len(days[0].generation), len(days[0].consumption)
    slots = max(day.generation.shape[1] for day in days)
    generation = np.zeros((len(days) * plants, slots), np.int64)
    consumption = np.zeros((len(days) * points, slots), np.int64)
    for n, day in enumerate(days):
        width = day.generation.shape[1]
        generation[n * plants : (n + 1) * plants, :width] = day.generation
        consumption[n * points : (n + 1) * points, :width] = day.consumption
    site = (np.arange(len(days))[:, None] * points + np.arange(plants)).ravel()
    purchases = Purchases(
        np.concatenate([day.purchases.plant + n * plants for n, day in enumerate(days)]),
        np.concatenate([day.purchases.point + n * points for n, day in enumerate(days)]),
        np.concatenate([day.purchases.energy for day in days]),
    )
    return generation, consumption, site, purchases


@dataclass(frozen=True)
class PlainDay:
    """A day in the form of the baseline."""

    generation: list[dict[int, int]]
    consumption: list[dict[int, int]]
    purchases: list[tuple[int, int, int]]


def plain(day: Day) -> PlainDay:
    return PlainDay(
        [dict(enumerate(column)) for column in day.generation.T.tolist()],
        [dict(enumerate(column)) for column in day.consumption.T.tolist()],
        list(
            zip(day.purchases.plant.tolist(), day.purchases.point.tolist(), day.purchases.energy.tolist(), strict=True)
        ),
    )


def settle_plain(days: Sequence[PlainDay]) -> list[baseline.Settled]:
    settled = []
    for day in days:
        purchases = [baseline.Purchase(key, *purchase) for key, purchase in enumerate(day.purchases)]
        site = {plant: plant for plant in day.generation[0]}
        settled.append(baseline.settle_day(day.generation, day.consumption, site, purchases))
    return settled


def figures(rounds: int) -> list[Figure]:
    days = sample_days(DAYS, POINTS, PLANTS, PURCHASES)
    stack = stacked(days)
    plain_days = [plain(day) for day in days]
    bought = sum(len(day.purchases) for day in days)
    slots = sum(day.generation.shape[1] for day in days)
    return [
        compare(
            "settlement.six_weeks",
            lambda: run_waterfall(*stack),
            lambda: settle_plain(plain_days),
            rounds=rounds,
            aim=50,
            unit="point-slots",
            count=POINTS * slots,
            conditions=f"{DAYS} days, {slots} slots, {POINTS} points, {PLANTS} plants, {bought} purchases,"
            f" seed {SEED}; ours settles all days, stacked as arrays, in one waterfall; the baseline loops over their"
            " slots with dicts; both get their input in their own form",
        )
    ]
