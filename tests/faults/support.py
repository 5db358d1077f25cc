"""Commands under way while something fails, and what must hold once it is mended."""

import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.ledger.choices import CommandState
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command, Event
from apps.ledger.services.figures import Figures, figures
from apps.ledger.services.sweep import sweep
from ledger_adapters.base import Event as Told
from ledger_adapters.contract import Code
from tests.ledger.support import PROJECT, anchor, database_url, queue

RECOVERY = 60.0  # seconds in which everything has to go again
PAUSE = 0.1

soak_only = pytest.mark.soak


# Where a worker is killed; see `tests.faults.worker`.
PLACES = [
    pytest.param("stored", marks=soak_only),
    pytest.param("sent"),
    pytest.param("final", marks=soak_only),
]


class Sweeping:
    """A worker in a thread: sweeps again and again, as the periodic task does."""

    def __init__(self, ledger: str = DEFAULT) -> None:
        self.ledger = ledger
        self.errors: list[Exception] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    sweep(self.ledger)
                except Exception as error:
                    self.errors.append(error)
                self._stop.wait(PAUSE)
        finally:
            connection.close()

    def __enter__(self) -> "Sweeping":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()


@contextmanager
def sweeping(ledger: str = DEFAULT) -> Iterator[Sweeping]:
    """Whatever the ledger does, a sweep itself must not fail."""
    with Sweeping(ledger) as worker:
        yield worker
    if worker.errors:
        raise ExceptionGroup("sweeps failed", worker.errors[:3])


_numbers = itertools.count()


def queue_some(count: int = 12, ledger: str = DEFAULT) -> list[bytes]:
    """Anchors of six areas, whose streams are on several lanes. No two of a test run are alike."""
    numbers = itertools.islice(_numbers, count)
    return queue(*(anchor(1 + number % 6, number) for number in numbers), ledger=ledger)


def left(ids: Iterable[bytes]) -> int:
    return Command.objects.filter(command_id__in=list(ids)).exclude(state=CommandState.CONFIRMED).count()


def until(condition: Callable[[], object], seconds: float, complaint: str) -> float:
    """Seconds until the condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds, f"after {seconds:.0f} s {complaint}: {standing()}"
        time.sleep(0.05)
    return time.monotonic() - began


def until_confirmed(ids: list[bytes], seconds: float = RECOVERY) -> float:
    return until(lambda: not left(ids), seconds, "commands are open")


def until_reason(*words: str, seconds: float = 45.0) -> str:
    """Wait until `ledger status` has each of the words among what it gives as reasons; returns those."""
    until(lambda: all(word in standing() for word in words), seconds, f"nothing says {words}")
    return standing()


def standing() -> str:
    """Every reason that `ledger status` gives."""
    found = figures(DEFAULT)
    return "; ".join(reasons(found)) or "no reason given"


def reasons(found: Figures) -> Iterator[str]:
    if found.failure:
        yield found.failure
    for lane in found.lanes:
        if lane.last_failure and not lane.over:
            yield f"lane {lane.number}: {lane.last_failure}"


def on_ledger(ledger: str = DEFAULT) -> list[Told]:
    """Every outcome that the ledger itself has, in its order."""
    return [event for page in get_ledger(ledger).pages() for event in page.events]


def assert_applied_once(ids: Iterable[bytes], ledger: str = DEFAULT) -> None:
    """Each command was applied once, has its receipt, and streams kept their order; every event was heard once."""
    wanted = set(ids)
    told = on_ledger(ledger)
    applied = [event.outcome.id for event in told if event.outcome.code is Code.APPLIED and event.outcome.id in wanted]
    assert len(applied) == len(wanted) and set(applied) == wanted
    heard = Event.objects.filter(ledger=ledger).order_by("position").values_list("position", flat=True)
    assert list(heard) == [event.position for event in told]
    receipts = Command.objects.filter(command_id__in=wanted)
    assert {receipt.state for receipt in receipts} == {CommandState.CONFIRMED}
    for stream in {receipt.stream_id for receipt in receipts}:
        entries = [receipt.event or 0 for receipt in receipts.filter(stream=stream).order_by("position")]
        assert entries == sorted(set(entries))


def say(what: str, seconds: float) -> None:
    """How long recovery took, for those who run with `-s`."""
    print(f"\n  {what}: going again after {seconds:.1f} s")


def limit_files(pid: int, size: int | None) -> None:
    """A disk that is full: no file of a running process may grow beyond `size` bytes; None lifts it."""
    limit = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


class Worker:
    """A worker in a process of its own, which kills itself at a place (see `tests.faults.worker`)."""

    def __init__(self, ledgers: dict[str, Any], die_at: str, folder: Path) -> None:
        self._log = folder / "worker.log"
        environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "energymarket.settings.test",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", repr(ledgers), die_at],
                cwd=PROJECT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_dead(self) -> None:
        code = self._process.wait(60)
        assert code == -signal.SIGKILL, self._log.read_text(encoding="utf-8")
