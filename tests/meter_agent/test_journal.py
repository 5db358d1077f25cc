import json
import sqlite3
import stat
from datetime import date
from pathlib import Path

import pytest

from evidence.readings import Quality, Reading, Register
from meter_agent.energy import Counter, PointState, Progress
from meter_agent.journal import LARGEST_BATCH, Journal
from meter_agent.journal.errors import JournalError
from meter_agent.journal.status import read_status
from meter_agent.registers import Quantity
from meter_agent.slots import slots_of_day
from meter_agent.terms import Role
from meter_agent.uplink import readings_of, signed_body
from tests.meter_agent.support import BERLIN, DEVICE, HOUSE, KEY, SECRETS, SHOP, STEP, check, store

SPRING = date(2021, 3, 28)
AUTUMN = date(2021, 10, 31)


def sign(sequence: int, step: int, readings: list[Reading]) -> bytes:
    return signed_body(DEVICE, KEY, SECRETS, sequence, step, readings)


def keep(journal: Journal, readings: list[Reading]) -> None:
    store(journal, readings)


def batches(journal: Journal) -> list[list[Reading]]:
    """Seal and acknowledge until nothing is left."""
    found = []
    while journal.seal(SECRETS, BERLIN, sign):
        batch = journal.next_batch()
        assert batch is not None
        content = json.loads(batch.body)
        assert check(content, KEY.public_key).sequence == batch.sequence
        found.append(readings_of(content))
        journal.acknowledge(batch.sequence, "stored", 1)
    return found


def test_what_a_point_has_counted_survives(tmp_path: Path) -> None:
    state = PointState(
        {(Role.GRID, Quantity.IMPORT): Counter(2**32 - 1, -3, 2**32 * 10**20, 900, 0)},
        {Register.CONSUMPTION: Progress(900, 12, "+1*grid.import")},
    )
    with Journal(tmp_path / "journal", DEVICE) as journal:
        journal.store(HOUSE, state, [], STEP, BERLIN)
    with Journal(tmp_path / "journal", DEVICE) as journal:
        assert journal.state(HOUSE) == state
        assert journal.state(SHOP) == PointState()


def test_a_reading_and_its_counters_are_stored_together_or_not_at_all(journal: Journal) -> None:
    reading = Reading(HOUSE, 1, 0, 5)
    state = PointState({}, {Register.CONSUMPTION: Progress(900, 5, "")})
    with pytest.raises(JournalError):
        journal.store(HOUSE, state, [reading, reading], STEP, BERLIN)
    assert journal.state(HOUSE) == PointState()
    assert journal.status()["backlog"]["readings"] == 0


@pytest.mark.parametrize(("day", "slots"), [(SPRING, 92), (AUTUMN, 100)])
def test_a_batch_holds_one_local_day_even_when_clocks_change(journal: Journal, day: date, slots: int) -> None:
    today = slots_of_day(day, BERLIN, STEP)
    week = range(today[0] - STEP, today[-1] + 2 * STEP, STEP)  # a slot before and a slot after the day
    keep(journal, [Reading(HOUSE, register, slot, 7) for slot in week for register in (1, 2)])
    before, within, after = batches(journal)
    assert (len(before), len(within), len(after)) == (2, 2 * slots, 2)
    assert {reading.slot for reading in within} == set(today)


def test_the_readings_of_a_batch_are_in_order_of_their_leaf_ids(journal: Journal) -> None:
    for slot in (0, 900):
        keep(journal, [Reading(point, register, slot, 1) for point in (SHOP, HOUSE) for register in (2, 1)])
    (readings,) = batches(journal)
    assert readings == sorted(readings, key=lambda reading: reading.leaf_id)
    assert len(readings) == 8


def test_a_batch_has_at_most_two_thousand_readings(journal: Journal) -> None:
    points = {bytes([n]) * 32: bytes(32) for n in range(1, 26)}
    slots = slots_of_day(date(2021, 5, 1), BERLIN, STEP)
    keep(journal, [Reading(point, 1, slot, 1) for point in points for slot in slots])
    sizes: list[int] = []

    def count(sequence: int, step: int, readings: list[Reading]) -> bytes:
        sizes.append(len(readings))
        return b"body"

    while journal.seal(points, BERLIN, count):
        pass
    assert sizes == [LARGEST_BATCH, 2400 - LARGEST_BATCH]


