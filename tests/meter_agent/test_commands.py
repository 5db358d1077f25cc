"""The commands as a user gives them, each in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evidence.keys import Algorithm, PublicKey
from meter_agent.__main__ import main
from tests.meter_agent.support import DEVICE, HOUSE, SECRETS, HeadEnd

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, head_end: HeadEnd) -> Path:
    """Settings of an agent with one house, and a profile of that house on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "agent.toml").write_text(f"""
device = "{DEVICE.hex()}"
key_file = "key/device.pem"
server = "{head_end.address}"
time_zone = "Europe/Berlin"
journal = "journal.sqlite"

[[points]]
id = "{HOUSE.hex()}"
secret = "{SECRETS[HOUSE].hex()}"
generation = {{ host = "127.0.0.1", port = {port}, unit = 2, map = "sunspec203" }}
grid = {{ host = "127.0.0.1", port = {port}, unit = 1, map = "sunspec203" }}
""")
    (tmp_path / "profile.toml").write_text(f"""
port = {port}

[[households]]
point = "{HOUSE.hex()}"
seed = 1
annual_kwh = 3500
kwp = 8.5
generation_unit = 2
grid_unit = 1
""")
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "meter_agent", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def command(folder: Path, *arguments: str) -> tuple[int, str, str]:
    return finish(start(folder, *arguments))


def make_key(folder: Path) -> dict[str, Any]:
    code, out, err = command(folder, "key", "--config", "agent.toml")
    assert (code, err) == (0, "")
    content: dict[str, Any] = json.loads(out)
    return content


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"ended without saying {text!r}")


def test_key_prints_the_public_key_and_its_id(folder: Path) -> None:
    printed = make_key(folder)
    public = PublicKey(Algorithm.P256, bytes.fromhex(printed["x"]), bytes.fromhex(printed["y"]))
    public.check_point()
    assert printed["id"] == public.id.hex()
    assert make_key(folder) == printed


def test_a_day_is_simulated_sent_and_shown(folder: Path, head_end: HeadEnd) -> None:
    printed = make_key(folder)
    head_end.key = PublicKey(Algorithm.P256, bytes.fromhex(printed["x"]), bytes.fromhex(printed["y"]))
    simulate = ("simulate", "--config", "agent.toml", "--profile", "profile.toml", "--day", "2026-03-29")

    code, out, err = command(folder, *simulate)
    assert code == 0, err
    assert json.loads(out)["waiting"] == 2 * 92
    code, out, _ = command(folder, "status", "--config", "agent.toml")
    assert (code, json.loads(out)["backlog"]["readings"]) == (0, 184)

    code, out, err = command(folder, *simulate, "--send")
    assert code == 0, err
    assert (json.loads(out)["sent"], json.loads(out)["waiting"]) == (True, 0)
    code, out, _ = command(folder, "status", "--config", "agent.toml")
    status = json.loads(out)
    assert (code, status["last_acknowledgement"]["market"]["sequence"], status["refused"]) == (0, 1, [])
    assert status["last_reading"] == "2026-03-29T22:00:00Z"
    assert len(head_end.readings) == 184


def test_a_day_that_is_refused_fails(folder: Path, head_end: HeadEnd) -> None:
    make_key(folder)
    head_end.script = [(403, "application/problem+json", {"title": "the key is revoked"})]
    code, out, err = command(
        folder, "simulate", "--config", "agent.toml", "--profile", "profile.toml", "--day", "2026-07-01", "--send"
    )
    assert (code, json.loads(out)["refused"]) == (1, 1)
    assert "the key is revoked" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_and_the_live_simulator_stop_when_asked(folder: Path, number: signal.Signals) -> None:
    make_key(folder)
    simulator = start(folder, "simulate", "--live", "--profile", "profile.toml")
    wait_for(simulator, "serving 1 households")
    code, _, err = command(folder, "once", "--config", "agent.toml")
    assert code == 0, err
    agent = start(folder, "run", "--config", "agent.toml")
    wait_for(agent, "reading 1 points every 15 minutes")
    code, _, err = command(folder, "once", "--config", "agent.toml")
    assert code == 2
    assert "another meter-agent is using this journal" in err
    for process in (agent, simulator):
        process.send_signal(number)
        code, _, err = finish(process)
        assert code == 0, err
        assert "stopped" in err


def test_once_without_meters_fails(folder: Path) -> None:
    make_key(folder)
    code, _, err = command(folder, "once", "--config", "agent.toml")
    assert code == 1
    assert "accepts no connection" in err


def test_what_cannot_be_used_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "agent.toml"
    assert main(["run", "--config", str(path)]) == 2
    assert "meter-agent key --config" in capsys.readouterr().err
    assert main(["status", "--config", str(path)]) == 2
    assert "has not run yet" in capsys.readouterr().err
    path.write_text(path.read_text().replace("Europe/Berlin", "Mars"))
    assert main(["once", "--config", str(path)]) == 2
    assert capsys.readouterr().err == "meter-agent: time_zone: 'Mars' is not a known time zone such as Europe/Berlin\n"


def test_a_port_in_use_stops_the_live_simulator(folder: Path) -> None:
    first = start(folder, "simulate", "--live", "--profile", "profile.toml")
    wait_for(first, "serving 1 households")
    deadline = time.monotonic() + 10
    while command_connects(folder) is False and time.monotonic() < deadline:
        time.sleep(0.05)
    code, _, err = command(folder, "simulate", "--live", "--profile", "profile.toml")
    assert code == 1
    assert "cannot listen on 127.0.0.1" in err
    first.terminate()
    assert finish(first)[0] == 0


def command_connects(folder: Path) -> bool:
    port = int((folder / "profile.toml").read_text().split("port = ")[1].split("\n")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
