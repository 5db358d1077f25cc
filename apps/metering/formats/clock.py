"""From the times of a table to UTC, through the days on which the clocks change."""

import datetime as dt
import re
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from apps.metering.formats.base import Refused

_MIDNIGHT = re.compile(r"24:00(:00)?")


@dataclass
class Clock:
    """Reads the times of a file. `form` is a pattern of `strptime`, empty for ISO 8601; `zone` is None for UTC.

    With `at_end` a time names the end of its period of `seconds`. In the hour that comes twice, the order of a series
    says which is meant: times of one series must rise.
    """

    zone: ZoneInfo | None
    form: str
    at_end: bool
    seconds: int
    last: dict[object, int] = field(default_factory=dict)

    def start(self, text: str, series: object) -> int:
        """When the period of a row starts, in UTC seconds. Raises `Refused`."""
        found = sorted(self._starts(self._parse(text)))
        last = self.last.get(series)
        if not found:
            raise Refused("time", "no_time", _("The clocks skip this time on this day."))
        later = [start for start in found if last is None or start > last]
        if len(found) > 1 and not later:
            raise Refused("time", "not_ascending", _("In the hour that comes twice, times must rise."))
        start = later[0] if later else found[0]
        self.last[series] = max(start, last or start)
        return start

    def _parse(self, text: str) -> dt.datetime:
        text, midnights = _MIDNIGHT.subn(r"00:00\1", text)
        try:
            # Local time without a zone is what most tables have.
            time = dt.datetime.strptime(text, self.form) if self.form else dt.datetime.fromisoformat(text)  # noqa: DTZ007
        except ValueError:
            raise Refused("time", "no_time", _('"%(text)s" is no time as agreed.') % {"text": text[:40]}) from None
        return time + dt.timedelta(days=midnights)

    def _starts(self, time: dt.datetime) -> set[int]:
        """All starts that may be meant: in the hour that comes twice there are two, in the one that is skipped none."""
        shift = dt.timedelta(seconds=self.seconds) if self.at_end else dt.timedelta()
        if time.tzinfo is not None or self.zone is None:
            return {int(((time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - shift).timestamp())}
        starts = self._instants(time - shift)
        if shift:
            # Operators differ in what they call the end of a period around a change: the clock then, or its start's.
            starts |= {instant - self.seconds for instant in self._instants(time)}
        return starts

    def _instants(self, local: dt.datetime) -> set[int]:
        both = (local.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        instants = {int(each.timestamp()) for each in both}
        return {i for i in instants if dt.datetime.fromtimestamp(i, self.zone).replace(tzinfo=None) == local}
