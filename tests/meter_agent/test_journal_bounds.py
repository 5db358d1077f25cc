"""A journal that is bounded, full, damaged, forgotten, or of an earlier version: nothing goes without a word."""

import json
import logging
import sqlite3
from datetime import date
from pathlib import Path

import pytest

from evidence.readings import Quality, Reading, Register
from meter_agent.energy import PointState
from meter_agent.journal import Journal, open_journal
from meter_agent.journal.errors import JournalFull
from meter_agent.journal.schema import SCHEMA
from meter_agent.journal.status import read_status
from meter_agent.slots import day_number, local_day, slots_of_day
from meter_agent.uplink import readings_of, signed_body
from tests.meter_agent.support import BERLIN, DEVICE, HOUSE, KEY, NOON, SECRETS, STEP, store

TWO_MB = 2 << 20
MAY = [date(2026, 5, day) for day in range(1, 32)]


def sign(sequence: int, step: int, readings: list[Reading]) -> bytes:
    return signed_body(DEVICE, KEY, SECRETS, sequence, step, readings)


def day_of_readings(day: date, points: int) -> list[Reading]:
    names = [bytes([n]) * 32 for n in range(1, points + 1)]
    return [Reading(name, 1, slot, 7) for slot in slots_of_day(day, BERLIN, STEP) for name in names]


def fill(journal: Journal, days: list[date], points: int = 10) -> dict[date, int]:
    """A month of ten points, thinned as the agent does it; returns what each day lost."""
    lost: dict[date, int] = {}
    for day in days:
        for day_lost, count in journal.thin(BERLIN, NOON):
            lost[day_lost] = count
        store(journal, day_of_readings(day, points))
    return lost


def test_a_month_of_ten_points_with_two_registers_fits_the_smallest_journal_but_for_its_first_days(
    tmp_path: Path,
) -> None:
    with Journal(tmp_path / "journal", DEVICE, TWO_MB) as journal:
        lost = fill(journal, MAY, points=20)
        kept = {local_day(slot, BERLIN) for (slot,) in journal._db.execute("SELECT DISTINCT slot FROM readings")}
        assert list(lost) == MAY[: len(lost)], "the oldest days go first"
        assert kept == set(MAY) - set(lost)
        assert set(lost.values()) == {96 * 20}
        assert [thinned["day"] for thinned in journal.status()["thinned"]] == [day.isoformat() for day in lost]
        for day in MAY:
            totals = journal.totals(day_number(day))
            assert [(total.energy, total.seconds) for total in totals] == [(96 * 7, 86_400)] * 20
    assert sum(path.stat().st_size for path in tmp_path.glob("journal*")) < 2 * TWO_MB


