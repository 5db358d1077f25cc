"""Slots of energy and the local days they belong to. Instants are UTC seconds, slots are half open."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def slot_start(instant: float, step: int) -> int:
    """The start of the slot of `step` seconds that holds `instant`."""
    return int(instant // step) * step


def local_day(instant: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(instant, zone).date()


def day_number(day: date) -> int:
    """Days since 1970-01-01, as a ledger counts them."""
    return (day - date(1970, 1, 1)).days


def day_text(number: int) -> str:
    return day_of(number).isoformat()


def day_of(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """First instant of the local day and of the day after it."""
    midnights = (datetime.combine(day + timedelta(days=n), time.min, zone) for n in (0, 1))
    start, end = (int(midnight.timestamp()) for midnight in midnights)
    return start, end


def slots_of_day(day: date, zone: ZoneInfo, step: int) -> range:
    """Starts of the slots that begin on the local day."""
    start, end = day_bounds(day, zone)
    return range(slot_start(start + step - 1, step), end, step)


def split_evenly(total: int, parts: int) -> Iterator[int]:
    """Whole numbers with the sum `total`, the larger ones first: largest remainder with equal shares."""
    share, rest = divmod(total, parts)
    return (share + (part < rest) for part in range(parts))


def iso(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat().replace("+00:00", "Z")
