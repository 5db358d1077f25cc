from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from meter_agent.display import lines_of, pages, show
from meter_agent.journal import Journal
from tests.meter_agent.support import BERLIN, NOON

STATUS: dict[str, Any] = {
    "device": "0d" * 32,
    "last_reading": "2026-06-10T11:00:00Z",
    "last_acknowledgement": {
        "market": {"sequence": 1, "status": "stored", "at": "2026-06-10T10:47:03Z"},
        "plant": {"sequence": 1, "status": "stored", "at": "2026-06-09T10:47:03Z"},
    },
    "backlog": {"readings": 4, "readings_in_batches": 8, "oldest": None, "batches": 1},
    "refused": [],
}


def test_a_display_of_four_lines() -> None:
    assert pages(lines_of(STATUS, NOON + 120, BERLIN), 20, 4) == [
        ["10.06 13:02 OK      ", "read    13:00       ", "sent    12:47       ", "waiting 12          "],
        ["10.06 13:02 OK      ", "box     0d0d0d0d    ", " " * 20, " " * 20],
    ]


@pytest.mark.parametrize(
    ("change", "seconds", "head"),
    [
        ({}, 0, "10.06 13:00 OK"),
        ({"last_reading": None}, 0, "10.06 13:00 NOT READ"),
        ({}, 7201, "10.06 15:00 NOT READ"),
        ({"last_acknowledgement": {}}, 0, "10.06 13:00 NOT SENT"),
        ({"last_reading": "2026-06-10T13:00:00Z"}, 7200, "10.06 15:00 NOT SENT"),
        ({"refused": [{}]}, 0, "10.06 13:00 REFUSED"),
    ],
)
def test_a_worry_stands_in_the_first_line(change: dict[str, Any], seconds: int, head: str) -> None:
    assert lines_of(STATUS | change, NOON + seconds, BERLIN)[0] == head


def test_other_days_are_shown_with_their_date() -> None:
    lines = lines_of(STATUS | {"last_reading": "2026-06-09T22:00:00Z"}, NOON, BERLIN)
    assert lines[1] == "read    00:00"
    assert lines_of(STATUS | {"last_reading": "2026-06-09T21:45:00Z"}, NOON, BERLIN)[1] == "read    09.06 23:45"


@pytest.mark.parametrize(("columns", "rows"), [(16, 2), (8, 1), (40, 2), (20, 8)])
def test_every_page_fills_the_display(columns: int, rows: int) -> None:
    found = pages(lines_of(STATUS, NOON, BERLIN), columns, rows)
    assert all(len(page) == rows and all(len(line) == columns for line in page) for page in found)


def test_characters_that_a_display_does_not_have() -> None:
    assert pages(["Zähler"], 8, 1) == [["Z?hler  "]]


def test_pages_follow_each_other(tmp_path: Path, journal: Journal) -> None:
    out = StringIO()
    slept: list[float] = []
    show(tmp_path / "journal.sqlite", BERLIN, 16, 2, once=True, out=out, wall=lambda: NOON, sleep=slept.append)
    text = out.getvalue().splitlines()
    assert (len(text), len({len(line) for line in text}), slept) == (8, 1, [])
    assert text[:2] == ["10.06 13:00 NOT ", "read    never   "]
    out = StringIO()
    show(tmp_path / "none.sqlite", BERLIN, 24, 2, once=True, out=out, wall=lambda: NOON)
    assert out.getvalue().startswith("10.06 13:00 NO JOURNAL")
