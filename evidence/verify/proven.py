"""What the proof of any ledger comes down to."""

from dataclasses import dataclass

from evidence.commands import Command


@dataclass(frozen=True, slots=True)
class Proven:
    """An applied command. `entry` rises in the ledger's order, `place` is where it stands in the bundle, `origin` the
    ledger that it was taken over from, empty where it took place on this one.
    """

    place: str
    command: Command
    entry: int
    origin: bytes = b""
