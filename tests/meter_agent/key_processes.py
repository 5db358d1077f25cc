"""Key processes as a user starts them, each with a folder of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from meter_agent.keys import KeyUnavailable
from meter_agent.keys.remote import RemoteKeys

ROOT = Path(__file__).parents[2]
IN_A_FILE = 'kind = "file"\nfile = "key/device.pem"'


@dataclass
class KeyProcess:
    """The folder holds `keys.toml` of the process, its socket and its keys."""

    folder: Path
    command: tuple[str, ...] = ("meter_agent.keys",)
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def keys(self) -> RemoteKeys:
        return RemoteKeys(self.socket)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-m", *self.command, "--config", "keys.toml"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            assert self.process.poll() is None, self.log
            try:
                self.keys.held()
                return
            except KeyUnavailable:
                assert time.monotonic() < deadline, self.log

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def running_key_process(
    folder: Path, key: str = IN_A_FILE, settings: str = "", command: tuple[str, ...] = ("meter_agent.keys",)
) -> Iterator[KeyProcess]:
    """`key` is the table [key] of its settings, `settings` what stands before it."""
    (folder / "keys.toml").write_text(f'socket = "socket"\n{settings}\n[key]\n{key}\n')
    running = KeyProcess(folder, command)
    running.start()
    try:
        yield running
    finally:
        if running.process is not None and running.process.poll() is None:
            running.end()
