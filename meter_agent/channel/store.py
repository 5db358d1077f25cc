"""What the channel must not forget: how far it is, what it was told, what it answers. One SQLite file, 0600.

Every method is one transaction on the disk when it returns.
"""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from meter_agent.channel.orders import Order

log = logging.getLogger(__name__)

KEPT = 100
SCHEMA = """
CREATE TABLE reached (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, since INTEGER NOT NULL);
INSERT INTO reached VALUES (1, 0, 0);
CREATE TABLE orders (
    sequence INTEGER PRIMARY KEY, digest BLOB NOT NULL, kind INTEGER NOT NULL, since INTEGER NOT NULL,
    until INTEGER NOT NULL, body TEXT NOT NULL, answer TEXT, posted TEXT
);
CREATE TABLE plans (plant TEXT PRIMARY KEY, sequence INTEGER NOT NULL, plan TEXT NOT NULL, results TEXT NOT NULL);
PRAGMA user_version = 1;
"""


class StoreError(Exception):
    """The file cannot be written or read."""


class Store:
    """Raises `StoreError`. A damaged file is put aside."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError as error:
            if not path.exists() or isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"{path} cannot be opened: {error}") from None
            aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
            path.rename(aside)
            log.error(
                "%s is damaged (%s); it is put aside as %s: what is begun again has no answer yet", path, error, aside
            )
            self._db = _open(path)

    def close(self) -> None:
        self._db.close()

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
            raise StoreError(f"what the channel knows cannot be written: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def reached(self) -> tuple[int, int]:
        """The last sequence that was begun, and the latest `since` that was believed."""
        sequence, since = self._db.execute("SELECT sequence, since FROM reached").fetchone()
        return int(sequence), int(since)

    def begin(self, sequence: int, digest: bytes, kind: int, since: int, until: int, body: str) -> None:
        """From here on the instruction counts as begun, whatever happens."""
        with self._transaction():
            self._db.execute("UPDATE reached SET sequence = ?", (sequence,))
            self._db.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", (sequence, digest, kind, since, until, body)
            )
            self._db.execute("DELETE FROM orders WHERE posted IS NOT NULL AND sequence <= ?", (sequence - KEPT,))

    def believe(self, since: int) -> None:
        with self._transaction():
            self._db.execute("UPDATE reached SET since = max(since, ?)", (since,))

    def answer(self, sequence: int, answer: dict[str, Any]) -> None:
        """The first answer stays."""
        with self._transaction():
            self._db.execute(
                "UPDATE orders SET answer = ? WHERE sequence = ? AND answer IS NULL",
                (json.dumps(answer, separators=(",", ":")), sequence),
            )

    def unanswered(self) -> list[Order]:
        rows = self._db.execute(
            "SELECT sequence, digest, kind, since, until, body FROM orders WHERE answer IS NULL ORDER BY sequence"
        )
        return [
            Order(sequence, digest, kind, since, until, json.loads(body))
            for sequence, digest, kind, since, until, body in rows
        ]

    def next_answer(self) -> tuple[int, str] | None:
        """The oldest answer that was not posted, with its sequence."""
        row = self._db.execute(
            "SELECT sequence, answer FROM orders WHERE answer IS NOT NULL AND posted IS NULL ORDER BY sequence LIMIT 1"
        ).fetchone()
        return (row[0], row[1]) if row else None

    def posted(self, sequence: int, how: str) -> None:
        with self._transaction():
            self._db.execute("UPDATE orders SET posted = ? WHERE sequence = ?", (how, sequence))

    def newest(self, count: int) -> list[dict[str, Any]]:
        """For people: what was told last, and how it was answered."""
        rows = self._db.execute(
            "SELECT sequence, kind, answer, posted FROM orders ORDER BY sequence DESC LIMIT ?", (count,)
        )
        return [
            {"sequence": sequence, "kind": kind, "answer": json.loads(answer) if answer else None, "posted": posted}
            for sequence, kind, answer, posted in rows
        ]

    def plan(self, plant: str) -> tuple[int, Any, Any] | None:
        """(sequence of its instruction, plan, results so far) of a plant."""
        row = self._db.execute("SELECT sequence, plan, results FROM plans WHERE plant = ?", (plant,)).fetchone()
        return (row[0], json.loads(row[1]), json.loads(row[2])) if row else None

    def set_plan(self, plant: str, sequence: int, plan: Any, results: Any) -> None:
        with self._transaction():
            row = (plant, sequence, json.dumps(plan), json.dumps(results))
            self._db.execute("INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?)", row)

    def drop_plan(self, plant: str) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM plans WHERE plant = ?", (plant,))


def _open(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from None
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        db.execute("PRAGMA synchronous = FULL")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        db.execute("SELECT sequence FROM reached").fetchone()
    except sqlite3.Error:
        db.close()
        raise
    return db
