"""What must survive a power cut, in one SQLite file: counters, readings not yet in a batch, batches not acknowledged,
totals of days, and reports of them that a ledger has not taken yet.

Every method is one transaction on the disk when it returns. One process at a time: a lock file beside the journal.

The file is bounded. Where it would grow beyond, whole days are thinned to their totals, the oldest first; that is
remembered and told.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any, Self
from zoneinfo import ZoneInfo

from evidence.readings import Quality, Reading, Register
from meter_agent.energy import Counter, PointState, Progress
from meter_agent.journal.errors import JournalDamaged, JournalError, named
from meter_agent.journal.schema import VERSION, VERSIONS
from meter_agent.journal.status import status_of
from meter_agent.registers import Quantity
from meter_agent.slots import day_bounds, day_number, local_day
from meter_agent.terms import Role

log = logging.getLogger(__name__)

LARGEST_BATCH = 2000
MARKET = "market"
# Totals of days stay long after they were reported, for whoever stands before the box.
DAYS_KEPT = 400
# Pages of the file, of 4096 bytes each, that stay free for what is small and must always fit: totals and reports.
SPARE_PAGES = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """`body` is sent as it is, as often as it takes."""

    sequence: int
    count: int
    body: bytes


@dataclass(frozen=True, slots=True)
class DayTotal:
    """A local day of one register of a point: `energy` in Wh or varh, of slots that last `seconds` together."""

    point: bytes
    register: int
    energy: int
    seconds: int
    substitutes: int


@dataclass(frozen=True, slots=True)
class Report:
    """A day's report for a ledger: `envelope` is the signed command, `sent` what a sender wrote down before it sent."""

    day: int
    envelope: bytes
    sent: bytes | None


# (sequence, slot length in seconds, readings in order of their leaf ids) → the signed body
Signer = Callable[[int, int, list[Reading]], bytes]


