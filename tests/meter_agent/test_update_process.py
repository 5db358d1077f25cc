"""The whole way of an update: told over the channel, fetched, tried by the launcher, answered by whoever is left."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.agent.make_release import offer, pack
from evidence.boxes import AnswerState, InstructionKind
from meter_agent.keys import FileKey, open_keys
from tests.meter_agent.releases import CRASHES, RELEASE_KEY, Archives, program, running_archives
from tests.meter_agent.support import DEVICE, HOUSE, SECRETS
from tests.meter_agent.utility import UTILITY, Utility, running_utility

ROOT = Path(__file__).parents[2]
PACKAGES = ("meter_agent", "evidence", "ledger_adapters")
SETTINGS = """
device = "{device}"
key_file = "key/device.pem"
server = "{server}"
time_zone = "Europe/Berlin"
journal = "journal.sqlite"
trusted = [{{ algorithm = 1, x = "{utility.x}", y = "{utility.y}" }}]

[[points]]
id = "{house}"
secret = "{secret}"
grid = {{ host = "127.0.0.1", port = 9, unit = 1, map = "sunspec203" }}

[channel]
wait_seconds = 1

[update]
folder = "box"
release_key = {{ algorithm = 1, x = "{release.x}", y = "{release.y}" }}
healthy_minutes = 0.5
ca_file = "ca.pem"
"""


class Hex:
    def __init__(self, key: object) -> None:
        self.x, self.y = key.x.hex(), key.y.hex()  # type: ignore[attr-defined]


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Archives]:
    with running_archives(tmp_path) as running:
        yield running


@pytest.fixture
def utility(tmp_path: Path, archives: Archives) -> Iterator[Utility]:
    """With a box that runs release 1.0.0, which is the program as it stands here."""
    key = open_keys(FileKey(tmp_path / "key" / "device.pem")).make()
    release = tmp_path / "box" / "releases" / "1.0.0"
    release.mkdir(parents=True)
    for package in PACKAGES:
        (release / package).symlink_to(ROOT / package)
    (tmp_path / "box" / "current").symlink_to("releases/1.0.0")
    with ExitStack() as stack:
        running = stack.enter_context(running_utility(key))
        text = SETTINGS.format(
            device=DEVICE.hex(),
            server=running.address,
            house=HOUSE.hex(),
            secret=SECRETS[HOUSE].hex(),
            utility=Hex(UTILITY.public_key),
            release=Hex(RELEASE_KEY.public_key),
        )
        (tmp_path / "agent.toml").write_text(text)
        launcher = subprocess.Popen(
            [
                *(sys.executable, str(ROOT / "deploy" / "agent" / "launcher.py"), "--folder", str(tmp_path / "box")),
                *("--", "run", "--config", "agent.toml"),
            ],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        try:
            yield running
        finally:
            launcher.terminate()
            assert launcher.wait(30) == 0


def tell_update(utility: Utility, archives: Archives, tmp_path: Path, version: str, content: bytes) -> int:
    path = tmp_path / f"{version}.tar.gz"
    path.write_bytes(content)
    archives.files[f"/{version}"] = content
    body = offer(path, version, f"{archives.address}/{version}", RELEASE_KEY)
    return utility.tell(InstructionKind.UPDATE, body)


def current(tmp_path: Path) -> str:
    return (tmp_path / "box" / "current").readlink().name


def test_a_release_that_crashes_is_left_and_one_that_works_is_kept(
    utility: Utility, archives: Archives, tmp_path: Path
) -> None:
    told = tell_update(utility, archives, tmp_path, "1.1.0", program(CRASHES))
    state, body = utility.wait_for(told)
    assert (state, body) == (
        AnswerState.FAILED,
        {"code": "rolled_back", "version": "1.1.0", "reason": "ended with status 3"},
    )
    assert current(tmp_path) == "1.0.0"

    source = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__", "contracts"))
    with (source / "meter_agent" / "health.py").open("a") as file:
        # Nobody waits for the end of a slot here.
        file.write("\n\ndef has_worked(journal, since):\n    return True\n")
    pack(source, tmp_path / "whole.tar.gz")
    told = tell_update(utility, archives, tmp_path, "1.2.0", (tmp_path / "whole.tar.gz").read_bytes())
    assert utility.wait_for(told, 60) == (AnswerState.DONE, {"version": "1.2.0"})
    assert current(tmp_path) == "1.2.0"

    # It is the new one that answers now, and there is no way back.
    told = tell_update(utility, archives, tmp_path, "1.1.9", program(CRASHES))
    assert utility.wait_for(told) == (
        AnswerState.REFUSED,
        {"code": "not_newer", "version": "1.1.9", "current": "1.2.0"},
    )
