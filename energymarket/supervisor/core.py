"""Starts children, watches them, and ends exactly what it started."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn, Self

import psutil

from energymarket.supervisor.places import Places
from energymarket.supervisor.processes import (
    Record,
    SupervisorError,
    end_in_time,
    end_stale,
    end_stale_postgres,
    has_ended,
    kill_group,
    make_folder,
    make_private_folder,
    read_records,
)

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopOrder(IntEnum):
    """Who is stopped first: each one before what it needs."""

    AGENTS = 10
    WEB = 20
    SCHEDULER = 30
    WORKER = 40
    REDIS = 50
    POSTGRES = 60


class AlreadyRunning(SupervisorError):
    """Another supervisor, alive, owns the data folder."""


class ChildDied(SupervisorError):
    """A child ended without being asked to."""


@dataclass(frozen=True)
class Child:
    """One program to run. `environment` is added to ours; `user` is (uid, gid) when it is not to run as us.

    A job ends by itself; `wait_for` gives its exit code.
    """

    name: str
    argv: Sequence[str]
    stop_order: StopOrder
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 15.0  # seconds from the signal to SIGKILL
    is_job: bool = False


@dataclass(frozen=True)
class Running:
    child: Child
    process: subprocess.Popen[bytes]
    watched: psutil.Process  # the same process, looked at without reaping it
    record: Record


def to_stderr(message: str) -> None:
    print(f"energymarket: {message}", file=sys.stderr, flush=True)


class Supervisor:
    """Owner of a data folder and of the processes that work on it.

        with Supervisor(data_dir) as supervisor:
            start_postgres(supervisor)
            supervisor.start(Child("web", [...], StopOrder.WEB))
            supervisor.run()

    Entering takes the folder's lock, which the system releases however the owner ends, and ends what an owner that
    was killed left behind. With `share`, a folder that somebody else owns may be entered: start_postgres and
    start_redis then give the running servers, and nothing else can be started.
    """

    def __init__(self, data_dir: Path, *, share: bool = False, say: Callable[[str], None] = to_stderr) -> None:
        self.places = Places(data_dir)
        self.share = share
        self.say = say
        self.is_owner = False
        self._running: dict[str, Running] = {}
        self._lock: IO[str] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._said: set[str] = set()
        self._starting = False
        self._interrupted = False

    def __enter__(self) -> Self:
        self.acquire()
        for number in ENDING_SIGNALS:
            self._handlers[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not cut the stopping short: what is left running would be nobody's.
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def acquire(self) -> None:
        """Become the owner of the data folder and end stale children. Raises AlreadyRunning unless shared."""
        make_folder(self.places.root)
        lock = self.places.lock.open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            if self.share:
                return
            raise AlreadyRunning(f"{self.places.root} is in use by process {owner}.") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock
        self.is_owner = True
        for folder in (self.places.pids, self.places.logs):
            make_private_folder(folder, os.geteuid(), os.getegid())
        self._end_stale_children()

    def say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self.say(message)

    def start(self, child: Child) -> None:
        """Start a child in a process group of its own, its output in a log file. Raises SupervisorError."""
        if not self.is_owner:
            raise AlreadyRunning(f"{self.places.root} belongs to another process; {child.name} is not started.")
        if child.name in self._running:
            raise SupervisorError(f"{child.name} is running already.")
        # A signal between the fork and the entry in _running would leave a child that nobody stops.
        self._starting = True
        try:
            process = self._spawn(child)
            watched = psutil.Process(process.pid)
            record = Record(child.name, process.pid, watched.create_time(), child.stop_order, child.stop_signal)
            self._running[child.name] = Running(child, process, watched, record)
            record.write(self.places.pids)
        finally:
            self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt

    def run(self) -> NoReturn:
        """Watch until a signal comes (KeyboardInterrupt). Raises ChildDied when a child ends by itself."""
        while True:
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """Raises ChildDied when one of the children has ended that was to go on."""
        for name, running in self._running.items():
            if not running.child.is_job and has_ended(running.watched):
                kill_group(running.process.pid)
                code = running.process.wait()
                how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
                raise ChildDied(f"{name} ended unexpectedly ({how}); its log is {self.log_file(name)}")

    def wait_for(self, name: str) -> int:
        """Watch until a job has ended; gives its exit code, negative for a signal. Raises ChildDied as `check`."""
        running = self._running[name]
        while not has_ended(running.watched):
            self.check()
            time.sleep(0.05)
        kill_group(running.process.pid)
        running.process.wait()
        self._forget(running)
        return running.process.returncode

    def pid(self, name: str) -> int:
        return self._running[name].process.pid

    def is_running(self, name: str) -> bool:
        return name in self._running

    def log_file(self, name: str) -> Path:
        return self.places.logs / f"{name}.log"

    def stop_child(self, name: str) -> None:
        """Stop one child and everything in its process group; it can be started again."""
        self._stop([self._running[name]])

    def stop(self) -> None:
        """Stop all children in their order, then give the data folder up."""
        for order in sorted({running.child.stop_order for running in self._running.values()}):
            self._stop([running for running in self._running.values() if running.child.stop_order == order])
        if self._lock:
            self._lock.close()
            self._lock = None
            self.is_owner = False

    def _stop(self, together: list[Running]) -> None:
        for running in together:
            # Not Popen.send_signal: it reaps a process that has ended, and with it goes our hold on the group's id.
            if running.process.returncode is None:
                os.kill(running.process.pid, running.child.stop_signal)
        for running in together:
            if running.process.returncode is None:
                if not end_in_time(running.watched, running.child.stop_timeout):
                    self.say(f"{running.child.name} did not stop in {running.child.stop_timeout:.0f} s and is killed")
                kill_group(running.process.pid)
                running.process.wait()
            self._forget(running)

    def _forget(self, running: Running) -> None:
        running.record.remove(self.places.pids)
        del self._running[running.child.name]

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        log = self.log_file(child.name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        uid, gid = child.user or (None, None)
        environment = {**os.environ, "ENERGYMARKET_DATA_DIR": str(self.places.root), **child.environment}
        with log.open("wb") as output:
            try:
                return subprocess.Popen(  # noqa: S603 programs of our own
                    list(child.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=child.folder,
                    env=environment,
                    start_new_session=True,
                    user=uid,
                    group=gid,
                    extra_groups=None if uid is None else [],
                )
            except OSError as error:
                raise SupervisorError(f"{child.name} cannot be started: {error}") from error

    def _end_stale_children(self) -> None:
        for record in read_records(self.places.pids):
            process = record.process()
            if process:
                self.say(f"ending {record.name} (process {record.pid}), left over from an earlier run")
                end_stale(process, record.stop_signal)
            record.remove(self.places.pids)
        end_stale_postgres(self.places.postgres_data)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        if not self._starting:
            raise KeyboardInterrupt
