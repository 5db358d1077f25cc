"""How two things are compared: in turn, in one run, several times; what counts is the median of the ratios."""

import gc
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median


@dataclass(frozen=True)
class Side:
    """One of two things: how long each round of it took, in seconds, and how many units a round has."""

    seconds: Sequence[float]
    count: int

    def text(self, unit: str) -> str:
        usual = median(self.seconds)
        return f"{usual * 1000:.4g} ms = {_number(self.count / usual)} {unit}/s"


@dataclass(frozen=True)
class Figure:
    """How many times faster ours is than the baseline. Their rounds belong together in pairs."""

    name: str
    ours: Side
    baseline: Side
    aim: float | None
    unit: str
    conditions: str

    @property
    def ratios(self) -> list[float]:
        """By round, in ascending order."""
        pairs = zip(self.ours.seconds, self.baseline.seconds, strict=True)
        return sorted(self.ours.count / own / (self.baseline.count / other) for own, other in pairs)

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return "reported"
        return "holds" if self.ratio >= self.aim else "short"

    def lines(self) -> list[str]:
        return [
            _headline(self.name, f"{self.ratio:.3g}", self.aim, self.verdict),
            f"    ours {self.ours.text(self.unit)}; baseline {self.baseline.text(self.unit)};"
            f" ratios {self.ratios[0]:.3g} to {self.ratios[-1]:.3g}",
            f"    {self.conditions}",
        ]


@dataclass(frozen=True)
class Delay:
    """How many times longer ours takes than the baseline, at a percentile of all samples: `aim` is the most."""

    name: str
    percentile: int
    ours: Sequence[float]
    baseline: Sequence[float]
    aim: float
    conditions: str

    @property
    def ratio(self) -> float:
        return percentile(self.ours, self.percentile) / percentile(self.baseline, self.percentile)

    @property
    def verdict(self) -> str:
        return "holds" if self.ratio <= self.aim else "short"

    def lines(self) -> list[str]:
        own, other = (percentile(seconds, self.percentile) * 1000 for seconds in (self.ours, self.baseline))
        return [
            _headline(self.name, f"{self.ratio:.3g}", self.aim, self.verdict),
            f"    ours {own:,.0f} ms; baseline {other:,.0f} ms; at most the aim; {len(self.ours)} samples of each",
            f"    {self.conditions}",
        ]


@dataclass(frozen=True)
class Cost:
    """How many times more of something ours takes than the baseline, by pairs of rounds: `aim` is the most."""

    name: str
    ours: Sequence[float]
    baseline: Sequence[float]
    aim: float
    what: str
    conditions: str

    @property
    def ratio(self) -> float:
        return median(own / other for own, other in zip(self.ours, self.baseline, strict=True))

    @property
    def verdict(self) -> str:
        return "holds" if self.ratio <= self.aim else "short"

    def lines(self) -> list[str]:
        own, other = median(self.ours), median(self.baseline)
        return [
            _headline(self.name, f"{self.ratio:.3g}", self.aim, self.verdict),
            f"    ours {own:.3g} {self.what}; baseline {other:.3g}; at most the aim; {len(self.ours)} rounds",
            f"    {self.conditions}",
        ]


@dataclass(frozen=True)
class Amount:
    """Something of which there is no baseline: `aim` is the most, None where it is only told."""

    name: str
    value: float
    aim: float | None
    unit: str
    conditions: str

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return "reported"
        return "holds" if self.value <= self.aim else "short"

    def lines(self) -> list[str]:
        return [
            _headline(self.name, _number(self.value), self.aim, self.verdict),
            f"    {self.unit}; {self.conditions}",
        ]


@dataclass(frozen=True)
class Skipped:
    """A figure that could not be taken here."""

    name: str
    reason: str

    def lines(self) -> list[str]:
        return [_headline(self.name, "-", None, "skipped"), f"    {self.reason}"]


Found = Figure | Delay | Cost | Amount | Skipped


def compare(
    name: str,
    ours: Callable[[], object],
    baseline: Callable[[], object],
    *,
    rounds: int,
    aim: float | None,
    unit: str,
    count: int,
    conditions: str,
) -> Figure:
    seconds = in_turn({"ours": ours, "baseline": baseline}, rounds)
    own, other = Side(seconds["ours"], count), Side(seconds["baseline"], count)
    return Figure(name, own, other, aim, unit, f"{conditions}; {rounds} rounds")


def in_turn(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each action by round. All run once to warm up, then in turn, every other round backwards."""
    for action in actions.values():
        action()
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds):
        for name in list(actions)[:: -1 if number % 2 else 1]:
            seconds[name].append(timed(actions[name]))
    return seconds


def timed(action: Callable[[], object]) -> float:
    gc.collect()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest of the values that at least so many percent of them do not exceed."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1]


def machine() -> str:
    load = os.getloadavg()[0]
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, load {load:.1f} at start"


def _headline(name: str, ratio: str, aim: float | None, verdict: str) -> str:
    return f"{name}  {ratio}  {'-' if aim is None else f'{aim:g}'}  {verdict}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
