"""What else happens when a device answers an instruction of some kind. Apps register in `ready()`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from evidence.boxes import InstructionKind

if TYPE_CHECKING:
    from apps.metering.models import Instruction

_takers: dict[InstructionKind, Callable[["Instruction"], None]] = {}


def register_answer(kind: InstructionKind, take: Callable[["Instruction"], None]) -> None:
    """`take` is called once with the answered instruction, in the transaction that stores the answer."""
    if kind in _takers:
        raise ValueError(f"answers of kind {kind.name} are taken already")
    _takers[kind] = take


def hand_on(instruction: "Instruction") -> None:
    take = _takers.get(InstructionKind(instruction.kind))
    if take is not None:
        take(instruction)
