"""Time that does not go back: a wall clock that may jump, held to what is known for sure."""

import time
from collections.abc import Callable

from meter_agent.clock import since_boot


class Instants:
    """UTC seconds. An instruction that was taken proves that its `since` has come; from then on seconds are counted."""

    def __init__(
        self,
        known: int,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = since_boot,
    ) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self._known = known
        self._at = monotonic()

    def now(self) -> float:
        """At least what is known. A wall clock that is ahead is believed: what has expired by it is not begun."""
        return max(self.wall(), self._least())

    def learn(self, known: int) -> None:
        if known > self._least():
            self._known, self._at = known, self.monotonic()

    def _least(self) -> float:
        return self._known + self.monotonic() - self._at
