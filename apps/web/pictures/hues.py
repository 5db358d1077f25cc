"""The five hues for where energy comes from and goes to, each with a pattern of its own for print."""

from collections.abc import Iterable
from enum import StrEnum

from django.utils.safestring import SafeString

from apps.web.pictures.svg import Attribute, join, tag


class Hue(StrEnum):
    """Where energy comes from or goes to. The colour of each is a token in static/css/tokens.css."""

    OWN = "own"
    NEIGHBOURS = "neighbours"
    AGREEMENT = "agreement"
    AUCTION = "auction"
    GRID = "grid"
    # Not energy: taxes, fees, rounding.
    NEUTRAL = "neutral"


PATTERN_SIZE = 8

# One tile each: dots, rising and falling diagonals, horizontal lines, a grid, and nothing.
TILES = {
    Hue.OWN: "M2 1.5v1M6 5.5v1",
    Hue.NEIGHBOURS: "M-2 2l4-4M0 8l8-8M6 10l4-4",
    Hue.AGREEMENT: "M-2 6l4 4M0 0l8 8M6-2l4 4",
    Hue.AUCTION: "M0 2h8M0 6h8",
    Hue.GRID: "M0 4h8M4 0v8",
    Hue.NEUTRAL: "",
}


def pattern_id(prefix: str, hue: Hue) -> str:
    return f"{prefix}-{hue}"


def paint(prefix: str, hue: Hue) -> str:
    """The fill that refers to the hue's pattern in the drawing whose ids start with `prefix`."""
    return f"url(#{pattern_id(prefix, hue)})"


def patterns(prefix: str, hues: Iterable[Hue]) -> SafeString:
    """Definitions of the patterns; every drawing carries its own, as a hidden one would not lend them."""
    return tag("defs", {}, *[_pattern(prefix, hue) for hue in dict.fromkeys(hues)])


def swatch(prefix: str, hue: Hue) -> SafeString:
    """A small square in the hue and its pattern, for legends; decorative, as the word stands beside it."""
    square = tag("rect", {"x": 0.5, "y": 0.5, "width": 15, "height": 15, "rx": 2, "fill": paint(prefix, hue)})
    frame: dict[str, Attribute] = {
        "class": "swatch",
        "viewBox": "0 0 16 16",
        "width": 16,
        "height": 16,
        "aria-hidden": "true",
    }
    return tag("svg", frame, patterns(prefix, [hue]), square)


def _pattern(prefix: str, hue: Hue) -> SafeString:
    size = PATTERN_SIZE
    ground = tag("rect", {"width": size, "height": size, "class": f"fill-{hue}"})
    weave = tag("path", {"d": TILES[hue], "class": f"weave weave-{hue}"}) if TILES[hue] else join()
    tile: dict[str, Attribute] = {"patternUnits": "userSpaceOnUse", "width": size, "height": size}
    return tag("pattern", {"id": pattern_id(prefix, hue), **tile}, ground, weave)
