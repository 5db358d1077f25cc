"""The channel in a process of its own, killed with SIGKILL at the worst moments: done at most once, answered once."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence.boxes import AnswerState, InstructionKind
from tests.meter_agent.support import KEY
from tests.meter_agent.utility import UTILITY, Utility, running_utility

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, contextlib, os, signal, sys
from pathlib import Path
import httpx
from evidence.boxes import InstructionKind
from evidence.keys import Algorithm, SoftwareKey
from meter_agent.channel.instants import Instants
from meter_agent.channel.line import Line
from meter_agent.channel.orders import INTERRUPTED, done
from meter_agent.channel.service import Channel
from meter_agent.channel.store import Store
from meter_agent.journal import Journal
from meter_agent.link import Allowance
from tests.meter_agent.support import DEVICE

folder, server, moment, secret, utility = sys.argv[1:]

def die(at):
    if at == moment:
        os.kill(os.getpid(), signal.SIGKILL)

class DyingStore(Store):
    def begin(self, *about):
        die("before it is begun")
        super().begin(*about)
        die("once it is begun")
    def answer(self, *about):
        die("once it is done")
        super().answer(*about)
        die("once the answer is stored")
    def posted(self, *about):
        die("once the answer is posted")
        super().posted(*about)
        die("at the end")

class Handler:
    async def act(self, order):
        with open(Path(folder) / "done", "a") as file:
            file.write("x")
        return done()
    async def resume(self, order):
        return INTERRUPTED

async def work():
    key = SoftwareKey(Algorithm.P256, bytes.fromhex(secret))
    trusted = SoftwareKey(Algorithm.P256, bytes.fromhex(utility)).public_key
    with Journal(Path(folder) / "journal.sqlite", DEVICE) as journal:
        async with httpx.AsyncClient() as client:
            store = DyingStore(Path(folder) / "channel.sqlite")
            line = Line(server, DEVICE, key, client, Allowance(journal, None))
            channel = Channel(DEVICE, key, [trusted], store, line, Instants(store.reached()[1]),
                              contextlib.nullcontext, wait_seconds=1, pause_seconds=0)
            channel.handlers[InstructionKind.OUTPUT] = Handler()
            async with asyncio.timeout(20):
                await channel.run()

asyncio.run(work())
"""


@pytest.fixture
def utility() -> Iterator[Utility]:
    with running_utility() as running:
        yield running


def start(folder: Path, utility: Utility, moment: str) -> subprocess.Popen[bytes]:
    arguments = [str(folder), utility.address, moment, KEY.secret.hex(), UTILITY.secret.hex()]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT)


@pytest.mark.parametrize(
    ("moment", "times", "state"),
    [
        ("before it is begun", 1, AnswerState.DONE),
        ("once it is begun", 0, AnswerState.FAILED),
        ("once it is done", 1, AnswerState.FAILED),
        ("once the answer is stored", 1, AnswerState.DONE),
        ("once the answer is posted", 1, AnswerState.DONE),
        ("at the end", 1, AnswerState.DONE),
    ],
)
def test_killed_and_started_again(
    tmp_path: Path, utility: Utility, moment: str, times: int, state: AnswerState
) -> None:
    utility.tell(InstructionKind.OUTPUT)
    killed = start(tmp_path, utility, moment)
    assert killed.wait(30) == -signal.SIGKILL
    again = start(tmp_path, utility, "never")
    try:
        assert utility.wait_for(1)[0] == state
        # It goes on: the next one is done, and the first is not done again.
        utility.tell(InstructionKind.OUTPUT)
        assert utility.wait_for(2)[0] == AnswerState.DONE
        time.sleep(0.1)
    finally:
        again.kill()
        again.wait()
    assert (tmp_path / "done").read_text() == "x" * (times + 1)
    assert len(utility.answers) == 2
