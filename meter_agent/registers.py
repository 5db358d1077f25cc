"""What the registers of a meter mean: plain functions, no files, no network.

A register map says where a meter keeps its energy counters and in which form; the words that were read become
`RawCounter`s by whole numbers alone, so that no energy is ever rounded by a float.
"""

import math
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from evidence.readings import Unit

SCALE_NOT_IMPLEMENTED = 0x8000
LARGEST_SCALE = 10
WRAP = 1 << 32
# SQLite keeps no larger number.
LARGEST_RAW = (1 << 63) - 1
# A number with a fraction is counted in millionths of a Wh.
MICRO = -6


class MeterError(Exception):
    """A meter does not answer, or answers with something that is not a reading."""


class Quantity(StrEnum):
    """What a counter counts, as seen from the meter: exported energy leaves the plant or the house.

    Reactive energy is counted in the quadrants of IEC 62053-23: 1 inductive import, 2 capacitive export, 3 inductive
    export, 4 capacitive import.
    """

    EXPORT = "export"
    IMPORT = "import"
    REACTIVE_1 = "reactive_1"
    REACTIVE_2 = "reactive_2"
    REACTIVE_3 = "reactive_3"
    REACTIVE_4 = "reactive_4"

    @property
    def unit(self) -> Unit:
        return Unit.WH if self in ACTIVE else Unit.VARH


ACTIVE = frozenset({Quantity.EXPORT, Quantity.IMPORT})
OPPOSITE = {
    Quantity.EXPORT: Quantity.IMPORT,
    Quantity.IMPORT: Quantity.EXPORT,
    Quantity.REACTIVE_1: Quantity.REACTIVE_3,
    Quantity.REACTIVE_2: Quantity.REACTIVE_4,
    Quantity.REACTIVE_3: Quantity.REACTIVE_1,
    Quantity.REACTIVE_4: Quantity.REACTIVE_2,
}


@dataclass(frozen=True, slots=True)
class RawCounter:
    """What a counter shows: `raw` · 10^`scale` Wh or varh, starting again from 0 at `modulus`, if that is known."""

    raw: int
    scale: int
    modulus: int | None = WRAP


class WordType(StrEnum):
    """The form of a number in registers of 16 bits. acc32 is SunSpec's: 0 where nothing is counted."""

    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    ACC32 = "acc32"
    U64 = "u64"
    I64 = "i64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def bits(self) -> int:
        return int(self.lstrip("abcdefghijklmnopqrstuvwxyz"))

    @property
    def words(self) -> int:
        return self.bits // 16

    @property
    def is_signed(self) -> bool:
        return self.startswith("i")

    @property
    def is_float(self) -> bool:
        return self.startswith("float")

    @property
    def modulus(self) -> int | None:
        """Where a counter of this form starts again by itself."""
        return None if self.is_signed or self.is_float else 1 << self.bits


@dataclass(frozen=True, slots=True)
class Field:
    """A counter in a map. It shows Wh or varh once multiplied by `factor` and 10^`scale`; `factor` carries the sign.

    Addresses are those on the wire; in a SunSpec model they are counted from the register that holds its id.
    """

    address: int
    type: WordType
    low_word_first: bool = False
    scale: int = 0
    scale_address: int | None = None
    factor: int = 1
    modulus: int | None = None
    not_implemented: frozenset[int] = frozenset()

    @property
    def span(self) -> range:
        return range(self.address, self.address + self.type.words)

    @property
    def spans(self) -> tuple[range, ...]:
        """All registers that are needed."""
        if self.scale_address is None:
            return (self.span,)
        return self.span, range(self.scale_address, self.scale_address + 1)


@dataclass(frozen=True, slots=True)
class Measure:
    """How a counter is called in documents of measures: `pos` orders them, `visibility` is "visible" or "disabled"."""

    name: str
    description: str
    unity: str
    pos: int
    visibility: str


