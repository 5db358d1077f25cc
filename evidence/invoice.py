"""An invoice's figures, computed from energies: lines by scheme and price, rounded once each, VAT per rate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evidence.settlement import Scheme
from market_math.money import PPM, amount, nano_per_minor, round_half_away


@dataclass(frozen=True, slots=True)
class Line:
    """`scheme` is None for what rounding leaves. Wh, micro-currency per kWh, minor units, parts per million."""

    scheme: Scheme | None
    energy_wh: int
    price_micro: int
    amount_minor: int
    vat_ppm: int


@dataclass(frozen=True, slots=True)
class VatGroup:
    ppm: int
    net_minor: int
    vat_minor: int


@dataclass(frozen=True, slots=True)
class Figures:
    lines: tuple[Line, ...]
    vat: tuple[VatGroup, ...]

    @property
    def net_minor(self) -> int:
        return sum(group.net_minor for group in self.vat)

    @property
    def vat_minor(self) -> int:
        return sum(group.vat_minor for group in self.vat)

    @property
    def total_minor(self) -> int:
        return self.net_minor + self.vat_minor


def compute(energy: Mapping[tuple[Scheme, int], int], vat_ppm: Mapping[Scheme, int], currency: str) -> Figures:
    """Figures from Wh by (scheme, price). Per VAT rate, the net is the rounded exact sum; a rest stands as a line."""
    lines: list[Line] = []
    groups: list[VatGroup] = []
    nano = nano_per_minor(currency)
    for ppm in sorted({vat_ppm[scheme] for scheme, _ in energy}, reverse=True):
        items = sorted((key, wh) for key, wh in energy.items() if vat_ppm[key[0]] == ppm)
        rated = [Line(s, wh, p, round_half_away(amount(wh, p), nano), ppm) for (s, p), wh in items]
        net = round_half_away(sum(amount(wh, price) for (_, price), wh in items), nano)
        rest = net - _sum(rated)
        lines += rated
        if rest:
            lines.append(Line(None, 0, 0, rest, ppm))
        groups.append(VatGroup(ppm, net, round_half_away(net * ppm, PPM)))
    return Figures(tuple(lines), tuple(groups))


def _sum(lines: Iterable[Line]) -> int:
    return sum(line.amount_minor for line in lines)
