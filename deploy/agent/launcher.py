"""Starts the release of meter-agent that is current, tries a new one, and goes back when it does not work.

    launcher.py --folder /opt/meter-agent -- run --config /etc/meter-agent/agent.toml

It stands outside the releases and imports none of them, so that a broken one cannot break it. A release on trial (see
meter_agent/update/folder.py for the files) must say within its time that it has read and sent. If it ends before that,
or its time is over, or it was started three times in vain - by a power cut, by the watchdog -, the one before it runs.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

RESTART = 75  # the exit status of a program that wants to be started again
MOST_STARTS = 3
LOOK = 0.2
GRACE = 20.0


class Launcher:
    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder = folder
        self.arguments = arguments
        self.is_stopping = False
        self.child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """The exit status of the program once it ends by itself, 0 when both are told to end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while True:
            self._settle_trial_before_start()
            status = self._run_once()
            if self.is_stopping:
                return 0
            if status != RESTART:
                # As a shell does for a program that a signal has ended.
                return status if status >= 0 else 128 - status

    def _settle_trial_before_start(self) -> None:
        trial = self._trial()
        if trial is None:
            return
        if trial["version"] != self._current():
            self._roll_back(trial, "never begun")
        elif trial["starts"] >= MOST_STARTS:
            self._roll_back(trial, f"started {MOST_STARTS} times in vain")
        else:
            write(self.folder / "trial.json", json.dumps({**trial, "starts": trial["starts"] + 1}))

    def _run_once(self) -> int:
        """Run the current release; a trial that fails ends as a wish to be started again, with the one before."""
        version, trial = self._current(), self._trial()
        release = self.folder / "releases" / version
        environment = os.environ | {"PYTHONPATH": str(release), "METER_AGENT_RELEASE": version}
        command = [sys.executable, "-P", "-m", "meter_agent", *self.arguments]
        self.child = subprocess.Popen(command, env=environment)  # noqa: S603 the program that this is for
        if self.is_stopping:
            self.child.terminate()
        deadline = time.monotonic() + trial["seconds"] if trial else None
        while (status := self.child.poll()) is None:
            if trial and self._is_healthy(version):
                self._end_trial(trial, done=True, reason="")
                trial = deadline = None
            elif trial and deadline is not None and time.monotonic() > deadline:
                self._end_child()
                self._roll_back(trial, f"not healthy within {trial['seconds']} seconds")
                return RESTART
            time.sleep(LOOK)
        if trial and not self.is_stopping:
            self._roll_back(trial, f"ended with status {status}")
            return RESTART
        return status

    def _is_healthy(self, version: str) -> bool:
        try:
            return self.folder.joinpath("healthy").read_text() == version
        except OSError:
            return False

    def _roll_back(self, trial: dict[str, Any], reason: str) -> None:
        say(f"release {trial['version']}: {reason}; back to {trial['previous']}")
        link = self.folder / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("releases") / trial["previous"])
        link.rename(self.folder / "current")
        self._end_trial(trial, done=False, reason=reason)

    def _end_trial(self, trial: dict[str, Any], *, done: bool, reason: str) -> None:
        outcome = {"sequence": trial["sequence"], "version": trial["version"], "done": done, "reason": reason}
        write(self.folder / "outcome.json", json.dumps(outcome))
        self.folder.joinpath("trial.json").unlink()
        if done:
            say(f"release {trial['version']} works")
            for release in (self.folder / "releases").iterdir():
                if release.name not in (trial["version"], trial["previous"]):
                    shutil.rmtree(release)

    def _trial(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self.folder.joinpath("trial.json").read_text()))
        except FileNotFoundError:
            return None

    def _current(self) -> str:
        return self.folder.joinpath("current").readlink().name

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.is_stopping = True
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()

    def _end_child(self) -> None:
        assert self.child is not None  # noqa: S101
        self.child.terminate()
        try:
            self.child.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def write(path: Path, content: str) -> None:
    """Replace a file; whoever reads it sees the old or the new one, also after a power cut."""
    draft = path.with_name(f".{path.name}")
    with draft.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def say(text: str) -> None:
    print(f"launcher: {text}", file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description="Starts the current release of meter-agent.")
    top.add_argument("--folder", type=Path, required=True, help="where releases/ and current are")
    top.add_argument("arguments", nargs="+", help="what meter-agent is called with, after --")
    return top


def main() -> int:
    options = parser().parse_args()
    return Launcher(options.folder, options.arguments).run()


if __name__ == "__main__":
    sys.exit(main())
