from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a field of the input breaks. `rule` is a stable name, `message` says it in words."""

    field: str
    rule: str
    message: str


class MeasurementError(Exception):
    """Who measures what cannot be changed so; the message says which rule it breaks."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class VirtualPointError(Exception):
    """Terms that a virtual point cannot be computed from; the message says why."""


class EvidenceError(Exception):
    """Readings whose evidence cannot be shown; the message says why."""


class ImportRefused(Exception):
    """A file that cannot be stored so; the message says which rule stands against it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule, self.message = rule, message


class InputRefused(Exception):
    """What came from outside cannot be accepted; nothing of it was stored."""

    def __init__(self, *violations: Violation, status: int = 422) -> None:
        super().__init__("; ".join(f"{v.field}: {v.message}" for v in violations))
        self.violations: Sequence[Violation] = violations
        self.status = status


class BatchRefused(InputRefused):
    """A batch that cannot be accepted."""


class EnrolmentError(Exception):
    """A step of an enrolment that cannot be taken now, with the reason in words for the installer."""
