"""The pytest plugin, by running pytest on small files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from energymarket.settings.environment import PROJECT_DIR
from energymarket.supervisor.processes import read_records

SKIPPING = """
import pytest

@pytest.mark.data
def test_needs_data():
    pytest.skip("there is no data")

def test_needs_nothing():
    pytest.skip("not today")
"""

WAITING = """
import time

def test_waits():
    time.sleep(60)
"""


def pytest_command(folder: Path, content: str) -> list[str]:
    file = folder / "test_small.py"
    file.write_text(content)
    return [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "no:cacheprovider", str(file)]


def run(folder: Path, require: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        pytest_command(folder, SKIPPING),
        cwd=PROJECT_DIR,
        env={**os.environ, "REQUIRE": require},
        capture_output=True,
        text=True,
    )


def test_skips_are_listed_with_their_reasons(tmp_path: Path) -> None:
    finished = run(tmp_path, "")
    assert finished.returncode == 0
    assert "there is no data" in finished.stdout
    assert "2 skipped" in finished.stdout


def test_what_is_required_is_not_skipped(tmp_path: Path) -> None:
    finished = run(tmp_path, "browser,data")
    assert finished.returncode == 1
    assert "there is no data\nREQUIRE=data does not let this test be skipped." in finished.stdout
    assert "1 failed, 1 skipped" in finished.stdout


def test_what_can_be_required_is_known(tmp_path: Path) -> None:
    finished = run(tmp_path, "date")
    assert finished.returncode == 4
    assert "REQUIRE names unknown markers: date" in finished.stderr


def test_a_run_that_is_told_to_end_stops_its_servers(short_folder: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    environment["ENERGYMARKET_DATA_DIR"] = str(short_folder)
    pids = short_folder / "test" / "pid"
    command = pytest_command(tmp_path, WAITING)
    with subprocess.Popen(command, cwd=PROJECT_DIR, env=environment, stdout=subprocess.DEVNULL) as pytest_run:
        deadline = time.monotonic() + 30
        while not (pids / "redis.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        servers = read_records(pids)
        time.sleep(0.5)  # into the test itself
        pytest_run.send_signal(signal.SIGTERM)
    assert pytest_run.returncode == 143
    assert [record.name for record in servers] == ["redis", "postgres"]
    assert not any(record.process() for record in servers)


@pytest.mark.parametrize("given", ["DATABASE_URL", "REDIS_URL"])
def test_a_server_that_is_given_is_not_started(given: str, short_folder: Path, tmp_path: Path) -> None:
    other = ({"DATABASE_URL", "REDIS_URL"} - {given}).pop()
    environment = {name: value for name, value in os.environ.items() if name not in (other, "REQUIRE")}
    environment["ENERGYMARKET_DATA_DIR"] = str(short_folder)
    finished = subprocess.run(pytest_command(tmp_path, SKIPPING), cwd=PROJECT_DIR, env=environment)
    assert finished.returncode == 0
    log = {path.name for path in (short_folder / "test" / "log").iterdir()}
    assert log == {"postgres.log" if given == "REDIS_URL" else "redis.log"}