def test_runs_break_at_gaps_and_at_another_quality(journal: Journal) -> None:
    keep(journal, [Reading(HOUSE, 1, n * STEP, n, Quality.SUBSTITUTE if n == 3 else 1) for n in (0, 1, 3, 4, 5, 7)])
    journal.seal(SECRETS, BERLIN, sign)
    batch = journal.next_batch()
    assert batch is not None
    runs = [(run["start"], run["quality"], run["values"]) for run in json.loads(batch.body)["series"]]
    assert runs == [(0, 1, [0, 1]), (2700, 2, [3]), (3600, 1, [4, 5]), (6300, 1, [7])]


def test_the_sequence_rises_although_batches_are_deleted(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        with Journal(tmp_path / "journal", DEVICE) as journal:
            keep(journal, [Reading(HOUSE, 1, expected * 86400, 5)])
            batches(journal)
            assert journal.next_batch() is None
            assert journal.status()["last_sequence"] == expected


def test_a_batch_that_cannot_be_signed_uses_up_nothing(journal: Journal) -> None:
    def fail(sequence: int, step: int, readings: list[Reading]) -> bytes:
        raise RuntimeError("the key store is away")

    keep(journal, [Reading(HOUSE, 1, 0, 5)])
    with pytest.raises(RuntimeError):
        journal.seal(SECRETS, BERLIN, fail)
    assert journal.status()["last_sequence"] == 0
    assert batches(journal) == [[Reading(HOUSE, 1, 0, 5)]]


def test_readings_of_a_point_without_secret_wait(journal: Journal) -> None:
    keep(journal, [Reading(b"\xcc" * 32, 1, 0, 5), Reading(HOUSE, 1, 900, 6)])
    assert batches(journal) == [[Reading(HOUSE, 1, 900, 6)]]
    assert journal.forgotten_readings(SECRETS) == 1


def test_readings_of_another_slot_length_are_a_batch_of_their_own(journal: Journal) -> None:
    store(journal, [Reading(HOUSE, 1, 0, 5)], step=900)
    store(journal, [Reading(HOUSE, 1, 900, 6)], step=300)
    assert batches(journal) == [[Reading(HOUSE, 1, 0, 5)], [Reading(HOUSE, 1, 900, 6)]]


def test_a_refused_batch_is_kept_with_the_problem(journal: Journal) -> None:
    keep(journal, [Reading(HOUSE, 1, 0, 5)])
    journal.seal(SECRETS, BERLIN, sign)
    journal.refuse(1, 422, "no such point", 1_700_000_000)
    assert journal.next_batch() is None
    assert journal.status()["refused"] == [
        {
            "destination": "market",
            "sequence": 1,
            "readings": 1,
            "at": "2023-11-14T22:13:20Z",
            "status": 422,
            "problem": "no such point",
        }
    ]


def test_the_journal_is_durable_private_and_used_by_one(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "journal.sqlite"
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    for suffix in ("", "-wal", "-shm"):
        assert stat.S_IMODE((tmp_path / f"journal.sqlite{suffix}").stat().st_mode) == 0o600
    with pytest.raises(JournalError, match="another meter-agent is using this journal"):
        Journal(path, DEVICE)
    assert read_status(path)["device"] == DEVICE.hex()  # only looks


def test_a_journal_belongs_to_one_device(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    Journal(path, DEVICE).close()
    with pytest.raises(JournalError, match="belongs to device 0d0d"):
        Journal(path, b"\xee" * 32)
    Journal(path, DEVICE).close()  # and the lock was let go


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(JournalError, match="cannot be used"):
        Journal(path, DEVICE)
    with pytest.raises(JournalError, match="cannot be read"):
        read_status(path)
    with pytest.raises(JournalError, match="has not run yet"):
        read_status(tmp_path / "none")


def test_a_journal_of_a_later_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path, DEVICE).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(JournalError, match="has version 9"):
        Journal(path, DEVICE)
