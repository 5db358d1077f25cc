"""What a verification ends with: a report, or a refusal that says where."""

from dataclasses import dataclass

from evidence.invoice import Figures
from evidence.readings import Grade, Register


class VerificationError(Exception):
    """The bundle proves nothing: `place` says where, the message why."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was verified, in words."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a valid bundle shows. `grades`: Wh of readings by grade of evidence."""

    checks: tuple[Check, ...]
    grades: dict[int, int]
    figures: Figures


@dataclass(frozen=True, slots=True)
class ProvenReading:
    """A reading in Wh or varh, as its register counts; `slot` is its start in UTC seconds."""

    register: Register
    slot: int
    value: int
    grade: Grade


@dataclass(frozen=True, slots=True)
class ReadingsReport:
    """What a valid bundle of readings shows. `grades`: number of readings by grade of evidence."""

    checks: tuple[Check, ...]
    grades: dict[int, int]
    readings: tuple[ProvenReading, ...]
