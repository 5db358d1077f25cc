"""What answers on a bus: SunSpec devices by what they say of themselves, other meters by the map that fits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meter_agent import sunspec
from meter_agent.buses import Bus, BusConfig, NoAnswer
from meter_agent.energy import rounded_wh, ticks
from meter_agent.maps import MAPS
from meter_agent.registers import (
    MeterError,
    MeterMap,
    Probe,
    Quantity,
    RawCounter,
    decode,
    number,
    registers_of,
    value,
)

MANUFACTURER, MODEL, VERSION, SERIAL = range(2, 18), range(18, 34), range(42, 50), range(50, 66)


@dataclass(frozen=True, slots=True)
class Found:
    """A meter that answers as `unit`. What a SunSpec device says of itself is empty for others."""

    bus: str
    unit: int
    map: str
    description: str
    manufacturer: str = ""
    model: str = ""
    version: str = ""
    serial: str = ""
    counters: Mapping[Quantity, RawCounter] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """`energy` in Wh and varh, as the counters show it now."""
        energy = {quantity: rounded_wh(ticks(each.raw, each.scale)) for quantity, each in self.counters.items()}
        return {
            "bus": self.bus,
            "unit": self.unit,
            "map": self.map,
            "description": self.description,
            "manufacturer": self.manufacturer,
            "model": self.model,
            "version": self.version,
            "serial": self.serial,
            "energy": energy,
        }


async def discover(bus: Bus, units: Iterable[int], maps: Mapping[str, MeterMap] = MAPS) -> list[Found]:
    """All meters that answer as one of `units`. A unit that is not there costs two answers' time."""
    found: list[Found] = []
    for unit in units:
        async with bus.lock:
            found += await _sunspec(bus, unit, maps) or await _others(bus, unit, maps)
    return found


async def discover_on(config: BusConfig, units: Iterable[int], maps: Mapping[str, MeterMap] = MAPS) -> list[Found]:
    """`discover` on a bus that is opened for it."""
    bus = Bus(config)
    try:
        return await discover(bus, units, maps)
    finally:
        bus.close()


async def _sunspec(bus: Bus, unit: int, maps: Mapping[str, MeterMap]) -> list[Found]:
    by_model = {each.model: each for each in maps.values() if each.model is not None}
    found: list[Found] = []
    words: list[int] = []
    try:
        async for model in sunspec.models(bus, unit):
            if model.id == sunspec.COMMON:
                words = await bus.read(unit, model.address, SERIAL.stop)
            elif model.id in by_model:
                counters = await _counters(bus, unit, by_model[model.id], model.address)
                found.append(_described(bus, unit, by_model[model.id], words, counters))
    except MeterError:
        return found
    return found


def _described(
    bus: Bus, unit: int, meter_map: MeterMap, words: Sequence[int], counters: Mapping[Quantity, RawCounter]
) -> Found:
    return Found(
        bus.name,
        unit,
        meter_map.name,
        meter_map.description,
        manufacturer=_text(words, MANUFACTURER),
        model=_text(words, MODEL),
        version=_text(words, VERSION),
        serial=_text(words, SERIAL),
        counters=counters,
    )


async def _others(bus: Bus, unit: int, maps: Mapping[str, MeterMap]) -> list[Found]:
    for meter_map in maps.values():
        try:
            fits = meter_map.probe is not None and await _fits(bus, unit, meter_map.function, meter_map.probe)
        except NoAnswer:
            return []
        if fits:
            counters = await _counters(bus, unit, meter_map, 0)
            return [Found(bus.name, unit, meter_map.name, meter_map.description, counters=counters)]
    return []


async def _fits(bus: Bus, unit: int, function: int, probe: Probe) -> bool:
    try:
        words = await bus.read(unit, probe.address, probe.type.words, function)
    except NoAnswer:
        raise
    except MeterError:
        return False
    shown = value(number(words, probe.low_word_first), probe.type)
    return shown is not None and probe.low <= shown <= probe.high


async def _counters(bus: Bus, unit: int, meter_map: MeterMap, base: int) -> dict[Quantity, RawCounter]:
    """What can be read; some models leave some of their counters out."""
    shown: dict[Quantity, RawCounter] = {}
    for quantity in meter_map.fields:
        try:
            frames = [
                (frame, await bus.read(unit, base + frame.start, len(frame), meter_map.function))
                for frame in meter_map.frames([quantity])
            ]
            shown |= decode(meter_map, registers_of(frames), [quantity])
        except MeterError:
            continue
    return shown


def _text(words: Sequence[int], part: range) -> str:
    content = b"".join(word.to_bytes(2, "big") for word in words[part.start : part.stop])
    return content.split(b"\0")[0].decode("utf-8", "replace").strip()
