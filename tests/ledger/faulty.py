"""The embedded ledger behind a border at which a test makes things go wrong."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ledger_adapters.base import LANE, Lane, Page, Transaction
from ledger_adapters.contract import Outcome
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.store import Writer

Fault = Callable[[], None]

# Where a fault can strike, in the order in which a push passes: the operator signs, the transaction goes out, its
# entries are written but not committed, its answer comes back, outcomes are asked for, events are asked for and heard.
PLACES = ("prepare", "submit", "commit", "submitted", "outcome", "events", "heard")


class FaultyLedger(EmbeddedLedger):
    """At each place the faults given for it happen in turn, one per call; None lets a call pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[str] = []
        self.sent: list[Transaction] = []
        self._faults: dict[str, list[Fault | None]] = defaultdict(list)

    def fail(self, place: str, *faults: Fault | None) -> None:
        assert place in PLACES
        self._faults[place] += faults

    def forget(self) -> None:
        self.calls.clear()
        self.sent.clear()

    def _at(self, place: str) -> None:
        self.calls.append(place)
        fault = self._faults[place].pop(0) if self._faults[place] else None
        if fault is not None:
            fault()

    def prepare(self, envelopes: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        self._at("prepare")
        return super().prepare(envelopes, lane)

    def submit(self, transaction: Transaction) -> None:
        self.sent.append(transaction)
        self._at("submit")
        super().submit(transaction)
        self._at("submitted")

    def _append(self, writer: Writer, group: Sequence[Any]) -> None:
        super()._append(writer, group)
        self._at("commit")

    def outcome(self, transaction_id: bytes) -> tuple[Outcome, ...] | None:
        self._at("outcome")
        return super().outcome(transaction_id)

    def events(self, start: int, limit: int, mark: bytes = b"") -> Page:
        self._at("events")
        found = super().events(start, limit, mark)
        self._at("heard")
        return found


def raising(error: Exception) -> Fault:
    def fault() -> None:
        raise error

    return fault


def die() -> None:
    """As if somebody had sent SIGKILL in this very moment."""
    os.kill(os.getpid(), signal.SIGKILL)
