"""What a journal says of itself, for whoever stands before the box."""

import sqlite3
from pathlib import Path
from typing import Any

from meter_agent.journal.errors import JournalError
from meter_agent.slots import day_text, iso


def read_status(path: Path) -> dict[str, Any]:
    """The status of a journal that another process may be writing. Raises `JournalError`."""
    if not path.exists():
        raise JournalError(f"{path} does not exist: the agent has not run yet")
    db = None
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=10)
        return status_of(db)
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be read: {error}") from None
    finally:
        if db is not None:
            db.close()


def status_of(db: sqlite3.Connection) -> dict[str, Any]:
    device, last_sequence = db.execute("SELECT id, last_sequence FROM device").fetchone()
    readings, oldest = db.execute("SELECT count(*), min(slot) FROM readings").fetchone()
    batches, batched = db.execute("SELECT count(*), coalesce(sum(count), 0) FROM batches").fetchone()
    (until,) = db.execute("SELECT max(until) FROM registers").fetchone()
    acknowledged = {
        destination: {"sequence": sequence, "status": status, "at": iso(at)}
        for destination, sequence, status, at in db.execute("SELECT * FROM acknowledged ORDER BY destination")
    }
    refused = db.execute("SELECT destination, sequence, count, at, status, problem FROM refused ORDER BY sequence")
    reports = db.execute(
        "SELECT destination, day, state, code, at FROM reports ORDER BY day DESC, destination LIMIT 20"
    )
    return {
        "device": device.hex(),
        "last_sequence": last_sequence,
        "last_reading": None if until is None else iso(until),
        "last_acknowledgement": acknowledged,
        "backlog": {
            "readings": readings,
            "oldest": None if oldest is None else iso(oldest),
            "batches": batches,
            "readings_in_batches": batched,
        },
        "refused": [
            {
                "destination": destination,
                "sequence": sequence,
                "readings": count,
                "at": iso(at),
                "status": status,
                "problem": problem,
            }
            for destination, sequence, count, at, status, problem in refused
        ],
        "reports": [
            {"destination": destination, "day": day_text(day), "state": state, "code": code, "at": iso(at)}
            for destination, day, state, code, at in reports
        ],
        "thinned": [
            {"day": day_text(day), "readings": count, "at": iso(at)}
            for day, count, at in db.execute("SELECT day, readings, at FROM thinned ORDER BY day")
        ],
    }
