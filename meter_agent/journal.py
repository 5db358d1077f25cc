"""What must survive a power cut, in one SQLite file: counters, readings not yet in a batch, batches not acknowledged.

Every method is one transaction on the disk when it returns. One process at a time: a lock file beside the journal.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self
from zoneinfo import ZoneInfo

from evidence.readings import Reading, Register
from meter_agent.config import Role
from meter_agent.energy import Counter, PointState, Progress
from meter_agent.registers import Direction
from meter_agent.slots import day_bounds, iso, local_day

VERSION = 1
LARGEST_BATCH = 2000

SCHEMA = """
CREATE TABLE device (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL, last_sequence INTEGER NOT NULL);
CREATE TABLE counters (
    point BLOB NOT NULL, role TEXT NOT NULL, direction TEXT NOT NULL, raw INTEGER NOT NULL, scale INTEGER NOT NULL,
    total TEXT NOT NULL, at INTEGER NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (point, role, direction)
) WITHOUT ROWID;
CREATE TABLE registers (
    point BLOB NOT NULL, register INTEGER NOT NULL, until INTEGER NOT NULL, reported INTEGER NOT NULL,
    formula TEXT NOT NULL, PRIMARY KEY (point, register)
) WITHOUT ROWID;
CREATE TABLE readings (
    slot INTEGER NOT NULL, point BLOB NOT NULL, register INTEGER NOT NULL, step INTEGER NOT NULL,
    value INTEGER NOT NULL, quality INTEGER NOT NULL, PRIMARY KEY (slot, point, register)
) WITHOUT ROWID;
CREATE TABLE batches (sequence INTEGER PRIMARY KEY, count INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE refused (
    sequence INTEGER PRIMARY KEY, count INTEGER NOT NULL, body BLOB NOT NULL,
    at INTEGER NOT NULL, status INTEGER NOT NULL, problem TEXT NOT NULL
);
CREATE TABLE acknowledgement (
    one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL
);
"""


class JournalError(Exception):
    """The journal cannot be used: in use, damaged, or another device's."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`body` is sent as it is, as often as it takes."""

    sequence: int
    count: int
    body: bytes


# (sequence, slot length in seconds, readings in order of their leaf ids) → the signed body
Signer = Callable[[int, int, list[Reading]], bytes]


class Journal:
    """The open journal of one device. Raises `JournalError` when it is another's or already open."""

    def __init__(self, path: Path, device: bytes) -> None:
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
        except sqlite3.Error as error:
            self.close()
            raise JournalError(f"{path} cannot be used: {error}") from None
        except JournalError:
            self.close()
            raise

    def _prepare(self, path: Path, device: bytes) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO device VALUES (1, ?, 0)", (device,))
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise JournalError(f"{path} has version {version}, this program writes version {VERSION}")
        owner = self._db.execute("SELECT id FROM device").fetchone()[0]
        if owner != device:
            raise JournalError(f"{path} belongs to device {owner.hex()}, not to {device.hex()}")

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
            raise JournalError(f"the journal cannot be written: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def state(self, point: bytes) -> PointState:
        counters = self._db.execute(
            "SELECT role, direction, raw, scale, total, at, since FROM counters WHERE point = ?", (point,)
        )
        registers = self._db.execute(
            "SELECT register, until, reported, formula FROM registers WHERE point = ?", (point,)
        )
        return PointState(
            {
                (Role(role), Direction(direction)): Counter(raw, scale, int(total), at, since)
                for role, direction, raw, scale, total, at, since in counters
            },
            {Register(register): Progress(until, reported, text) for register, until, reported, text in registers},
        )

    def store(self, point: bytes, state: PointState, readings: Iterable[Reading], step: int) -> None:
        """Keep what the meters showed together with the readings that follow from it."""
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
                [(r.slot, r.point, r.register, step, r.value, r.quality) for r in readings],
            )

    def seal(self, points: Collection[bytes], zone: ZoneInfo, sign: Signer) -> bool:
        """Move the oldest readings of `points`, of one local day, into a signed batch. False when there are none."""
        marks = ",".join("?" * len(points))
        with self._transaction():
            oldest = self._db.execute(
                f"SELECT slot, step FROM readings WHERE point IN ({marks}) ORDER BY slot LIMIT 1",  # noqa: S608
                tuple(points),
            ).fetchone()
            if oldest is None:
                return False
            slot, step = oldest
            _, end = day_bounds(local_day(slot, zone), zone)
            rows = self._db.execute(
                "SELECT point, register, slot, value, quality FROM readings"  # noqa: S608
                f" WHERE slot < ? AND step = ? AND point IN ({marks}) ORDER BY slot, point, register LIMIT ?",
                (end, step, *points, LARGEST_BATCH),
            ).fetchall()
            readings = sorted((Reading(*row) for row in rows), key=lambda reading: reading.leaf_id)
            (last,) = self._db.execute("SELECT last_sequence FROM device").fetchone()
            self._db.execute("UPDATE device SET last_sequence = ?", (last + 1,))
            body = sign(last + 1, step, readings)
            self._db.execute("INSERT INTO batches VALUES (?, ?, ?)", (last + 1, len(readings), body))
            self._db.executemany(
                "DELETE FROM readings WHERE slot = ? AND point = ? AND register = ?",
                [(r.slot, r.point, r.register) for r in readings],
            )
        return True

    def next_batch(self) -> Batch | None:
        """The oldest batch that is not acknowledged."""
        row = self._db.execute("SELECT sequence, count, body FROM batches ORDER BY sequence LIMIT 1").fetchone()
        return Batch(*row) if row else None

    def acknowledge(self, sequence: int, status: str, at: int) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM batches WHERE sequence = ?", (sequence,))
            self._db.execute("INSERT OR REPLACE INTO acknowledgement VALUES (1, ?, ?, ?)", (sequence, status, at))

    def refuse(self, sequence: int, status: int, problem: str, at: int) -> None:
        """Put a batch aside that the server will never take."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO refused SELECT sequence, count, body, ?, ?, ? FROM batches WHERE sequence = ?",
                (at, status, problem, sequence),
            )
            self._db.execute("DELETE FROM batches WHERE sequence = ?", (sequence,))

    def forgotten_readings(self, points: Collection[bytes]) -> int:
        """How many readings wait that belong to none of `points` and so cannot be signed."""
        marks = ",".join("?" * len(points))
        row = self._db.execute(
            f"SELECT count(*) FROM readings WHERE point NOT IN ({marks})",  # noqa: S608
            tuple(points),
        ).fetchone()
        return int(row[0])

    def status(self) -> dict[str, Any]:
        return _status(self._db)


def read_status(path: Path) -> dict[str, Any]:
    """The status of a journal that another process may be writing. Raises `JournalError`."""
    if not path.exists():
        raise JournalError(f"{path} does not exist: the agent has not run yet")
    db = None
    try:
        db = _connect(path)
        return _status(db)
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be read: {error}") from None
    finally:
        if db is not None:
            db.close()


def _status(db: sqlite3.Connection) -> dict[str, Any]:
    device, last_sequence = db.execute("SELECT id, last_sequence FROM device").fetchone()
    readings, oldest = db.execute("SELECT count(*), min(slot) FROM readings").fetchone()
    batches, batched = db.execute("SELECT count(*), coalesce(sum(count), 0) FROM batches").fetchone()
    (until,) = db.execute("SELECT max(until) FROM registers").fetchone()
    acknowledged = db.execute("SELECT sequence, status, at FROM acknowledgement").fetchone()
    refused = db.execute("SELECT sequence, count, at, status, problem FROM refused ORDER BY sequence")
    return {
        "device": device.hex(),
        "last_sequence": last_sequence,
        "last_reading": None if until is None else iso(until),
        "last_acknowledgement": None
        if acknowledged is None
        else {"sequence": acknowledged[0], "status": acknowledged[1], "at": iso(acknowledged[2])},
        "backlog": {
            "readings": readings,
            "oldest": None if oldest is None else iso(oldest),
            "batches": batches,
            "readings_in_batches": batched,
        },
        "refused": [
            {"sequence": sequence, "readings": count, "at": iso(at), "status": status, "problem": problem}
            for sequence, count, at, status, problem in refused
        ],
    }


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
