"""Register maps of meters as data, and how the words of a SunSpec model become energy counters.

Offsets are counted from the register that holds the model's id. All numbers are big-endian, high word first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

SUNSPEC_MARKER = [0x5375, 0x6E53]  # "SunS"
SUNSPEC_BASES = (40000, 50000, 0)
SUNSPEC_END = 0xFFFF
WRAP = 1 << 32
SCALE_NOT_IMPLEMENTED = 0x8000
LARGEST_SCALE = 10


class MeterError(Exception):
    """A meter does not answer, or answers with something that is not a reading."""


class Direction(StrEnum):
    """As seen from the meter: exported energy leaves the plant or the house."""

    EXPORT = "export"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class RawCounter:
    """What an acc32 counter shows: `raw` · 10^`scale` Wh, starting again from 0 at 2^32."""

    raw: int
    scale: int


@dataclass(frozen=True, slots=True)
class CounterField:
    offset: int
    scale_offset: int


@dataclass(frozen=True, slots=True)
class MeterMap:
    """Where a SunSpec model keeps its counters."""

    model: int
    counters: Mapping[Direction, CounterField]

    @property
    def words(self) -> int:
        """How many registers hold everything that is needed, so that one request reads it at one instant."""
        return 1 + max(max(field.offset + 1, field.scale_offset) for field in self.counters.values())


MAPS = {
    "sunspec203": MeterMap(
        model=203,
        counters={
            Direction.EXPORT: CounterField(offset=38, scale_offset=54),
            Direction.IMPORT: CounterField(offset=46, scale_offset=54),
        },
    ),
}


def unsigned32(words: Sequence[int], offset: int) -> int:
    return words[offset] << 16 | words[offset + 1]


def scale_factor(words: Sequence[int], offset: int) -> int:
    word = words[offset]
    if word == SCALE_NOT_IMPLEMENTED:
        raise MeterError(f"the scale factor at offset {offset} is not implemented")
    scale = word - (1 << 16) if word & 0x8000 else word
    if abs(scale) > LARGEST_SCALE:
        raise MeterError(f"the scale factor at offset {offset} is {scale}, outside -{LARGEST_SCALE}..{LARGEST_SCALE}")
    return scale


def decode(meter_map: MeterMap, words: Sequence[int]) -> dict[Direction, RawCounter]:
    """Counters from the first `meter_map.words` registers of the model; raises `MeterError` when it is another one."""
    if words[0] != meter_map.model:
        raise MeterError(f"found model {words[0]} where model {meter_map.model} was")
    if words[1] + 2 < meter_map.words:
        raise MeterError(f"model {meter_map.model} has a length of {words[1]}, too short to hold its counters")
    return {
        direction: RawCounter(unsigned32(words, field.offset), scale_factor(words, field.scale_offset))
        for direction, field in meter_map.counters.items()
    }
