"""Ctrl-C ends what the demonstration started and nothing else; the next start goes on with its data."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from energymarket.supervisor.processes import has_ended
from tests.demo.programs import start_demo

OPEN = re.compile(r"is open: http://127\.0\.0\.1:(\d+)")
READY = "Ctrl-C ends everything"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


Start = Callable[[Path], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a demonstration; one that a failed test leaves running is ended."""
    started = []

    def start_one(folder: Path) -> subprocess.Popen[str]:
        started.append(start_demo(ENERGYMARKET_DATA_DIR=str(folder)))
        return started[-1]

    yield start_one
    for process in started:
        process.terminate()
        process.communicate(timeout=60)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the demonstration says up to the line with `text`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines) + process.communicate()[1])


def interrupt(process: subprocess.Popen[str]) -> str:
    """Ctrl-C; gives the rest of the output, once everything it had started is gone."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert [child for child in started if not has_ended(child)] == []
    return output


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.timeout(300)
def test_ctrl_c_and_a_second_start(short_folder: Path, bystander: subprocess.Popen[bytes], start: Start) -> None:
    first = start(short_folder)
    said = read_until(first, READY)
    found = OPEN.search(said)
    assert found is not None
    port = int(found[1])
    names = {path.stem for path in (short_folder / "pid").glob("*.pid")}
    assert {"postgres", "redis", "web", "worker", "scheduler", "meters", "agent-1"} <= names
    assert answers(port)
    assert "Everything that was started has ended." in interrupt(first)
    assert not answers(port)
    assert list((short_folder / "pid").iterdir()) == []
    assert bystander.poll() is None

    second = start(short_folder)
    again = read_until(second, READY)
    password = (short_folder / "demo" / "password").read_text().strip()
    assert password in said
    assert password in again
    assert "Making the market" not in again
    assert "invoices and credit notes issued" not in again
    interrupt(second)


def test_ctrl_c_while_agents_send(short_folder: Path, start: Start) -> None:
    process = start(short_folder)
    read_until(process, "read and send the day")
    time.sleep(0.3)
    interrupt(process)
    assert list((short_folder / "pid").iterdir()) == []
