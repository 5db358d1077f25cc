"""Killed at random moments while the head-end fails, answers late or loses the reply: every slot once, none missing."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.meter_agent.support import KEY, NOON, STEP, HeadEnd, expected

ROOT = Path(__file__).parents[2]
TROUBLE: tuple[Any, ...] = (
    "store",
    "late",
    "hang up",
    "hang up after storing",
    (500, "text/plain", "broken"),
    (503, "application/problem+json", {"title": "later"}),
    (404, "text/html", "a proxy's word"),
)


def check_kills(folder: Path, head_end: HeadEnd, kills: int, slots: int, seed: int) -> None:
    chosen = random.Random(seed)
    head_end.script = [chosen.choice(TROUBLE) for _ in range(kills * 2)]
    command = [sys.executable, "-m", "tests.meter_agent.kills", str(folder), head_end.address]
    command += [str(kills), str(slots), str(seed), KEY.secret.hex()]
    finished = subprocess.run(command, cwd=ROOT, timeout=60 + kills, check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    times = range(NOON, NOON + slots * STEP, STEP)
    assert head_end.readings == expected(times)
    assert sorted(head_end.stored) == list(range(1, len(head_end.stored) + 1))


def test_an_agent_that_is_killed_fifty_times_sends_every_slot_once(tmp_path: Path, head_end: HeadEnd) -> None:
    check_kills(tmp_path, head_end, kills=50, slots=1000, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_an_agent_that_is_killed_a_thousand_times_sends_every_slot_once(tmp_path: Path, head_end: HeadEnd) -> None:
    check_kills(tmp_path, head_end, kills=1000, slots=20_000, seed=2)
