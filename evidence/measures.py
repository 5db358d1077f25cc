"""Measure documents: the form in which data brokers send what a meter shows, as JSON.

A document describes a device and its measures; `value` and `date` make it carry readings too. Which register a measure
is, its name says together with its position: from `GRID_POSITION` on, it counts at the connection to the grid.
"""

import re
from dataclasses import dataclass

from evidence.readings import Register, Unit

GRID_POSITION = 13
VISIBLE, DISABLED = "visible", "disabled"
UNITIES = {Unit.WH: "kWh", Unit.VARH: "kvarh"}

_OBJECT_ID = re.compile(r'ObjectId\("([0-9a-f]{24})"\)')


@dataclass(frozen=True, slots=True)
class Measure:
    """A register under the name and position that documents give it."""

    register: Register
    name: str
    description: str
    pos: int

    @property
    def unity(self) -> str:
        return UNITIES[self.register.unit]


MEASURES = (
    Measure(Register.CONSUMPTION, "EAct imp", "Energia Activa", 1),
    Measure(Register.GENERATION, "EAct exp", "Energia Generada", 2),
    Measure(Register.REACTIVE_1, "ERInd imp", "Energia Reactiva Inductiva", 3),
    Measure(Register.REACTIVE_3, "ERInd exp", "Energia Inductiva Generada", 4),
    Measure(Register.REACTIVE_2, "ERCap exp", "Energia Capacitiva Generada", 5),
    Measure(Register.REACTIVE_4, "ERCap imp", "Energia Reactiva Capacitiva", 6),
    Measure(Register.GRID_IMPORT, "EAct imp", "Energia Activa Importada", 13),
    Measure(Register.GRID_EXPORT, "EAct exp", "Energia Activa Exportada", 14),
)
OF_REGISTER = {measure.register: measure for measure in MEASURES}

_AT_GRID = {measure.name: measure.register for measure in MEASURES}
_AT_SITE = {measure.name: measure.register for measure in MEASURES if measure.pos < GRID_POSITION}


def register_of(name: str, pos: int) -> Register:
    """Raises KeyError for a name that is none."""
    return (_AT_GRID if pos >= GRID_POSITION else _AT_SITE)[name]


def identifier_of(text: str) -> str:
    """The `id` of a document without what a database's console writes around it."""
    match = _OBJECT_ID.fullmatch(text)
    return match[1] if match else text


def kilo(value: int) -> str:
    """Wh or varh as a decimal of a thousand: 1234 is 1.234."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), 1000)
    return f"{sign}{whole}.{rest:03}"
