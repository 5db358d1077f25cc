"""A real process, killed with SIGKILL at the worst moments, against a real HTTP server."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evidence.readings import Reading
from meter_agent.journal import Journal
from meter_agent.uplink import readings_of
from tests.meter_agent.support import DEVICE, HOUSE, KEY, STEP, HeadEnd, store

DAY = 86400

PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
import httpx
from evidence.keys import Algorithm, SoftwareKey
from meter_agent.journal import Journal
from meter_agent.uplink import readings_of
from tests.meter_agent.support import DEVICE, make_config, make_uplink

path, server, moment, secret = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Transport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request):
        if moment == "before sending":
            die()
        answer = await super().handle_async_request(request)
        if moment == "after the answer":
            die()
        return answer

class DyingJournal(Journal):
    def acknowledge(self, *about):
        if moment == "before deleting":
            die()
        super().acknowledge(*about)
        if moment == "after deleting":
            die()

async def work():
    with DyingJournal(Path(path), DEVICE) as journal:
        key = SoftwareKey(Algorithm.P256, bytes.fromhex(secret))
        async with httpx.AsyncClient(transport=Transport()) as client:
            await make_uplink(make_config(Path("."), server), journal, client, key=key).drain(3)

asyncio.run(work())
"""

ROOT = Path(__file__).parents[2]


def run(path: Path, server: str, moment: str) -> int:
    command = [sys.executable, "-c", PROGRAM, str(path), server, moment, KEY.secret.hex()]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


@pytest.mark.parametrize(
    ("moment", "received"),
    [("before sending", 0), ("after the answer", 1), ("before deleting", 1), ("after deleting", 1)],
)
def test_a_killed_agent_loses_nothing_and_sends_the_same_bytes(
    tmp_path: Path, head_end: HeadEnd, moment: str, received: int
) -> None:
    path = tmp_path / "journal"
    kept = [Reading(HOUSE, 1, day * DAY + n * STEP, n) for day in (1, 2) for n in range(4)]
    with Journal(path, DEVICE) as journal:
        store(journal, kept)

    assert run(path, head_end.address, moment) == -signal.SIGKILL
    assert len(head_end.received) == received
    with Journal(path, DEVICE) as journal:
        waiting = journal.next_batch()
    if moment == "after deleting":
        assert waiting is None
    else:
        assert waiting is not None
        assert readings_of(json.loads(waiting.body)) == kept[:4]

    assert run(path, head_end.address, "never") == 0
    assert head_end.readings == kept
    if waiting is not None:
        assert [body for body in head_end.received if body == waiting.body] == [waiting.body] * (received + 1)
    with Journal(path, DEVICE) as journal:
        assert journal.next_batch() is None
        assert journal.status()["last_sequence"] == 2
