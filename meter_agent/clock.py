"""Whether the box's clock can be believed.

Small boards lose their clock with their power, and some jump when a time server answers at last. A reading under a
wrong time is worse than none: the counters go on, and what they counted is known as soon as the time is.
"""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

# Corrections up to here are what time servers do.
LARGEST_CORRECTION = 3600
NOTICED = 60
# How far a head-end's time may be off, with all delays of a slow line.
AGREEMENT = 300
LONGEST_DARKNESS = 400 * 86_400
# A clock that nobody contradicts is believed after a day: better than never.
BELIEVED_AFTER = 86_400


def since_boot() -> float:
    """Seconds that nobody sets, suspended ones included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Watch:
    """Compares the wall clock with one that only runs, with the last instant known before, and with a head-end's."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float], last_known: int | None) -> None:
        self.wall = wall
        self.steady = steady
        self.last_known = last_known
        self._take_bearings()
        self._doubt_since: float | None = None
        if not self._is_plausible():
            self._doubt("it was %s when the meters were last read", last_known)

    def is_doubtful(self) -> bool:
        """Looks at the clock anew."""
        jump = self.wall() - self._expected()
        if abs(jump) > NOTICED:
            self._jumped(jump)
        elif self._doubt_since is not None and self.steady() - self._doubt_since > BELIEVED_AFTER:
            self._believe("nobody has contradicted it for a day")
        return self._doubt_since is not None

    def heard(self, instant: float) -> None:
        """The time as a head-end tells it."""
        if abs(instant - self.wall()) <= AGREEMENT:
            if self._doubt_since is not None:
                self._believe("a head-end agrees")
        elif self._doubt_since is None:
            self._doubt("a head-end says it is %d", int(instant))

    def _jumped(self, jump: float) -> None:
        log.warning("the clock went %s by %d s", "forward" if jump > 0 else "back", abs(int(jump)))
        self._take_bearings()
        if self._doubt_since is not None:
            if self._is_plausible():
                self._believe("it has been set")
        elif abs(jump) > LARGEST_CORRECTION:
            self._doubt("it went %d s at once", int(jump))

    def _is_plausible(self) -> bool:
        known = self.last_known
        return known is None or known - LARGEST_CORRECTION <= self.wall() <= known + LONGEST_DARKNESS

    def _take_bearings(self) -> None:
        self._wall_then, self._steady_then = self.wall(), self.steady()

    def _expected(self) -> float:
        return self._wall_then + self.steady() - self._steady_then

    def _doubt(self, reason: str, *about: object) -> None:
        log.error(
            "the clock shows %d, but " + reason + ": nothing is read until it is certain", int(self.wall()), *about
        )
        self._doubt_since = self.steady()

    def _believe(self, reason: str) -> None:
        log.warning("the clock is believed again: %s", reason)
        self._doubt_since = None
