"""Which characters the fonts of documents can draw: a PDF that is to be archived may not lack a glyph."""

import struct
import unicodedata
from functools import cache
from pathlib import Path

FONTS = Path(__file__).parent / "typst" / "fonts"
# In the order in which typst/invoice.typ asks them; a weight more draws the same characters.
FILES = ("Inter-Regular.ttf", "NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf")
REPLACEMENT = "□"
JOINERS = "\u200c\u200d"


def drawable(text: str) -> str:
    """`text` on one line, with a square in place of what no font draws and of what could hide or reorder other text."""
    drawn = []
    before = 0
    for character in " ".join(text.split()):
        fonts = _fonts_of(character)
        if unicodedata.category(character).startswith("M") or character in JOINERS:
            # A mark is drawn by the font that draws its base.
            fonts &= before
        drawn.append(character if fonts else REPLACEMENT)
        before = fonts or _fonts_of(REPLACEMENT)
    return "".join(drawn)


def _fonts_of(character: str) -> int:
    """The fonts that draw a character, one bit each; none for controls, formats and what is not assigned."""
    if unicodedata.category(character).startswith("C") and character not in JOINERS:
        return 0
    return sum(1 << i for i, covered in enumerate(_coverages()) if ord(character) in covered)


@cache
def _coverages() -> tuple[frozenset[int], ...]:
    return tuple(coverage((FONTS / name).read_bytes()) for name in FILES)


def coverage(font: bytes) -> frozenset[int]:
    """Code points that a TrueType font draws. Raises `ValueError` unless its only character map has format 12."""
    (tables,) = struct.unpack_from(">H", font, 4)
    records = (struct.unpack_from(">4sIII", font, 12 + 16 * i) for i in range(tables))
    cmap = next((offset for tag, _checksum, offset, _length in records if tag == b"cmap"), None)
    if cmap is None:
        raise ValueError("the font has no character map")
    maps, _platform, _encoding, offset = struct.unpack_from(">2xHHHI", font, cmap)
    (kind,) = struct.unpack_from(">H", font, cmap + offset)
    if (maps, kind) != (1, 12):
        raise ValueError(f"the font has {maps} character maps, the first of format {kind}; one of format 12 is read")
    (count,) = struct.unpack_from(">I", font, cmap + offset + 12)
    groups = (struct.unpack_from(">III", font, cmap + offset + 16 + 12 * i) for i in range(count))
    return frozenset(point for first, last, _glyph in groups for point in range(first, last + 1))
