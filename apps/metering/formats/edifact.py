"""Segments of an EDIFACT interchange (ISO 9735): service characters, release character, control counts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.metering.formats.base import Broken

DEFAULT = ":+.? '"
MOST_SEGMENT = 10_000  # characters
MOST_SEGMENTS = 500_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment with its number in the interchange, from 1 (UNA is none). Elements are lists of components."""

    number: int
    tag: str
    elements: tuple[tuple[str, ...], ...]

    def get(self, element: int, component: int = 0) -> str:
        """A component by position; empty where the segment ends before it."""
        if element >= len(self.elements) or component >= len(self.elements[element]):
            return ""
        return self.elements[element][component]


@dataclass(frozen=True, slots=True)
class Marks:
    """The service characters, as UNA gives them."""

    component: str
    element: str
    decimal: str
    release: str
    terminator: str

    def segments(self) -> re.Pattern[str]:
        release, end = re.escape(self.release), re.escape(self.terminator)
        return re.compile(rf"(?:{release}.|[^{release}{end}])*", re.DOTALL)

    def split(self, text: str, mark: str) -> list[str]:
        """Parts between marks that are not released, still with their release characters."""
        if self.release not in text:
            return text.split(mark)
        release, split = re.escape(self.release), re.escape(mark)
        return re.findall(rf"(?:\A|{split})((?:{release}.|[^{release}{split}])*)", text, re.DOTALL)

    def plain(self, text: str) -> str:
        if self.release not in text:
            return text
        return re.sub(rf"{re.escape(self.release)}(.)", r"\1", text, flags=re.DOTALL)


def read_marks(text: str) -> tuple[Marks, int]:
    """The service characters of an interchange, and where its first segment begins. Raises `Broken`."""
    given = text[3:9] if text.startswith("UNA") else DEFAULT
    marks = Marks(given[0], given[1], given[2], given[3], given[5]) if len(given) == 6 else None
    if marks is None or len({marks.component, marks.element, marks.release, marks.terminator}) < 4:
        raise Broken("UNA", "no_edifact", _("The service characters of this interchange are not four different ones."))
    return marks, 9 if text.startswith("UNA") else 0


def segments_of(text: str) -> Iterator[Segment]:
    """The segments of an interchange. Raises `Broken` where it is none or is cut off."""
    marks, position = read_marks(text)
    pattern = marks.segments()
    number = 0
    while True:
        while position < len(text) and text[position] in "\r\n ":
            position += 1
        if position == len(text):
            return
        number += 1
        if number > MOST_SEGMENTS:
            message = _("At most %(count)s segments in an interchange.") % {"count": MOST_SEGMENTS}
            raise Broken("", "too_many_segments", message)
        match = pattern.match(text, position, position + MOST_SEGMENT)
        position = match.end() if match else position
        if match is None or position >= len(text) or text[position] != marks.terminator:
            raise Broken(f"segment {number}", "cut_off", _("This segment has no end."))
        position += 1
        yield _segment(number, match[0], marks)


def _segment(number: int, text: str, marks: Marks) -> Segment:
    tag, *elements = marks.split(text, marks.element)
    parts = (tuple(marks.plain(part) for part in marks.split(element, marks.component)) for element in elements)
    if not re.fullmatch("[A-Z]{3}", tag):
        raise Broken(f"segment {number}", "no_edifact", _("This is no EDIFACT segment."))
    return Segment(number, tag, tuple(parts))
