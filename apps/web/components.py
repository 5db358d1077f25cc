"""Data of the components that templates show: tables, ledger seals, steps of waiting."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; numbers stand right, in figures of equal width."""

    label: str
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Finished text for a table: every row has a cell per column, the first cell names the row.

    `long` tables scroll inside a frame of their own; `total` is a last row that stands apart.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None
    long: bool = False

    def __post_init__(self) -> None:
        for row in (*self.rows, *([self.total] if self.total else [])):
            if len(row) != len(self.columns):
                raise ValueError(f"A row has {len(row)} cells for {len(self.columns)} columns: {row!r}.")


class SealState(StrEnum):
    """Where a record stands on its way to the ledger."""

    QUEUED = "queued"
    SENT = "sent"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class LedgerSeal:
    """A ledger record as a line of text that opens its evidence.

    `entry` is the ledger's own number (a position in the journal, or a block with `in_block`), `since` the instant of
    the state, `reason` the ledger's words when it rejected. ValueError when the state lacks what it has to show.
    """

    state: SealState
    entry: int | None = None
    in_block: bool = False
    since: datetime | None = None
    verified_at: datetime | None = None
    reason: str = ""
    href: str = ""

    def __post_init__(self) -> None:
        if self.state is SealState.CONFIRMED and self.entry is None:
            raise ValueError("A confirmed record names its entry on the ledger.")
        if self.state is SealState.REJECTED and not self.reason:
            raise ValueError("A rejected record names the reason.")
