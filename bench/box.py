"""A box of one's own, as a process, to see what it takes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

SETTINGS = """
device = "{zeros}"
key_file = "key/device.pem"
server = "http://127.0.0.1:9"
time_zone = "Europe/Berlin"
journal = "journal.sqlite"

[[points]]
id = "{ones}"
secret = "{ones}"
generation = {{ host = "127.0.0.1", port = 9, unit = 2, map = "sunspec203" }}
grid = {{ host = "127.0.0.1", port = 9, unit = 1, map = "sunspec203" }}
"""
ROOT = Path(__file__).parents[1]


def resident_bytes(folder: Path, seconds: float = 5) -> int:
    """Memory of an agent that has been running for a while."""
    path = folder / "agent.toml"
    path.write_text(SETTINGS.format(zeros="00" * 32, ones="11" * 32), encoding="utf-8")
    program = [sys.executable, "-m", "meter_agent"]
    made = subprocess.run([*program, "key", "--config", str(path)], cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    if not made.stdout:
        raise RuntimeError("the agent made no key")
    with open(os.devnull, "wb") as nothing:
        process = subprocess.Popen([*program, "run", "--config", str(path)], cwd=ROOT, stderr=nothing)  # noqa: S603
    try:
        time.sleep(seconds)
        if process.poll() is not None:
            raise RuntimeError(f"the agent ended with {process.returncode}")
        return int(psutil.Process(process.pid).memory_info().rss)
    finally:
        process.terminate()
        process.wait(10)