def test_thinning_takes_sealed_batches_of_the_oldest_days_too(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", DEVICE, TWO_MB) as journal:
        secrets = {bytes([n]) * 32: bytes(32) for n in range(1, 21)}
        store(journal, day_of_readings(MAY[0], 20))
        journal.seal(secrets, BERLIN, lambda *_: b"x" * 50_000)
        assert journal.next_batch() is not None
        lost = fill(journal, MAY[1:], points=20)
        assert lost[MAY[0]] == 96 * 20
        assert journal.next_batch() is None


def test_refused_batches_lose_their_content_before_any_reading_goes(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", DEVICE, TWO_MB) as journal:
        sequence = 0
        while not journal.is_tight:
            store(journal, [Reading(HOUSE, 1, sequence * STEP, 5)])
            journal.seal(SECRETS, BERLIN, lambda *_: b"x" * 100_000)
            sequence += 1
            journal.refuse(sequence, 422, "too large", NOON)
        store(journal, [Reading(HOUSE, 1, NOON, 5)])
        assert journal.thin(BERLIN, NOON) == []
        assert journal.status()["refused"][0]["problem"] == "too large"
        assert journal.status()["backlog"]["readings"] == 1


def test_a_full_disk_is_named_and_what_was_written_is_whole(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", DEVICE) as journal:
        store(journal, [Reading(HOUSE, 1, 0, 5)])
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(JournalFull, match="cannot be written"):
            store(journal, day_of_readings(MAY[0], 20))
        assert journal.status()["backlog"]["readings"] == 1
        journal._db.execute("PRAGMA max_page_count = 100000")
        store(journal, day_of_readings(MAY[0], 20))
        assert journal.status()["backlog"]["readings"] == 1 + 96 * 20


@pytest.mark.parametrize("where", [0, 5000])
def test_a_damaged_journal_is_put_aside_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: int
) -> None:
    path = tmp_path / "journal"
    with Journal(path, DEVICE) as journal:
        store(journal, day_of_readings(MAY[0], 20))
    content = bytearray(path.read_bytes())
    content[where : where + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with open_journal(path, DEVICE, None) as journal:
        store(journal, [Reading(HOUSE, 1, 0, 5)])
        assert journal.status()["backlog"]["readings"] == 1
    (aside,) = tmp_path.glob("journal.damaged-*")
    assert aside.stat().st_size == len(content)
    assert f"it is put aside as {aside}" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


def test_a_batch_whose_sequence_was_used_is_sealed_again_beyond_it(tmp_path: Path) -> None:
    kept = [Reading(HOUSE, 1, NOON, 5), Reading(HOUSE, 1, NOON + STEP, 6, Quality.SUBSTITUTE)]
    with Journal(tmp_path / "journal", DEVICE) as journal:
        store(journal, kept)
        journal.seal(SECRETS, BERLIN, sign)
        batch = journal.next_batch()
        assert batch is not None
        assert batch.sequence == 1
        journal.unseal(1, readings_of(json.loads(batch.body)), STEP, least=NOON)
        assert journal.next_batch() is None
        journal.seal(SECRETS, BERLIN, sign)
        again = journal.next_batch()
        assert again is not None
        assert again.sequence == NOON + 1
        assert readings_of(json.loads(again.body)) == kept


def test_a_batch_stays_until_every_destination_has_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", DEVICE) as journal:
        store(journal, [Reading(HOUSE, 1, 0, 5)])
        journal.seal(SECRETS, BERLIN, sign, ("market", "plant"))
        journal.acknowledge(1, "stored", NOON, "market")
        assert journal.next_batch("market") is None
        assert journal.next_batch("plant") is not None
        assert journal.keep_destinations(["market"]) == 1
        assert journal.status()["backlog"]["batches"] == 0


def test_units_do_not_share_a_batch(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", DEVICE) as journal:
        store(journal, [Reading(HOUSE, register, 0, 5) for register in (1, 2, 3, 5, 8)])
        found = []
        while journal.seal(SECRETS, BERLIN, sign):
            batch = journal.next_batch()
            assert batch is not None
            body = json.loads(batch.body)
            found.append((body["statement"]["unit"], [reading.register for reading in readings_of(body)]))
            journal.acknowledge(batch.sequence, "stored", 1)
    assert sorted(found) == [("1", [1, 2, 3]), ("2", [5, 8])]


def test_totals_count_what_is_not_sent_and_which_are_substitutes(tmp_path: Path) -> None:
    day = local_day(NOON, BERLIN)
    readings = [
        Reading(HOUSE, Register.GENERATION, NOON, 100),
        Reading(HOUSE, Register.GENERATION, NOON + STEP, 50, Quality.SUBSTITUTE),
        Reading(HOUSE, Register.GRID_EXPORT, NOON, 30),
    ]
    with Journal(tmp_path / "journal", DEVICE) as journal:
        for reading in readings:
            journal.store(HOUSE, PointState(), [reading], STEP, BERLIN, (Register.CONSUMPTION, Register.GENERATION))
        totals = {total.register: total for total in journal.totals(day_number(day))}
        waiting = journal.status()["backlog"]["readings"]
    generated, exported = totals[Register.GENERATION], totals[Register.GRID_EXPORT]
    assert (generated.energy, generated.seconds, generated.substitutes) == (150, 2 * STEP, 1)
    assert (exported.energy, exported.seconds) == (30, STEP)
    assert waiting == 2


def test_a_journal_of_the_first_version_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(SCHEMA)
    db.execute("INSERT INTO device VALUES (1, ?, 7)", (DEVICE,))
    db.execute("INSERT INTO batches VALUES (7, 1, ?)", (sign(7, STEP, [Reading(HOUSE, 1, 0, 5)]),))
    db.execute("INSERT INTO refused VALUES (6, 1, x'', 5, 422, 'no')")
    db.execute("INSERT INTO acknowledgement VALUES (1, 5, 'stored', 9)")
    db.execute("PRAGMA user_version = 1")
    db.close()
    with Journal(path, DEVICE) as journal:
        batch = journal.next_batch()
        assert batch is not None
        assert batch.sequence == 7
    status = read_status(path)
    assert status["last_acknowledgement"]["market"]["sequence"] == 5
    assert [(refused["destination"], refused["sequence"]) for refused in status["refused"]] == [("market", 6)]
