"""Starts, finds and ends the programs of a network."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.fabric.description import PROJECT, NetworkError
from deploy.fabric.users import User, acting_as

PROGRAMS = ("peer", "orderer", "configtxgen", "cryptogen", "osnadmin")

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 15.0
COMMAND_TIMEOUT = 90.0


@dataclass(frozen=True)
class Program:
    """One process of the network. `is_ready` says whether it answers.

    A program that runs as another user runs in that one's `home`.
    """

    name: str
    argv: Sequence[str]
    configuration: Path | None
    is_ready: Callable[[], bool]
    user: User | None = None
    home: Path = PROJECT


class Processes:
    """Processes in groups of their own. A pid file says enough to know each again when its pid was given to another."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self._logs = logs
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, programs: Iterable[Program]) -> None:
        """Start those that do not run, and wait until all answer."""
        programs = list(programs)
        for program in programs:
            if self.find(program.name) is None:
                self._spawn(program)
        deadline = time.monotonic() + START_TIMEOUT
        for program in programs:
            self._wait_for(program, deadline)

    def _spawn(self, program: Program) -> None:
        for folder in (self.folder, self._logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        variables = {
            "FABRIC_LOGGING_FORMAT": "%{time:2006-01-02T15:04:05.000Z07:00} %{level} [%{module}] %{message}",
            "FABRIC_LOGGING_SPEC": "grpc=error:info",
        }
        if program.configuration:
            variables["FABRIC_CFG_PATH"] = str(program.configuration)
        with self._log(program.name).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 programs of our own
                acting_as(program.user, program.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=program.home,
                env=environment(variables, program.home if program.user else None),
                start_new_session=True,
            )
        self._children[child.pid] = child
        record = {"pid": child.pid, "started": psutil.Process(child.pid).create_time()}
        self._record(program.name).write_text(json.dumps(record), encoding="utf-8")

    def _wait_for(self, program: Program, deadline: float) -> None:
        while not program.is_ready():
            if self.find(program.name) is None:
                raise NetworkError(f"{program.name} ended:\n{tail(self._log(program.name))}")
            if time.monotonic() > deadline:
                raise NetworkError(f"{program.name} does not answer; its log is {self._log(program.name)}")
            time.sleep(0.05)

    def find(self, name: str) -> psutil.Process | None:
        """The running process of that name."""
        try:
            record = json.loads(self._record(name).read_text(encoding="utf-8"))
            process = psutil.Process(record["pid"])
            is_same = process.create_time() == record["started"]
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return process if is_same and not has_ended(process) else None

    def running(self) -> list[str]:
        return [path.stem for path in self.folder.glob("*.pid") if self.find(path.stem)]

    def stop(self, names: Iterable[str], number: signal.Signals = signal.SIGTERM) -> None:
        """End those that run, each with all of its group, one after the other."""
        for name in names:
            process = self.find(name)
            if process is not None:
                os.killpg(process.pid, number)
                self._wait_for_end(name, process)
                if child := self._children.pop(process.pid, None):
                    child.wait()
            self._record(name).unlink(missing_ok=True)
        self._children = {pid: child for pid, child in self._children.items() if child.poll() is None}

    def _wait_for_end(self, name: str, process: psutil.Process) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT
        while not has_ended(process):
            if time.monotonic() > deadline:
                print(f"{name} did not stop in {STOP_TIMEOUT:.0f} s and is killed", file=sys.stderr)
                os.killpg(process.pid, signal.SIGKILL)
                deadline += STOP_TIMEOUT
            time.sleep(0.02)

    def rename(self, old: str, new: str) -> None:
        self._record(old).replace(self._record(new))
        if self._log(new).exists():
            self._log(new).replace(self._log(new).with_suffix(".log.1"))
        self._log(old).replace(self._log(new))

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def has_ended(process: psutil.Process) -> bool:
    """True also for a process that its parent has not waited for yet; false while one of its threads still runs."""
    try:
        if not process.is_running():
            return True
        return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)
    except psutil.NoSuchProcess:
        return True


def check_programs() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise NetworkError(f"{', '.join(missing)} {verb} not on PATH: {os.environ.get('PATH', '')}")


def run(argv: Sequence[str], user: User | None = None, home: Path | None = None, **variables: str) -> str:
    """Run a program to its end and return its output; one of another user's in that one's home.

    Raises `NetworkError` with what it said.
    """
    try:
        finished: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 programs of our own
            acting_as(user, argv),
            cwd=home,
            env=environment(variables, home),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise NetworkError(f"{' '.join(argv[:4])} took longer than {COMMAND_TIMEOUT:.0f} s") from None
    # osnadmin ends with 0 whatever the orderer answers.
    if finished.returncode or finished.stdout.startswith("Status: 4"):
        raise NetworkError(f"{' '.join(argv[:4])} failed:\n{finished.stdout}{finished.stderr}".rstrip())
    return finished.stdout


def write_as(user: User | None, path: Path, content: bytes) -> None:
    """Write a file in a folder of the user's, who may have put a link to anything in its place.

    Raises `NetworkError` where the user may not write there.
    """
    if user is None:
        path.write_bytes(content)
        return
    command = acting_as(user, ["tee", str(path)])
    finished = subprocess.run(command, input=content, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603
    if finished.returncode:
        raise NetworkError(f"{path} cannot be written: {finished.stderr.decode(errors='replace').strip()}")


def environment(variables: Mapping[str, str], home: Path | None = None) -> dict[str, str]:
    """Ours without what Fabric would read as settings, and without the secrets of anything else."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    own = {name: os.environ[name] for name in kept if name in os.environ}
    return {**own, **({"HOME": str(home)} if home else {}), **variables}


def tail(path: Path, lines: int = 8) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
