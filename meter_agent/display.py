"""What a small display at the box shows: so many characters in so many lines, ASCII only, one page after another."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from meter_agent.journal.errors import JournalError
from meter_agent.journal.status import read_status

PAGE_SECONDS = 5.0
LATE_SECONDS = 2 * 3600
CLEAR = "\x1b[2J\x1b[H"


def pages(lines: Sequence[str], columns: int, rows: int) -> list[list[str]]:
    """The first line stands on every page. Each page has `rows` lines of `columns` characters."""
    head, rest = lines[0], list(lines[1:]) or [""]
    step = max(1, rows - 1)
    parts = [rest[i : i + step] for i in range(0, len(rest), step)] if rows > 1 else [[]]
    return [[fitted(line, columns) for line in [head, *part, *[""] * (rows - 1 - len(part))]] for part in parts]


def fitted(line: str, columns: int) -> str:
    return line.encode("ascii", "replace").decode()[:columns].ljust(columns)


def lines_of(status: Mapping[str, Any], now: float, zone: ZoneInfo) -> list[str]:
    """What there is to say, the state first. `status` is that of the journal, `now` in UTC seconds."""
    read = _instant(status["last_reading"])
    sent = max((_instant(each["at"]) or 0 for each in status["last_acknowledgement"].values()), default=None)
    backlog = status["backlog"]
    waiting = backlog["readings"] + backlog["readings_in_batches"]
    worry = _worry(read, sent, waiting, len(status["refused"]), now)
    return [
        f"{_clock(now, zone)} {worry or 'OK'}",
        f"read    {_moment(read, now, zone)}",
        f"sent    {_moment(sent, now, zone)}",
        f"waiting {waiting}",
        *([f"refused {len(status['refused'])}"] if status["refused"] else []),
        f"box     {status['device'][:8]}",
    ]


def _worry(read: float | None, sent: float | None, waiting: int, refused: int, now: float) -> str:
    if read is None or now - read > LATE_SECONDS:
        return "NOT READ"
    if waiting and (sent is None or now - sent > LATE_SECONDS):
        return "NOT SENT"
    return "REFUSED" if refused else ""


def _instant(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def _clock(instant: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(instant, zone).strftime("%d.%m %H:%M")


def _moment(instant: float | None, now: float, zone: ZoneInfo) -> str:
    """The time of today, else the day with it."""
    if instant is None:
        return "never"
    local, today = datetime.fromtimestamp(instant, zone), datetime.fromtimestamp(now, zone).date()
    return local.strftime("%H:%M") if local.date() == today else local.strftime("%d.%m %H:%M")


def look(journal: Path, now: float, zone: ZoneInfo) -> list[str]:
    try:
        return lines_of(read_status(journal), now, zone)
    except JournalError:
        return [f"{_clock(now, zone)} NO JOURNAL"]


def show(
    journal: Path,
    zone: ZoneInfo,
    columns: int,
    rows: int,
    *,
    once: bool,
    out: TextIO = sys.stdout,
    wall: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Print one page after another, for ever unless `once`."""
    while True:
        for page in pages(look(journal, wall(), zone), columns, rows):
            out.write(("" if once else CLEAR) + "\n".join(page) + "\n")
            out.flush()
            if not once:
                sleep(PAGE_SECONDS)
        if once:
            return