class Journal:
    """The open journal of one device. Raises `JournalError` when it is another's or already open.

    `most_bytes` bounds the file, None leaves that to the disk.
    """

    def __init__(self, path: Path, device: bytes, most_bytes: int | None = None) -> None:
        self.path = path
        self._lock = _lock(path.with_name(path.name + ".lock"))
        try:
            # SQLite gives its side files the mode of this one.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = _connect(path)
        except (OSError, sqlite3.Error) as error:
            self._lock.close()
            raise JournalError(f"{path} cannot be opened: {error}") from None
        try:
            self._prepare(path, device)
            self._bound(most_bytes)
        except sqlite3.DatabaseError as error:
            self.close()
            raise named(error)(f"{path} cannot be used: {error}") from None
        except JournalError:
            self.close()
            raise

    def _prepare(self, path: Path, device: bytes) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise JournalError(f"{path} has version {version}, this program writes version {VERSION}")
            for statements in VERSIONS[version:]:
                for statement in statements.split(";"):
                    self._db.execute(statement)
            if version == 0:
                self._db.execute("INSERT INTO device VALUES (1, ?, 0)", (device,))
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise JournalDamaged(f"{path} is damaged: {found}")
        owner = self._db.execute("SELECT id FROM device").fetchone()[0]
        if owner != device:
            raise JournalError(f"{path} belongs to device {owner.hex()}, not to {device.hex()}")

    def _bound(self, most_bytes: int | None) -> None:
        (page,) = self._db.execute("PRAGMA page_size").fetchone()
        self._most_pages = None if most_bytes is None else max(most_bytes // page, 4 * SPARE_PAGES)
        if self._most_pages is not None:
            self._db.execute(f"PRAGMA max_page_count = {self._most_pages}")

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Generator[None, None, None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise named(error)(f"the journal cannot be written: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def last_read(self) -> int | None:
        """The last slot boundary at which any meter was read."""
        (at,) = self._db.execute("SELECT max(at) FROM counters").fetchone()
        return None if at is None else int(at)

    def state(self, point: bytes) -> PointState:
        counters = self._db.execute(
            "SELECT role, direction, raw, scale, total, at, since FROM counters WHERE point = ?", (point,)
        )
        registers = self._db.execute(
            "SELECT register, until, reported, formula FROM registers WHERE point = ?", (point,)
        )
        return PointState(
            {
                (Role(role), Quantity(direction)): Counter(raw, scale, int(total), at, since)
                for role, direction, raw, scale, total, at, since in counters
            },
            {Register(register): Progress(until, reported, text) for register, until, reported, text in registers},
        )

    def store(
        self,
        point: bytes,
        state: PointState,
        readings: Collection[Reading],
        step: int,
        zone: ZoneInfo,
        sent: Collection[int] = tuple(Register),
    ) -> None:
        """Keep what the meters showed together with the readings that follow from it.

        The days' totals count all `readings`; of the registers `sent` they wait to be sent. Raises `JournalFull`.
        """
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (point, *key, counter.raw, counter.scale, str(counter.total), counter.at, counter.since)
                    for key, counter in state.counters.items()
                ],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO registers VALUES (?, ?, ?, ?, ?)",
                [
                    (point, register, progress.until, progress.reported, progress.formula)
                    for register, progress in state.registers.items()
                ],
            )
            self._db.executemany(
                "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)",
                [(r.slot, r.point, r.register, step, r.value, r.quality) for r in readings if r.register in sent],
            )
            self._db.executemany(
                "INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " energy = energy + excluded.energy, seconds = seconds + excluded.seconds,"
                " substitutes = substitutes + excluded.substitutes",
                [
                    (
                        day_number(local_day(r.slot, zone)),
                        r.point,
                        r.register,
                        r.value,
                        step,
                        r.quality == Quality.SUBSTITUTE,
                    )
                    for r in readings
                ],
            )

    # Batches

    def has_readings(self, points: Collection[bytes]) -> bool:
        """Whether readings of `points` wait to be sealed."""
        marks = ",".join("?" * len(points))
        row = self._db.execute(f"SELECT 1 FROM readings WHERE point IN ({marks}) LIMIT 1", tuple(points))  # noqa: S608
        return row.fetchone() is not None

    def seal(
        self,
        points: Collection[bytes],
        zone: ZoneInfo,
        sign: Signer,
        destinations: Sequence[str] = (MARKET,),
        most: int = LARGEST_BATCH,
    ) -> bool:
        """Move the oldest readings of `points`, of one local day and one unit, into a signed batch for `destinations`.

        False when there are none.
        """
        marks = ",".join("?" * len(points))
        with self._transaction():
            oldest = self._db.execute(
                f"SELECT slot, step, register FROM readings WHERE point IN ({marks}) ORDER BY slot LIMIT 1",  # noqa: S608
                tuple(points),
            ).fetchone()
            if oldest is None:
                return False
            slot, step, register = oldest
            unit = Register(register).unit
            registers = [int(each) for each in Register if each.unit == unit]
            _, end = day_bounds(local_day(slot, zone), zone)
            rows = self._db.execute(
                "SELECT point, register, slot, value, quality FROM readings WHERE slot < ? AND step = ?"  # noqa: S608
                f" AND register IN ({','.join('?' * len(registers))}) AND point IN ({marks})"
                " ORDER BY slot, point, register LIMIT ?",
                (end, step, *registers, *points, most),
            ).fetchall()
            readings = sorted((Reading(*row) for row in rows), key=lambda reading: reading.leaf_id)
            (last,) = self._db.execute("SELECT last_sequence FROM device").fetchone()
            self._db.execute("UPDATE device SET last_sequence = ?", (last + 1,))
            body = sign(last + 1, step, readings)
            self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", (last + 1, len(readings), body, slot))
            self._db.executemany("INSERT INTO deliveries VALUES (?, ?)", [(name, last + 1) for name in destinations])
            self._db.executemany(
                "DELETE FROM readings WHERE slot = ? AND point = ? AND register = ?",
                [(r.slot, r.point, r.register) for r in readings],
            )
        return True

    def unseal(self, sequence: int, readings: Iterable[Reading], step: int, least: int) -> None:
        """Take a batch apart whose sequence its destination has seen a later one of; sequences go on from `least`."""
        with self._transaction():
            self._forget(sequence)
            self._db.execute("UPDATE device SET last_sequence = max(last_sequence, ?)", (least,))
            self._db.executemany(
                "INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?, ?, ?)",
                [(r.slot, r.point, r.register, step, r.value, r.quality) for r in readings],
            )

    def next_batch(self, destination: str = MARKET) -> Batch | None:
        """The oldest batch that the destination has not acknowledged."""
        row = self._db.execute(
            "SELECT sequence, count, body FROM deliveries JOIN batches USING (sequence) WHERE destination = ?"
            " ORDER BY sequence LIMIT 1",
            (destination,),
        ).fetchone()
        return Batch(*row) if row else None

    def acknowledge(self, sequence: int, status: str, at: int, destination: str = MARKET) -> None:
        with self._transaction():
            self._deliver(sequence, destination)
            self._db.execute(
                "INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?, ?)", (destination, sequence, status, at)
            )

    def refuse(self, sequence: int, status: int, problem: str, at: int, destination: str = MARKET) -> None:
        """Put a batch aside that the destination will never take."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO refused SELECT ?, sequence, count, body, ?, ?, ? FROM batches WHERE sequence = ?",
                (destination, at, status, problem, sequence),
            )
            self._deliver(sequence, destination)

    def _deliver(self, sequence: int, destination: str) -> None:
        self._db.execute("DELETE FROM deliveries WHERE destination = ? AND sequence = ?", (destination, sequence))
        self._drop_delivered()

    def _forget(self, sequence: int) -> None:
        self._db.execute("DELETE FROM deliveries WHERE sequence = ?", (sequence,))
        self._drop_delivered()

    def _drop_delivered(self) -> None:
        self._db.execute("DELETE FROM batches WHERE sequence NOT IN (SELECT sequence FROM deliveries)")

    def keep_destinations(self, names: Collection[str]) -> int:
        """Forget what waits for destinations that are no longer configured; returns how many batches."""
        marks = ",".join("?" * len(names))
        with self._transaction():
            gone = self._db.execute(f"DELETE FROM deliveries WHERE destination NOT IN ({marks})", tuple(names))  # noqa: S608
            self._drop_delivered()
        return gone.rowcount

    # Days

    def totals(self, day: int) -> list[DayTotal]:
        rows = self._db.execute(
            "SELECT point, register, energy, seconds, substitutes FROM totals WHERE day = ? ORDER BY point, register",
            (day,),
        )
        return [DayTotal(*row) for row in rows]

    def days_without_report(self, destination: str, before: int) -> list[int]:
        """Days before `before` that have totals and no report for the destination, the oldest first."""
        rows = self._db.execute(
            "SELECT DISTINCT day FROM totals WHERE day < ? AND day NOT IN"
            " (SELECT day FROM reports WHERE destination = ?) ORDER BY day",
            (before, destination),
        )
        return [day for (day,) in rows]

    def add_report(self, destination: str, day: int, envelope: bytes, at: int) -> None:
        with self._transaction():
            self._db.execute(
                "INSERT INTO reports VALUES (?, ?, ?, NULL, 'waiting', NULL, ?)", (destination, day, envelope, at)
            )
            self._db.execute("DELETE FROM totals WHERE day < ?", (day - DAYS_KEPT,))
            self._db.execute("DELETE FROM reports WHERE day < ? AND state <> 'waiting'", (day - DAYS_KEPT,))

    def waiting_reports(self, destination: str) -> list[Report]:
        rows = self._db.execute(
            "SELECT day, envelope, sent FROM reports WHERE destination = ? AND state = 'waiting' ORDER BY day",
            (destination,),
        )
        return [Report(*row) for row in rows]

    def write_down(self, destination: str, day: int, sent: bytes) -> None:
        """What is about to be sent for a report, so that a later attempt can ask for it and send it again."""
        with self._transaction():
            self._db.execute("UPDATE reports SET sent = ? WHERE destination = ? AND day = ?", (sent, destination, day))

    def settle_report(self, destination: str, day: int, state: str, code: int, at: int) -> None:
        """A ledger's answer: `state` is done or refused, with the contract's code."""
        with self._transaction():
            self._db.execute(
                "UPDATE reports SET state = ?, code = ?, at = ? WHERE destination = ? AND day = ?",
                (state, code, at, destination, day),
            )

    # Bounds

    @property
    def is_tight(self) -> bool:
        """Whether so little room is left that something has to go."""
        return self._most_pages is not None and self._free_pages() < SPARE_PAGES

    def _free_pages(self) -> int:
        (used,), (free,) = (self._db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count"))
        return int((self._most_pages or used) - used + free)

    def thin(self, zone: ZoneInfo, at: int) -> list[tuple[date, int]]:
        """Make room: refused batches lose their content first, then whole days their readings, the oldest first.

        Returns the days, each with how many readings it lost. Their totals stay.
        """
        if self.is_tight:
            with self._transaction():
                self._db.execute("UPDATE refused SET body = x''")
        thinned = []
        while self.is_tight and (day := self._oldest_day(zone)) is not None:
            thinned.append((day, self._thin_day(day, zone, at)))
        return thinned

    def _oldest_day(self, zone: ZoneInfo) -> date | None:
        (slot,) = self._db.execute(
            "SELECT min(slot) FROM (SELECT min(slot) AS slot FROM readings UNION ALL SELECT min(start) FROM batches)"
        ).fetchone()
        return None if slot is None else local_day(slot, zone)

    def _thin_day(self, day: date, zone: ZoneInfo, at: int) -> int:
        _, end = day_bounds(day, zone)
        with self._transaction():
            (sealed,) = self._db.execute(
                "SELECT coalesce(sum(count), 0) FROM batches WHERE start < ?", (end,)
            ).fetchone()
            self._db.execute(
                "DELETE FROM deliveries WHERE sequence IN (SELECT sequence FROM batches WHERE start < ?)", (end,)
            )
            self._drop_delivered()
            open_readings = self._db.execute("DELETE FROM readings WHERE slot < ?", (end,)).rowcount
            lost = int(sealed) + open_readings
            self._db.execute(
                "INSERT INTO thinned VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET readings = readings + excluded.readings",
                (day_number(day), lost, at),
            )
        return lost

    def allowance(self) -> tuple[int, int] | None:
        """Bytes that may be spent as they stood at an instant, None before the first time."""
        row = self._db.execute("SELECT bytes, at FROM allowance").fetchone()
        return (row[0], row[1]) if row else None

    def set_allowance(self, left: int, at: int) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO allowance VALUES (1, ?, ?)", (left, at))

    def forgotten_readings(self, points: Collection[bytes]) -> int:
        """How many readings wait that belong to none of `points` and so cannot be signed."""
        marks = ",".join("?" * len(points))
        row = self._db.execute(
            f"SELECT count(*) FROM readings WHERE point NOT IN ({marks})",  # noqa: S608
            tuple(points),
        ).fetchone()
        return int(row[0])

    def status(self) -> dict[str, Any]:
        return status_of(self._db)


def open_journal(path: Path, device: bytes, most_bytes: int | None) -> Journal:
    """The journal at `path`; one that is damaged is put aside and a new one begun. Raises `JournalError`."""
    try:
        return Journal(path, device, most_bytes)
    except JournalDamaged as error:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        for suffix in ("-wal", "-shm", ""):
            if (part := path.with_name(path.name + suffix)).exists():
                part.rename(aside.with_name(aside.name + suffix))
        log.error("%s; it is put aside as %s, and a new journal is begun", error, aside)
        return Journal(path, device, most_bytes)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=10)


def _lock(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("a")
    except OSError as error:
        raise JournalError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise JournalError(f"{path} is held: another meter-agent is using this journal") from None
    return file
