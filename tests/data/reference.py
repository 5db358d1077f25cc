"""The market's arithmetic once more, slot by slot in plain loops: what the real thing is checked against.

Written from the rules alone; nothing here comes from `market_math`, `evidence` or the apps.
"""

import csv
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

HOUR = 3600


def energy_of_file(path: Path, factor: int, seconds: int) -> dict[int, int]:
    """Wh by slot of a file of mean powers: the difference of the running sum, rounded half up."""
    energy: dict[int, int] = {}
    total = Fraction(0)
    given = 0
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            total += Fraction(row["electricity"]) * factor * seconds / HOUR
            wh = (2 * total.numerator + total.denominator) // (2 * total.denominator) - given
            given += wh
            energy[int(Fraction(row["timestamp"]))] = wh
    return energy


def local_days(slots: Iterable[int], zone: ZoneInfo) -> dict[dt.date, list[int]]:
    """The slots of each local day."""
    days: dict[dt.date, list[int]] = defaultdict(list)
    for slot in slots:
        days[dt.datetime.fromtimestamp(slot, zone).date()].append(slot)
    return days


@dataclass(frozen=True)
class Bought:
    """A purchase. Its id decides ties and whose turn it is."""

    id: bytes
    plant: bytes
    point: bytes
    wh: int


@dataclass(frozen=True)
class Served:
    """A purchase's row in a slot: served in full (`limit` Wh, no weight), or sharing by `weight` in what is left."""

    weight: int
    limit: int
    wh: int


@dataclass
class Result:
    """Wh of a day by (plant or point, slot); `served` by (purchase, slot)."""

    own_use: dict[tuple[bytes, int], int] = field(default_factory=dict)
    fed_in: dict[tuple[bytes, int], int] = field(default_factory=dict)
    supplied: dict[tuple[bytes, int], int] = field(default_factory=dict)
    served: dict[tuple[bytes, int], Served] = field(default_factory=dict)


def settle(
    slots: Iterable[int],
    generation: Mapping[bytes, Mapping[int, int]],
    consumption: Mapping[bytes, Mapping[int, int]],
    site: Mapping[bytes, bytes],
    purchases: Sequence[Bought],
) -> Result:
    """A day's waterfall. `generation` is by plant, `consumption` by point, `site` is the point of each plant."""
    result = Result()
    open_wh = {purchase.id: purchase.wh for purchase in purchases}
    for slot in slots:
        uncovered = {point: series[slot] for point, series in consumption.items()}
        surplus = {plant: series[slot] for plant, series in generation.items()}
        for plant, point in site.items():
            own_use = min(surplus[plant], uncovered[point])
            result.own_use[plant, slot] = own_use
            surplus[plant] -= own_use
            uncovered[point] -= own_use
        for plant in sorted(surplus):
            waiting = sorted((p for p in purchases if p.plant == plant and open_wh[p.id]), key=lambda p: p.id)
            limits = limits_of(waiting, open_wh, uncovered)
            able = [p for p in waiting if limits[p.id]]
            rows = pour(surplus[plant], [(p.id, open_wh[p.id], limits[p.id]) for p in able])
            for purchase in able if surplus[plant] else []:
                row = rows[purchase.id]
                result.served[purchase.id, slot] = row
                open_wh[purchase.id] -= row.wh
                uncovered[purchase.point] -= row.wh
            surplus[plant] -= sum(row.wh for row in rows.values())
            result.fed_in[plant, slot] = surplus[plant]
        for point, wh in uncovered.items():
            result.supplied[point, slot] = wh
    return result


def limits_of(
    waiting: Sequence[Bought], open_wh: Mapping[bytes, int], uncovered: Mapping[bytes, int]
) -> dict[bytes, int]:
    """The most that each purchase can take: the earlier ones of a buyer come first."""
    room = dict(uncovered)
    limits = {}
    for purchase in waiting:
        limits[purchase.id] = min(open_wh[purchase.id], room[purchase.point])
        room[purchase.point] -= limits[purchase.id]
    return limits


def pour(surplus: int, claims: Sequence[tuple[bytes, int, int]]) -> dict[bytes, Served]:
    """Give surplus to (id, weight, limit) in proportion to weight, each up to its limit.

    Those who reach their limit first go first: as long as an even share of what is left would fill somebody, they are
    filled. The others share the rest, the Wh that division leaves going to the largest fractions, then smaller ids.
    """
    rows: dict[bytes, Served] = {}
    rest = surplus
    sharing = sorted(claims, key=lambda claim: Fraction(claim[2], claim[1]))
    if sum(limit for _, _, limit in claims) <= surplus:
        return {claim: Served(0, limit, limit) for claim, _, limit in claims}
    while True:
        claim, weight, limit = sharing[0]
        if Fraction(rest, sum(w for _, w, _ in sharing)) < Fraction(limit, weight):
            break
        rows[claim] = Served(0, limit, limit)
        rest -= limit
        del sharing[0]
        if not sharing:
            return rows
    total = sum(weight for _, weight, _ in sharing)
    exact = {claim: Fraction(rest * weight, total) for claim, weight, _ in sharing}
    whole = {claim: int(share) for claim, share in exact.items()}
    by_fraction = sorted(exact, key=lambda claim: (whole[claim] - exact[claim], claim))
    for claim in by_fraction[: rest - sum(whole.values())]:
        whole[claim] += 1
    for claim, weight, _ in sharing:
        rows[claim] = Served(weight, 0, whole[claim])
    return rows


def cents(nano: int) -> int:
    """Ten million nano-euro are a cent; halves go away from zero. Only for what is not negative."""
    return (nano + 5_000_000) // 10_000_000


@dataclass(frozen=True)
class Bill:
    """Lines as (scheme, Wh, price, cents), the rest of rounding among them as (0, 0, 0, cents)."""

    lines: Counter[tuple[int, int, int, int]]
    net: int
    vat: int


def bill(energy: Mapping[tuple[int, int], int], vat_percent: int) -> Bill:
    """A document from Wh by (scheme, price in micro-euro per kWh)."""
    lines = Counter((scheme, wh, price, cents(wh * price)) for (scheme, price), wh in energy.items() if wh)
    net = cents(sum(wh * price for (_scheme, price), wh in energy.items()))
    rest = net - sum(amount for _, _, _, amount in lines.elements())
    if rest:
        lines[0, 0, 0, rest] += 1
    return Bill(lines, net, (2 * net * vat_percent + 100) // 200)
