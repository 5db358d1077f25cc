"""A make-believe household whose meters are pure functions of time: the same seed always counts the same.

A pattern of 364 days (whole weeks) repeats from EPOCH on, in the standard time of the household's zone. Consumption and
generation are whole mWh per minute; what is not used in the same minute is exported, what is lacking is imported.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

EPOCH = 1_577_664_000  # 2019-12-30 00:00 UTC, a Monday
DAY_MINUTES = 1440
PATTERN_DAYS = 364
NOISE_MINUTES = 8191
MWH_PER_KWH = 1_000_000
MWH_PER_KW_MINUTE = MWH_PER_KWH / 60
SOLAR_NOON = 12 * 60 + 20

# Load by local hour as a multiple of its mean, joined by straight lines: (hour, workday, weekend).
LOAD_SHAPE = (
    (0, 0.50, 0.55),
    (5, 0.45, 0.45),
    (7, 1.50, 0.80),
    (9, 0.85, 1.30),
    (12, 0.95, 1.50),
    (15, 0.80, 1.10),
    (18, 1.75, 1.60),
    (20, 2.00, 1.80),
    (22, 1.20, 1.30),
    (24, 0.50, 0.55),
)


@dataclass(frozen=True, slots=True)
class Energies:
    """Running sums in mWh."""

    generated: int
    exported: int
    imported: int

    @property
    def consumed(self) -> int:
        return self.generated - self.exported + self.imported

    def plus(self, other: "Energies", times: int = 1) -> "Energies":
        return Energies(
            self.generated + times * other.generated,
            self.exported + times * other.exported,
            self.imported + times * other.imported,
        )


NOTHING = Energies(0, 0, 0)


class Household:
    """`annual_kwh` is what it uses in a year, `kwp` the power of the plant on its roof (0: none)."""

    def __init__(self, seed: int, annual_kwh: float, kwp: float, zone: ZoneInfo) -> None:
        self.kwp = kwp
        self.mean_load = annual_kwh * MWH_PER_KWH / (365 * DAY_MINUTES)
        self.start = EPOCH - _standard_offset(zone)
        draw = random.Random(seed)  # noqa: S311 - the same household every time, nothing secret
        noise = _noise(draw)
        self._noise = noise + noise[:DAY_MINUTES]
        self._moods = [draw.uniform(0.8, 1.2) for _ in range(PATTERN_DAYS)]
        self._clearness = [0.15 + 0.85 * draw.betavariate(1.6, 1.0) for _ in range(PATTERN_DAYS)]
        self._offsets = [draw.randrange(NOISE_MINUTES) for _ in range(PATTERN_DAYS)]
        self._sums = lru_cache(maxsize=2)(self._sums_of_day)

    def energies(self, instant: float) -> Energies:
        """What has been generated, consumed, exported and imported until `instant` (UTC seconds)."""
        minutes, second = divmod(math.floor(instant) - self.start, 60)
        if minutes < 0:
            raise ValueError("the household did not exist yet")
        day, minute = divmod(minutes, DAY_MINUTES)
        patterns, day = divmod(day, PATTERN_DAYS)
        sums = self._sums(day)
        before, after = sums[minute], sums[minute + 1]
        # Within a minute the power is constant; each sum is cut to whole mWh.
        part = Energies(
            (after.generated - before.generated) * second // 60,
            (after.exported - before.exported) * second // 60,
            (after.imported - before.imported) * second // 60,
        )
        return self._midnights[day].plus(before).plus(part).plus(self._midnights[PATTERN_DAYS], patterns)

    @cached_property
    def _midnights(self) -> Sequence[Energies]:
        """Running sums at the start of each day of the pattern and at its end."""
        totals = []
        for day in range(PATTERN_DAYS):
            load, sun = self._load(day), self._sun(day)
            exported = sum(made - used for made, used in zip(sun, load, strict=True) if made > used)
            generated = sum(sun)
            totals.append(Energies(generated, exported, sum(load) - generated + exported))
        return list(accumulate(totals, Energies.plus, initial=NOTHING))

    def _sums_of_day(self, day: int) -> Sequence[Energies]:
        """Running sums from midnight for each minute of a day of the pattern."""
        minutes = [
            Energies(made, max(made - used, 0), max(used - made, 0))
            for made, used in zip(self._sun(day), self._load(day), strict=True)
        ]
        return list(accumulate(minutes, Energies.plus, initial=NOTHING))

    def _load(self, day: int) -> list[int]:
        """mWh used in each minute."""
        season = 1 + 0.2 * math.cos(2 * math.pi * day / PATTERN_DAYS)
        mean = self.mean_load * season * self._moods[day]
        noise = self._noise[self._offsets[day] : self._offsets[day] + DAY_MINUTES]
        shape = WEEKEND if day % 7 >= 5 else WORKDAY
        return [int(mean * share * factor) for share, factor in zip(shape, noise, strict=True)]

    def _sun(self, day: int) -> list[int]:
        """mWh generated in each minute."""
        if not self.kwp:
            return [0] * DAY_MINUTES
        peak = self.kwp * self._clearness[day] * MWH_PER_KW_MINUTE
        return [int(peak * share) for share in _bell(day // 7)]


def _standard_offset(zone: ZoneInfo) -> int:
    """Seconds by which the zone is ahead of UTC when no daylight saving applies."""
    new_year = datetime(2021, 1, 1, tzinfo=zone)
    offset = (new_year.utcoffset() or timedelta()) - (new_year.dst() or timedelta())
    return int(offset.total_seconds())


def _noise(draw: random.Random) -> list[float]:
    """A base load and appliances that run for a while, with a mean of 1."""
    minutes = [0.6] * NOISE_MINUTES
    for _ in range(NOISE_MINUTES // 100):
        start, length, power = draw.randrange(NOISE_MINUTES), draw.randrange(5, 60), draw.uniform(0.5, 4)
        for minute in range(start, min(start + length, NOISE_MINUTES)):
            minutes[minute] += power
    mean = sum(minutes) / NOISE_MINUTES
    return [minute / mean * draw.uniform(0.9, 1.1) for minute in minutes]


def _shape(column: int) -> list[float]:
    shares = []
    for before, after in pairwise(LOAD_SHAPE):
        length = (after[0] - before[0]) * 60
        slope = (after[column] - before[column]) / length
        shares += [before[column] + slope * minute for minute in range(length)]
    mean = sum(shares) / DAY_MINUTES
    return [share / mean for share in shares]


WORKDAY, WEEKEND = _shape(1), _shape(2)


@lru_cache(maxsize=PATTERN_DAYS // 7)
def _bell(week: int) -> list[float]:
    """A plant's power on a clear day as a share of its peak power, by minute."""
    winter = math.cos(2 * math.pi * (week * 7 + 13) / PATTERN_DAYS)
    daylight = (12 - 4.3 * winter) * 60
    height = 0.6 - 0.25 * winter
    position = [(minute - SOLAR_NOON) / daylight + 0.5 for minute in range(DAY_MINUTES)]
    return [height * math.sin(math.pi * x) ** 1.4 if 0 < x < 1 else 0.0 for x in position]
