"""The units of the box say what its programs understand."""

import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest

from deploy.agent import launcher
from meter_agent.__main__ import RESTART, parser

FOLDER = Path(__file__).parents[2] / "deploy" / "agent"


def unit(name: str) -> ConfigParser:
    read = ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(FOLDER / name)
    return read


def test_the_unit_starts_the_launcher_with_what_both_understand() -> None:
    service = unit("meter-agent.service")["Service"]
    python, safe, script, *arguments = shlex.split(service["ExecStart"])
    assert (Path(python).name, safe, Path(script).name) == ("python", "-P", "launcher.py")
    given = launcher.parser().parse_args(arguments)
    assert given.folder == Path("/var/lib/meter-agent/program")
    assert parser().parse_args(given.arguments).config == Path("/etc/meter-agent/agent.toml")
    assert int(service["SuccessExitStatus"]) == RESTART == launcher.RESTART
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "all", "always")


def test_the_watchdog_waits_longer_than_a_slot_takes() -> None:
    service = unit("meter-agent.service")["Service"]
    # poll_seconds is 60 at most, a slot is read for half a minute at most, then each meter may be waited for.
    assert int(service["WatchdogSec"]) >= 2 * (60 + 30)


def test_the_display_is_a_command() -> None:
    *_, module, command = shlex.split(unit("meter-agent-display.service")["Service"]["ExecStart"])[1:5]
    assert (module, command) == ("meter_agent", "display")


@pytest.mark.parametrize("name", ["meter-agent.service", "meter-agent-display.service"])
def test_nothing_of_the_box_runs_as_root(name: str) -> None:
    service = unit(name)["Service"]
    assert (service["User"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == ("meter-agent", "yes", "")
