"""Releases: what is taken, how it is fetched and unpacked, and how the launcher tries it - with real processes."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from deploy.agent.make_release import offer, pack
from evidence.boxes import AnswerState
from evidence.keys import SoftwareKey
from meter_agent.channel.orders import Failure, How, Order, Outcome, Refusal
from meter_agent.control import UpdateSettings
from meter_agent.journal import Journal
from meter_agent.link import Allowance
from meter_agent.update.download import PIECE, SMALL_PIECE, download, open_download
from meter_agent.update.folder import ReleaseFolder, unpack
from meter_agent.update.handler import RELEASE, Update
from meter_agent.update.release import Offer, read_offer, read_version
from tests.meter_agent.releases import (
    CRASHES,
    HANGS,
    RELEASE_KEY,
    WORKS,
    Archives,
    add,
    program,
    running_archives,
)

LAUNCHER = Path(__file__).parents[2] / "deploy" / "agent" / "launcher.py"
LARGEST = 10 << 20


def order(body: Any, sequence: int = 1) -> Order:
    return Order(sequence, b"\x01" * 32, 6, 0, 2**40, body)


def body_for(
    archive: bytes, tmp_path: Path, version: str = "1.2.0", url: str = "https://u.example/a", key: Any = RELEASE_KEY
) -> dict[str, Any]:
    path = tmp_path / "offered.tar.gz"
    path.write_bytes(archive)
    return offer(path, version, url, key)


# What is taken.


def test_an_offer_is_signed_by_the_release_key_and_nobody_else(tmp_path: Path) -> None:
    body = body_for(b"archive", tmp_path)
    taken = read_offer(order(body), RELEASE_KEY.public_key, LARGEST)
    assert (taken.version, taken.name, taken.size) == ((1, 2, 0), "1.2.0", 7)
    assert taken.archive == hashlib.sha256(b"archive").digest()
    wrongs: list[tuple[dict[str, Any], str]] = [
        (body_for(b"archive", tmp_path, key=SoftwareKey.generate()), "signature"),
        (body | {"version": "1.2.1"}, "signature"),
        (body | {"size": 8}, "signature"),
        (body | {"sha256": "00" * 32}, "signature"),
        (body | {"version": "1.2"}, "format"),
        (body | {"version": "01.2.0"}, "format"),
        (body | {"url": "http://u.example/a"}, "format"),
        (body | {"more": 1}, "format"),
        ({}, "format"),
    ]
    for wrong, code in wrongs:
        with pytest.raises(Refusal) as refusal:
            read_offer(order(wrong), RELEASE_KEY.public_key, LARGEST)
        assert refusal.value.outcome.body["code"] == code
    with pytest.raises(Refusal, match="too_large"):
        read_offer(order(body), RELEASE_KEY.public_key, 6)


# How it is fetched.


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Archives]:
    with running_archives(tmp_path) as running:
        yield running


CONTENT = bytes(range(256)) * 4 * 700  # not a whole number of pieces
NAMED = Offer((1, 2, 0), "", len(CONTENT), hashlib.sha256(CONTENT).digest(), b"")


def fetch(archives: Archives, journal: Journal, path: Path, named: Offer = NAMED, **how: Any) -> list[float]:
    """Download into `path`; the pauses that were made."""
    archives.files.setdefault("/a", CONTENT)
    pauses: list[float] = []
    allowance = Allowance(journal, how.pop("per_day", None), how.pop("clock", time.time))

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        how_long(seconds)

    how_long = how.pop("passing", lambda seconds: None)

    async def work() -> None:
        async with open_download(allowance, how.pop("ca_file", archives.ca_file)) as client:
            await download(replace(named, url=archives.address + "/a"), path, client, allowance, sleep=sleep, **how)

    asyncio.run(work())
    return pauses


def test_an_archive_comes_in_pieces(archives: Archives, journal: Journal, tmp_path: Path) -> None:
    fetch(archives, journal, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert archives.ranges == [
        f"bytes={start}-{min(start + PIECE, len(CONTENT)) - 1}" for start in range(0, len(CONTENT), PIECE)
    ]


def test_a_download_goes_on_where_it_stopped(archives: Archives, journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "got").write_bytes(CONTENT[:300_000])
    archives.script = [("cut", 1000), ("status", 503)]
    pauses = fetch(archives, journal, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert len(pauses) == 2
    assert {each.split("-")[0] for each in archives.ranges[:3]} == {"bytes=300000"}


def test_a_server_that_gives_no_parts(archives: Archives, journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "got").write_bytes(CONTENT[:1000])
    archives.script = ["whole"]
    fetch(archives, journal, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_download_keeps_within_the_allowance(archives: Archives, journal: Journal, tmp_path: Path) -> None:
    now = [1_780_000_000.0]

    def passing(seconds: float) -> None:
        now[0] += seconds

    pauses = fetch(archives, journal, tmp_path / "got", per_day=200_000, clock=lambda: now[0], passing=passing)
    assert (tmp_path / "got").read_bytes() == CONTENT
    days = sum(pauses) / 86_400
    # A quarter of a day's bytes is there at once, the rest comes evenly.
    assert (len(CONTENT) - 50_000) / 150_000 < days < 1.3 * len(CONTENT) / 150_000
    assert len(archives.ranges) == -(-len(CONTENT) // SMALL_PIECE)


def test_an_archive_that_was_changed_on_the_way_is_thrown_away(
    archives: Archives, journal: Journal, tmp_path: Path
) -> None:
    archives.files["/a"] = CONTENT[:-1] + b"?"
    with pytest.raises(Failure, match="damaged"):
        fetch(archives, journal, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_download_that_leads_nowhere_is_given_up(archives: Archives, journal: Journal, tmp_path: Path) -> None:
    archives.script = [("status", 403)]
    with pytest.raises(Failure, match="answered 403"):
        fetch(archives, journal, tmp_path / "got")
    archives.script = [("status", 500)] * 3
    with pytest.raises(Failure, match="answered 500"):
        fetch(archives, journal, tmp_path / "got", most_failures=3)
    # A certificate that nobody here knows.
    with pytest.raises(Failure, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(archives, journal, tmp_path / "got", ca_file=None, most_failures=1)


# How it is unpacked.


def packed(*members: tuple[str, str, dict[str, Any]]) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content, change in members:
            add(tar, name, content, **change)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed(("../evil", "x", {})), "lies outside"),
        (packed(("a/../../evil", "x", {})), "lies outside"),
        (packed(("/evil", "x", {})), "lies outside"),
        (packed(("link", "", {"type": tarfile.SYMTYPE, "linkname": "/etc"})), "neither a file nor a folder"),
        (packed(("hard", "", {"type": tarfile.LNKTYPE, "linkname": "a"})), "neither a file nor a folder"),
        (packed(("pipe", "", {"type": tarfile.FIFOTYPE})), "neither a file nor a folder"),
        (packed(("device", "", {"type": tarfile.CHRTYPE})), "neither a file nor a folder"),
        (packed(("a", "x", {}), ("a", "y", {})), "twice"),
        (packed(("zeros", "0" * 5_000_000, {})), "holds too much"),
        (b"nonsense", "cannot be read"),
        (b"", "cannot be read"),
        (packed(("a", CONTENT[:50_000].decode("latin-1"), {}))[:-2000], "cannot be read"),
        (packed(("a", CONTENT[:50_000].decode("latin-1"), {}))[:200] + b"?" * 2000, "cannot be read"),
    ],
)
def test_an_archive_that_is_not_to_be_trusted(tmp_path: Path, content: bytes, message: str) -> None:
    archive = tmp_path / "inner" / "archive"
    archive.parent.mkdir()
    archive.write_bytes(content)
    with pytest.raises(Failure, match=message):
        unpack(archive, tmp_path / "inner" / "target")
    assert not list(tmp_path.rglob("evil"))


def test_a_release_is_installed_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, WORKS)
    archive = folder.archive("1.2.0")
    archive.write_bytes(packed(("meter_agent/other.py", "x", {})))
    with pytest.raises(Failure, match=r"no meter_agent/__main__\.py"):
        folder.install(archive, "1.2.0")
    assert [path.name for path in folder.releases.iterdir()] == ["1.0.0"]
    # What was left over from an attempt that was interrupted is in nobody's way.
    (folder.releases / ".1.2.0").mkdir()
    (folder.releases / "1.2.0").mkdir()
    archive.write_bytes(program(WORKS))
    folder.install(archive, "1.2.0")
    assert (folder.releases / "1.2.0/meter_agent/__main__.py").read_text() == WORKS
    assert sorted(path.name for path in folder.releases.iterdir()) == ["1.0.0", "1.2.0"]
    assert not archive.exists()


def test_a_packed_folder_unpacks_to_the_same(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "meter_agent" / "__pycache__").mkdir(parents=True)
    (source / "meter_agent" / "__pycache__" / "x.pyc").write_text("x")
    (source / "meter_agent" / "__main__.py").write_text(WORKS)
    pack(source, tmp_path / "archive")
    unpack(tmp_path / "archive", tmp_path / "target")
    assert [path.relative_to(tmp_path / "target") for path in (tmp_path / "target").rglob("*.py*")] == [
        Path("meter_agent/__main__.py")
    ]


# The handler.


def make_folder(tmp_path: Path, code: str) -> ReleaseFolder:
    """With release 1.0.0 as the current one."""
    folder = tmp_path / "box"
    target = folder / "releases" / "1.0.0"
    target.mkdir(parents=True)
    (tmp_path / "first").write_bytes(program(code))
    target.rmdir()
    unpack(tmp_path / "first", target)
    (folder / "current").symlink_to("releases/1.0.0")
    return ReleaseFolder(folder)


class Bench:
    def __init__(self, tmp_path: Path, journal: Journal, archives: Archives) -> None:
        self.folder = make_folder(tmp_path, WORKS)
        self.answers: list[tuple[int, Outcome]] = []
        self.ended: list[How] = []
        settings = UpdateSettings(self.folder.folder, RELEASE_KEY.public_key, 60, LARGEST, archives.ca_file)

        async def end(how: How) -> None:
            self.ended.append(how)

        self.update = Update(
            settings,
            Allowance(journal, None),
            lambda order, outcome: self.answers.append((order.sequence, outcome)),
            end,
        )

    def run(self, until: Any, *orders: Order) -> None:
        async def work() -> None:
            task = asyncio.create_task(self.update.run())
            for each in orders:
                await self.update.act(each)
            deadline = time.monotonic() + 20
            while not until():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            task.cancel()

        asyncio.run(work())

    def resume(self, given: Order) -> Outcome | None:
        return asyncio.run(self.update.resume(given))


@pytest.fixture
def bench(tmp_path: Path, journal: Journal, archives: Archives, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(RELEASE, "1.0.0")
    return Bench(tmp_path, journal, archives)


def test_an_update_is_prepared_and_left_to_the_launcher(bench: Bench, archives: Archives, tmp_path: Path) -> None:
    archives.files["/a"] = program(WORKS)
    body = body_for(archives.files["/a"], tmp_path, url=archives.address + "/a")
    bench.run(lambda: bench.ended, order(body, 7))
    assert (bench.ended, bench.answers) == ([How.RESTART], [])
    assert bench.folder.trial() == {
        "sequence": 7,
        "version": "1.2.0",
        "previous": "1.0.0",
        "seconds": 60,
        "starts": 0,
    }
    assert bench.folder.current() == (1, 2, 0)
    # Not yet known; then known.
    assert bench.resume(order(body, 7)) is None
    (bench.folder.folder / "outcome.json").write_text(json.dumps({"sequence": 7, "version": "1.2.0", "done": True}))
    outcome = bench.resume(order(body, 7))
    assert outcome is not None
    assert (outcome.state, outcome.body) == (AnswerState.DONE, {"version": "1.2.0"})
    with pytest.raises(Refusal, match="busy"):
        asyncio.run(bench.update.act(order(body, 8)))


def test_an_older_release_or_the_same_is_refused(bench: Bench, tmp_path: Path) -> None:
    for version in ("1.0.0", "0.99.99"):
        with pytest.raises(Refusal) as refusal:
            asyncio.run(bench.update.act(order(body_for(b"a", tmp_path, version))))
        assert refusal.value.outcome.body == {"code": "not_newer", "version": version, "current": "1.0.0"}


def test_without_the_launcher_there_are_no_updates(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RELEASE)
    with pytest.raises(Refusal, match="not_offered"):
        asyncio.run(bench.update.act(order(body_for(b"a", tmp_path))))


def test_a_damaged_archive_fails_and_leaves_everything_as_it_was(
    bench: Bench, archives: Archives, tmp_path: Path
) -> None:
    archives.files["/a"] = packed(("../../evil", "x", {}))
    body = body_for(archives.files["/a"], tmp_path, url=archives.address + "/a")
    bench.run(lambda: bench.answers, order(body))
    ((sequence, outcome),) = bench.answers
    assert (sequence, outcome.state, outcome.body["code"]) == (1, AnswerState.FAILED, "damaged")
    assert (bench.ended, bench.folder.current(), bench.folder.trial()) == ([], (1, 0, 0), None)
    assert not list(tmp_path.rglob("evil"))


def test_a_download_that_was_interrupted_goes_on(bench: Bench, archives: Archives, tmp_path: Path) -> None:
    archives.files["/a"] = program(WORKS)
    body = body_for(archives.files["/a"], tmp_path, url=archives.address + "/a")
    bench.folder.archive("1.2.0").write_bytes(archives.files["/a"][:100])
    assert bench.resume(order(body, 3)) is None
    bench.run(lambda: bench.ended)
    assert archives.ranges[0].startswith("bytes=100-")


# The launcher.


class Launched:
    def __init__(self, folder: ReleaseFolder) -> None:
        self.folder = folder
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(LAUNCHER), "--folder", str(self.folder.folder), "--", "run"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, cwd=self.folder.folder)

    def verdict(self) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        path = self.folder.folder / "outcome.json"
        while not path.exists() or self.folder.trial() is not None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)
        return self.process.returncode


def add_release(folder: ReleaseFolder, version: str, code: str) -> None:
    archive = folder.archive(version)
    archive.write_bytes(program(code))
    folder.install(archive, version)


def trial(tmp_path: Path, code: str, seconds: int = 10) -> ReleaseFolder:
    """1.2.0 is to be tried, 1.0.0 works."""
    folder = make_folder(tmp_path, WORKS)
    add_release(folder, "1.2.0", code)
    folder.begin_trial(7, read_version("1.2.0"), read_version("1.0.0"), seconds)
    return folder


def test_a_release_that_works_stays(tmp_path: Path) -> None:
    folder = trial(tmp_path, WORKS)
    (folder.releases / "0.9.0").mkdir()
    launched = Launched(folder)
    assert launched.verdict() == {"sequence": 7, "version": "1.2.0", "done": True, "reason": ""}
    assert launched.end() == 0
    assert (folder.current(), folder.trial()) == ((1, 2, 0), None)
    assert sorted(path.name for path in folder.releases.iterdir()) == ["1.0.0", "1.2.0"]


@pytest.mark.parametrize(
    ("code", "seconds", "reason"),
    [
        (CRASHES, 10, "ended with status 3"),
        ("raise SystemExit(75)", 10, "ended with status 75"),
        ("import no_such_module", 10, "ended with status 1"),
        ("not python", 10, "ended with status 1"),
        (HANGS, 1, "not healthy within 1 seconds"),
        (WORKS.replace('os.environ["METER_AGENT_RELEASE"]', '"9.9.9"'), 1, "not healthy within 1 seconds"),
    ],
)
def test_a_release_that_does_not_work_is_left_again(tmp_path: Path, code: str, seconds: int, reason: str) -> None:
    folder = trial(tmp_path, code, seconds)
    launched = Launched(folder)
    assert launched.verdict() == {"sequence": 7, "version": "1.2.0", "done": False, "reason": reason}
    assert (folder.current(), folder.trial()) == ((1, 0, 0), None)
    # The one before runs again.
    healthy = folder.folder / "healthy"
    deadline = time.monotonic() + 20
    while not healthy.exists() or healthy.read_text() != "1.0.0":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert launched.process.poll() is None
    assert launched.end() == 0


def test_power_cuts_during_a_trial_are_counted(tmp_path: Path) -> None:
    """As a watchdog does, too: launcher and program are killed together."""
    folder = trial(tmp_path, HANGS, 600)
    for starts in (1, 2, 3):
        launched = Launched(folder)
        deadline = time.monotonic() + 20
        while (found := folder.trial()) is None or found["starts"] < starts or not children(launched.process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for child in children(launched.process.pid):
            launched.process.kill()
            os.kill(child, signal.SIGKILL)
        launched.process.communicate()
    launched = Launched(folder)
    assert launched.verdict()["reason"] == "started 3 times in vain"
    assert folder.current() == (1, 0, 0)
    assert launched.end() == 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_trial_that_was_never_begun_is_over(tmp_path: Path) -> None:
    """The power went between the file of the trial and the link."""
    folder = trial(tmp_path, WORKS)
    (folder.folder / "current").unlink()
    (folder.folder / "current").symlink_to("releases/1.0.0")
    launched = Launched(folder)
    assert launched.verdict()["reason"] == "never begun"
    assert launched.end() == 0


def test_without_a_trial_the_launcher_ends_as_the_program_does(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, CRASHES)
    launched = Launched(folder)
    launched.process.communicate(timeout=20)
    assert launched.process.returncode == 3


def test_a_program_that_wants_to_be_started_again_is(tmp_path: Path) -> None:
    code = """
import pathlib
marks = pathlib.Path("marks")
marks.write_text(marks.read_text() + "x" if marks.exists() else "x")
raise SystemExit(75 if len(marks.read_text()) < 3 else 5)
"""
    launched = Launched(make_folder(tmp_path, code))
    launched.process.communicate(timeout=20)
    assert (launched.process.returncode, (tmp_path / "box" / "marks").read_text()) == (5, "xxx")
