"""The registers of a simulated meter: the other way round than `registers.decode`."""

import math
import struct
from collections.abc import Iterable, Mapping
from fractions import Fraction

from meter_agent import sunspec
from meter_agent.registers import Field, MeterMap, Quantity, WordType

BASE = sunspec.BASES[0]
COMMON_LENGTH = 66
MANUFACTURER = "Simulated"
MILLI = -3
MODEL_ADDRESS = BASE + len(sunspec.MARKER) + 2 + COMMON_LENGTH


class Image:
    """`words` stand from `start` on, all counters at 0."""

    def __init__(self, meter_map: MeterMap, label: str) -> None:
        self.map = meter_map
        self.start = 0 if meter_map.model is None else BASE
        self.words = _plain(meter_map) if meter_map.model is None else _sunspec(meter_map, meter_map.model, label)

    def counters(self, milli: Mapping[Quantity, int]) -> Iterable[tuple[int, list[int]]]:
        """Address and words of each counter that has counted so many mWh or mvarh."""
        base = 0 if self.map.model is None else MODEL_ADDRESS
        for quantity, field in self.map.fields.items():
            yield base + field.address, words(field, milli.get(quantity, 0))


def words(field: Field, milli: int) -> list[int]:
    """The words by which a counter shows mWh or mvarh, cut to its last digit."""
    scale = field.scale if field.scale_address is None else MILLI
    shown = Fraction(milli) / (Fraction(10) ** (scale - MILLI) * field.factor)
    if field.type.is_float:
        return number_words(float(shown), field.type, field.low_word_first)
    raw = math.floor(shown)
    return number_words(raw if field.modulus is None else raw % field.modulus, field.type, field.low_word_first)


def number_words(shown: float, form: WordType, low_word_first: bool) -> list[int]:
    size = form.bits // 8
    if form.is_float:
        content = struct.pack(">f" if size == 4 else ">d", shown)
    else:
        content = int(shown).to_bytes(size, "big", signed=form.is_signed)
    found = [int.from_bytes(content[at : at + 2], "big") for at in range(0, size, 2)]
    return found[::-1] if low_word_first else found


def _plain(meter_map: MeterMap) -> list[int]:
    image = [0] * max(block.stop for block in meter_map.blocks)
    probe = meter_map.probe
    if probe is not None:
        image += [0] * (probe.address + probe.type.words - len(image))
        voltage = number_words((probe.low + probe.high) // 2, probe.type, probe.low_word_first)
        image[probe.address : probe.address + len(voltage)] = voltage
    return image


def _sunspec(meter_map: MeterMap, model: int, label: str) -> list[int]:
    """A device with the common model and one more, just long enough for its counters."""
    common = [sunspec.COMMON, COMMON_LENGTH, *[0] * COMMON_LENGTH]
    for offset, text in ((2, MANUFACTURER), (18, label)):
        content = text.encode().ljust(32, b"\0")
        common[offset : offset + 16] = [int.from_bytes(content[at : at + 2], "big") for at in range(0, 32, 2)]
    length = meter_map.frames(meter_map.fields)[0].stop - 2
    block = [model, length, *[0] * length]
    for field in meter_map.fields.values():
        if field.scale_address is not None:
            block[field.scale_address] = MILLI & 0xFFFF
    return [*sunspec.MARKER, *common, *block, sunspec.END, 0]
