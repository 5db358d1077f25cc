"""Local days and the UTC slots inside them."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Days since 1970-01-01, as the ledger counts them."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    return EPOCH + timedelta(days=number)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """UTC seconds of the start and the end of a local day; it has 23, 24 or 25 hours."""
    start = datetime.combine(day, time(), zone)
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    return int(start.timestamp()), int(end.timestamp())


def day_slots(day: date, zone: ZoneInfo, minutes: int) -> range:
    """Starts of the slots of a local day, in UTC seconds: 92, 96 or 100 quarter-hours."""
    return range(*day_bounds(day, zone), minutes * 60)


def local_day(instant: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(instant, UTC).astimezone(zone).date()