@dataclass(frozen=True, slots=True)
class Probe:
    """A register by which a meter without SunSpec is recognised: its first voltage lies in `low`..`high`."""

    address: int
    type: WordType
    low_word_first: bool
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class MeterMap:
    """Where a family of meters keeps its counters. `blocks` are the registers that one request may read together."""

    name: str
    description: str
    function: int
    fields: Mapping[Quantity, Field]
    measures: Mapping[Quantity, Measure]
    blocks: tuple[range, ...] = ()
    model: int | None = None
    probe: Probe | None = None

    def reversed(self) -> "MeterMap":
        """The map of the same meter, wired the other way round."""
        return replace(
            self,
            fields={OPPOSITE[quantity]: field for quantity, field in self.fields.items()},
            measures={OPPOSITE[quantity]: measure for quantity, measure in self.measures.items()},
        )

    def frames(self, quantities: Collection[Quantity]) -> list[range]:
        """The registers to ask for. All of a SunSpec model are read by one request, and so at one instant."""
        spans = [span for quantity in quantities for span in self.fields[quantity].spans]
        if self.model is not None:
            return [range(max(span.stop for span in spans))]
        return [block for block in self.blocks if any(span.start in block for span in spans)]


Registers = Mapping[int, int]


def number(words: Sequence[int], low_word_first: bool = False) -> int:
    """One number without sign from words of 16 bits."""
    result = 0
    for word in reversed(words) if low_word_first else words:
        result = result << 16 | word
    return result


def registers_of(frames: Iterable[tuple[range, Sequence[int]]]) -> Registers:
    """Words by address, from what each frame brought."""
    return {address: word for frame, words in frames for address, word in zip(frame, words, strict=True)}


def value(bits: int, form: WordType) -> Fraction | None:
    """The exact value of a number that stands in registers; none for a float that is no number."""
    if form.is_float:
        size = form.bits // 8
        shown: float = struct.unpack(">f" if size == 4 else ">d", bits.to_bytes(size, "big"))[0]
        return Fraction(shown) if math.isfinite(shown) else None
    if form.is_signed and bits >> form.bits - 1:
        return Fraction(bits - (1 << form.bits))
    return Fraction(bits)


def scale_factor(word: int, address: int) -> int:
    if word == SCALE_NOT_IMPLEMENTED:
        raise MeterError(f"the scale factor at offset {address} is not implemented")
    scale = word - (1 << 16) if word & 0x8000 else word
    if abs(scale) > LARGEST_SCALE:
        raise MeterError(f"the scale factor at offset {address} is {scale}, outside -{LARGEST_SCALE}..{LARGEST_SCALE}")
    return scale


def whole_counter(raw: int, scale: int, modulus: int | None = None) -> RawCounter:
    """A counter that shows `raw` · 10^`scale` Wh or varh. Raises `MeterError` when no counter can."""
    if not 0 <= raw <= LARGEST_RAW or abs(scale) > LARGEST_SCALE:
        raise MeterError(f"shows {raw}e{scale}, which is not what a counter shows")
    return RawCounter(raw, scale, modulus)


def fine_counter(shown: Fraction, scale: int, modulus: int | None = None) -> RawCounter:
    """A counter that shows a number with a fraction, cut to millionths. Cutting never adds up: the counter runs on."""
    micro = Fraction(10) ** (scale - MICRO)
    return whole_counter(math.floor(shown * micro), MICRO, None if modulus is None else math.floor(modulus * micro))


def decode(meter_map: MeterMap, registers: Registers, quantities: Collection[Quantity]) -> dict[Quantity, RawCounter]:
    """Counters from the registers of all frames; raises `MeterError` when a meter shows something else."""
    if meter_map.model is not None:
        _check_model(meter_map, registers, quantities)
    return {quantity: _decode_field(meter_map.fields[quantity], registers, quantity) for quantity in quantities}


def _check_model(meter_map: MeterMap, registers: Registers, quantities: Collection[Quantity]) -> None:
    if registers[0] != meter_map.model:
        raise MeterError(f"found model {registers[0]} where model {meter_map.model} was")
    if registers[1] + 2 < meter_map.frames(quantities)[0].stop:
        raise MeterError(f"model {meter_map.model} has a length of {registers[1]}, too short to hold its counters")


def _decode_field(field: Field, registers: Registers, quantity: Quantity) -> RawCounter:
    bits = number([registers[address] for address in field.span], field.low_word_first)
    shown = None if bits in field.not_implemented else value(bits, field.type)
    if shown is None:
        raise MeterError(f"the {quantity} counter at {field.address} is not implemented")
    scale = field.scale
    if field.scale_address is not None:
        scale += scale_factor(registers[field.scale_address], field.scale_address)
    modulus = None if field.modulus is None else field.modulus * abs(field.factor)
    shown *= field.factor
    try:
        if field.type.is_float:
            return fine_counter(shown, scale, modulus)
        return whole_counter(int(shown), scale, modulus)
    except MeterError as error:
        raise MeterError(f"the {quantity} counter at {field.address} {error}") from None
