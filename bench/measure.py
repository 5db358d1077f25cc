"""How two things are compared: in turn, in one run, several times; what counts is the median of the ratios."""

import gc
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """`ratio` says how many times faster ours is than the baseline; seconds are medians over the rounds."""

    name: str
    ratio: float
    aim: float | None
    ours: float
    baseline: float
    unit: str
    count: int
    conditions: str
    spread: tuple[float, float]

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return "reported"
        return "holds" if self.ratio >= self.aim else "short"

    def lines(self) -> list[str]:
        aim = "-" if self.aim is None else f"{self.aim:g}"
        low, high = self.spread
        return [
            f"{self.name}  {self.ratio:.3g}  {aim}  {self.verdict}",
            f"    ours {self.ours * 1000:.4g} ms = {self.count / self.ours:,.0f} {self.unit}/s; baseline"
            f" {self.baseline * 1000:.4g} ms = {self.count / self.baseline:,.0f} {self.unit}/s;"
            f" ratios {low:.3g} to {high:.3g}",
            f"    {self.conditions}",
        ]


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
    """Run both once to warm up, then in turn; whoever goes first changes with each round."""
    ours()
    baseline()
    pairs = []
    for number in range(rounds):
        if number % 2:
            other = timed(baseline)
            pairs.append((timed(ours), other))
        else:
            pairs.append((timed(ours), timed(baseline)))
    ratios = sorted(other / own for own, other in pairs)
    return Figure(
        name,
        median(ratios),
        aim,
        median(own for own, _ in pairs),
        median(other for _, other in pairs),
        unit,
        count,
        f"{conditions}; {rounds} rounds",
        (ratios[0], ratios[-1]),
    )


def timed(action: Callable[[], object]) -> float:
    gc.collect()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def machine() -> str:
    load = os.getloadavg()[0]
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, load {load:.1f} at start"
