"""What the proof of any ledger comes down to."""

from dataclasses import dataclass

from evidence.commands import Command


@dataclass(frozen=True, slots=True)
class Proven:
    """An applied command. `entry` rises in the ledger's order, `place` is where it stands in the bundle."""

    place: str
    command: Command
    entry: int
