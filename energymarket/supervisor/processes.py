"""Processes and folders of our own: what was started, whether it still runs, how it is ended."""

import contextlib
import json
import os
import signal
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

# A clock set between two looks shifts the start time that the system reports; nobody reuses a pid this fast.
START_TIME_TOLERANCE = 5.0


class SupervisorError(Exception):
    """A local server or worker cannot be started or kept running; the message says which and why."""


@dataclass(frozen=True)
class Record:
    """What a pid file says: enough to know the process again, even when its pid was given to another since."""

    name: str
    pid: int
    started: float  # seconds since the epoch, as the system reports it
    stop_order: int
    stop_signal: int

    def write(self, folder: Path) -> None:
        draft = folder / f".{self.name}.pid"
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(folder / f"{self.name}.pid")

    def remove(self, folder: Path) -> None:
        (folder / f"{self.name}.pid").unlink(missing_ok=True)

    def process(self) -> psutil.Process | None:
        """The process itself, None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= START_TIME_TOLERANCE
        except psutil.NoSuchProcess:
            return None
        return process if same and not has_ended(process) else None


def read_records(folder: Path) -> list[Record]:
    """All pid files of a folder, in the order in which their processes are to be stopped."""
    records = [Record(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("[!.]*.pid")]
    return sorted(records, key=lambda record: record.stop_order)


def has_ended(process: psutil.Process) -> bool:
    """True also for a process that nobody has waited for yet: until then its pid, and its group's, stay its own."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def end_in_time(process: psutil.Process, timeout: float) -> bool:
    """Whether the process ends within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not has_ended(process):
        if not wait_until(deadline):
            return False
    return True


def end_stale(process: psutil.Process, stop_signal: int, timeout: float = 10.0) -> None:
    """End a process that lost its supervisor, by SIGKILL to its whole group when it takes too long."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
    if not end_in_time(process, timeout):
        kill_group(process.pid)
        end_in_time(process, timeout)


def kill_group(pid: int) -> None:
    """SIGKILL to the process group that `pid` leads; to be called while `pid` is not reaped, so it cannot be reused."""
    # macOS answers PermissionError for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_stale_postgres(data: Path) -> None:
    """End a server that runs on this cluster, as its own postmaster.pid and command line say."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        process = psutil.Process(int(lines[0]))
        command = process.cmdline()
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess, psutil.ZombieProcess):
        return
    if str(data) in command:
        end_stale(process, signal.SIGINT, timeout=30.0)


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it. As root the new ones are passable for the unprivileged user."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            part.chmod(0o755)


def make_private_folder(folder: Path, uid: int, gid: int) -> None:
    """Make a folder that only `uid` can enter, or check that it is one. Raises SupervisorError.

    It may stand in /tmp, where anybody could have put something of that name before us.
    """
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, uid, gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
        raise SupervisorError(f"{folder} is not a folder of user {uid}; remove it.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SupervisorError(
            f"{folder} can be read by others (mode {stat.S_IMODE(found.st_mode):o}). Set its mode to 700; where the "
            "file system keeps no modes (a Windows drive under WSL), name another folder in ENERGYMARKET_DATA_DIR."
        )


def wait_until(deadline: float) -> bool:
    """Sleep a moment; False once the deadline (monotonic seconds) has passed."""
    time.sleep(0.05)
    return time.monotonic() < deadline
