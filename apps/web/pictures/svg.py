"""The few SVG pieces that all pictures share: tags, numbers, text, the two frames, nice axis steps."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeString, mark_safe

Attribute = str | int | float

ID = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Frame:
    """One of the two drawings of a picture; sizes in CSS pixels at its natural scale."""

    name: str
    width: int
    text: int

    @property
    def narrow(self) -> bool:
        return self.name == "narrow"


NARROW = Frame("narrow", width=328, text=13)
WIDE = Frame("wide", width=820, text=14)
FRAMES = (NARROW, WIDE)


def number(value: float) -> str:
    """A coordinate with at most one decimal, no trailing zero: tenths of a pixel are finer than any screen."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def tag(name: str, attributes: Mapping[str, Attribute], *children: SafeString) -> SafeString:
    """An SVG or HTML element; attribute values are escaped, children are markup already."""
    written = "".join(f' {key}="{escape(_value(value))}"' for key, value in attributes.items())
    return mark_safe(f"<{name}{written}>{''.join(children)}</{name}>")  # noqa: S308 - every part is escaped above


def join(*parts: SafeString) -> SafeString:
    return mark_safe("".join(parts))  # noqa: S308 - SafeStrings only


def text(content: str, x: float, y: float, css: str = "", anchor: str = "start") -> SafeString:
    attributes: dict[str, Attribute] = {"x": x, "y": y}
    if anchor != "start":
        attributes["text-anchor"] = anchor
    if css:
        attributes["class"] = css
    return tag("text", attributes, conditional_escape(content))


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> SafeString:
    return tag("path", {"d": f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", "class": css})


def drawing(key: str, frame: Frame, height: float, title: str, description: str, *children: SafeString) -> SafeString:
    """One `<svg>` with a title and a description for screen readers; ids start with `key` and the frame's name."""
    prefix = f"{key}-{frame.name}"
    attributes: dict[str, Attribute] = {
        "class": f"drawing drawing-{frame.name}",
        "viewBox": f"0 0 {frame.width} {number(height)}",
        "role": "img",
        "aria-labelledby": f"{prefix}-title {prefix}-description",
    }
    named = (
        tag("title", {"id": f"{prefix}-title"}, conditional_escape(title)),
        tag("desc", {"id": f"{prefix}-description"}, conditional_escape(description)),
    )
    return tag("svg", attributes, *named, *children)


def picture(key: str, draw: Callable[[Frame], SafeString], *below: SafeString) -> SafeString:
    """Both drawings of a picture and what stands below them. ValueError if `key` cannot start an id."""
    if not ID.fullmatch(key):
        raise ValueError(f"{key!r} cannot be the start of an id: lower-case letters, digits and hyphens only.")
    return tag("div", {"class": "picture"}, *[draw(frame) for frame in FRAMES], *below)


def stroke(css: str) -> SafeString:
    """A short piece of a curve, for legends; decorative, as the word stands beside it."""
    frame: dict[str, Attribute] = {"class": "swatch", "viewBox": "0 0 16 16", "width": 16, "height": 16}
    return tag("svg", {**frame, "aria-hidden": "true"}, tag("path", {"d": "M0 8H16", "class": f"curve {css}"}))


def legend(entries: Iterable[tuple[SafeString, str, str]]) -> SafeString:
    """Mark, word and value of each thing in a picture."""
    items = [
        tag(
            "li",
            {},
            mark,
            tag("span", {"class": "legend-label"}, conditional_escape(label)),
            tag("span", {"class": "legend-value"}, conditional_escape(value)),
        )
        for mark, label, value in entries
    ]
    return tag("ul", {"class": "legend"}, *items)


def axis_step(largest: int, intervals: int = 5, smallest: int = 10) -> int:
    """The smallest of 1, 2, 5 times a power of ten that covers 0..largest in at most `intervals` steps."""
    power = smallest
    while True:
        for factor in (1, 2, 5):
            step = factor * power
            if step * intervals >= largest:
                return step
        power *= 10


def _value(value: Attribute) -> str:
    return number(value) if isinstance(value, float) else str(value)
