"""Which meters a box could read: those that answer on its buses, and those that its settings list.

[[meters]]                        # for enrolment: what nothing can find by itself, with the settings of a meter
gateway = "ems"
counters = { import = "_sum/GridBuyActiveEnergy", export = "_sum/GridSellActiveEnergy" }
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meter_agent.buses import read_buses
from meter_agent.config import read_config
from meter_agent.discover import discover_on
from meter_agent.energy import rounded_wh, ticks
from meter_agent.meters import read_all_maps
from meter_agent.reader import Reader
from meter_agent.registers import MeterError, RawCounter
from meter_agent.tables import read_toml
from meter_agent.terms import Role

NOWHERE = "http://localhost"
LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class FoundMeter:
    """A meter: the settings by which it is read, as those of a point's meter, and what it shows now in Wh and varh."""

    settings: Mapping[str, Any]
    description: str = ""
    serial: str = ""
    energy: Mapping[str, int] | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "settings": dict(self.settings),
            "description": self.description[:200],
            "serial": self.serial[:100],
            "energy": dict(self.energy or {}),
        }


async def found_meters(path: Path, units: Sequence[int]) -> list[FoundMeter]:
    """Looks for `units` on each of the [[buses]] of the file, and reads its [[meters]]."""
    table = read_toml(path)
    buses, maps = read_buses(table), read_all_maps(table, path.parent)
    found = []
    for name, bus in buses.items():
        for each in await discover_on(bus, units, maps):
            settings = {"bus": name, "unit": each.unit, "map": each.map}
            maker = " ".join(part for part in (each.manufacturer, each.model) if part)
            found.append(FoundMeter(settings, maker or each.description, each.serial, energy_of(each.counters)))
    return found + await listed_meters(path)


async def listed_meters(path: Path) -> list[FoundMeter]:
    """The [[meters]] of the file: those that nothing can find by itself, with what they show now."""
    tables: list[dict[str, Any]] = read_toml(path).take("meters", tables_of, [])
    found = []
    for index, settings in enumerate(tables):
        pretended = {"id": f"{index:064x}", "secret": "00" * 32, "grid": settings}
        config = read_config(path, {"device": "00" * 32, "server": NOWHERE, "time_zone": "UTC", "points": [pretended]})
        reader = Reader(config.points)
        try:
            shown = await read_now(reader, config.points[0].id, Role.GRID)
        finally:
            await reader.close()
        kind = settings.get("map") or settings.get("gateway") or ""
        found.append(FoundMeter(settings, shown["error"] or str(kind), energy=shown["energy"]))
    return found


def tables_of(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("must be given as [[meters]]")
    return value


async def read_now(reader: Reader, point: bytes, role: Role) -> dict[str, Any]:
    """What a point's meter shows now, or the error."""
    try:
        return {"energy": energy_of(await reader.counters(point, role)), "error": ""}
    except MeterError as error:
        return {"energy": {}, "error": str(error)[:LONGEST_ERROR]}


def energy_of(counters: Mapping[Any, RawCounter]) -> dict[str, int]:
    """What counters show, in Wh and varh."""
    return {str(quantity): rounded_wh(ticks(each.raw, each.scale)) for quantity, each in counters.items()}
