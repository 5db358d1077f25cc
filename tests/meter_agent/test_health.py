"""What the service manager hears, and when a new release counts as working."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter_agent.daemon import Agent
from meter_agent.health import Heartbeat, has_worked, notify
from meter_agent.journal import Journal
from meter_agent.slots import slot_start
from tests.meter_agent.support import KEY, NOON, STEP, make_config


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


def heard(manager: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager.recv(1000).decode())
        except BlockingIOError:
            return found


def test_the_service_manager_hears_that_it_is_ready_and_goes_on(manager: socket.socket) -> None:
    beat = Heartbeat()
    beat()
    beat()
    assert heard(manager) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    assert notify("STOPPING=1", "STATUS=x")
    assert heard(manager) == ["STOPPING=1\nSTATUS=x"]


def test_without_a_service_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "@em-nobody-listens")
    assert not notify("READY=1")


def test_the_heart_beats_with_the_loop_that_reads_and_stops_with_it(tmp_path: Path, journal: Journal) -> None:
    """A meter that keeps the loop from coming round keeps the heart from beating."""
    beats: list[float] = []
    now = [float(slot_start(NOON, STEP) + 100)]

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        await asyncio.sleep(0)

    async def work() -> None:
        async with Agent(make_config(tmp_path), journal, KEY, lambda: now[0], sleep) as agent:
            agent.beat = lambda: beats.append(now[0])
            hanging = asyncio.Event()

            async def hang(boundary: int, *, patient: bool = True) -> bool:
                hanging.set()
                return await asyncio.Event().wait()

            agent.read_boundary = hang  # type: ignore[method-assign]
            task = asyncio.create_task(agent.read_for_ever())
            await hanging.wait()
            # Whoever wants to end the agent on purpose waits for the slot.
            assert agent.reading.locked()
            count = len(beats)
            await asyncio.sleep(0.05)
            assert len(beats) == count > 5
            task.cancel()

    asyncio.run(work())
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(beats))


def test_a_release_works_once_it_has_read_and_sent(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    status = journal.status()
    assert not has_worked(path, 0)
    for reading, acknowledgement, works in (
        (None, "2026-06-10T11:00:05Z", False),
        ("2026-06-10T11:00:00Z", None, False),
        ("2026-06-10T10:59:59Z", "2026-06-10T11:00:05Z", False),
        ("2026-06-10T11:00:00Z", "2026-06-10T10:59:59Z", False),
        ("2026-06-10T11:00:00Z", "2026-06-10T11:00:05Z", True),
    ):
        acknowledged = {} if acknowledgement is None else {"market": {"at": acknowledgement}}
        shown = status | {"last_reading": reading, "last_acknowledgement": acknowledged}
        monkeypatch.setattr("meter_agent.health.read_status", lambda path, shown=shown: shown)
        assert has_worked(path, NOON) is works
