"""The supervisor with real processes: small ones of Python, PostgreSQL and Redis in folders of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from energymarket.supervisor import places as places_module
from energymarket.supervisor.core import AlreadyRunning, Child, ChildDied, StopOrder, Supervisor
from energymarket.supervisor.places import Places, world_searchable
from energymarket.supervisor.postgres import launch_postgres
from energymarket.supervisor.processes import Record, SupervisorError, has_ended, make_private_folder
from energymarket.supervisor.redis_server import launch_redis

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")

# An owner for itself, so that a test can kill it: starts everything, says so, waits.
OWNER = """
import sys
from pathlib import Path
from energymarket.supervisor.core import Child, StopOrder, Supervisor
from energymarket.supervisor.postgres import launch_postgres
from energymarket.supervisor.redis_server import launch_redis
try:
    with Supervisor(Path(sys.argv[1])) as supervisor:
        launch_postgres(supervisor, options={"fsync": "off"})
        launch_redis(supervisor)
        supervisor.start(Child("web", [sys.executable, "-c", "import time; time.sleep(60)"], StopOrder.WEB))
        print(*(supervisor.pid(name) for name in ("web", "redis", "postgres")), flush=True)
        supervisor.run()
except KeyboardInterrupt:
    print("done", flush=True)
"""


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any of this."""
    process = subprocess.Popen(SLEEP, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def start_owner(short_folder: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(short_folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_servers_start_and_stop(short_folder: Path) -> None:
    with Supervisor(short_folder) as supervisor:
        url = launch_postgres(supervisor)
        redis_url = launch_redis(supervisor)
        assert launch_postgres(supervisor) == url
        pids = [supervisor.pid("postgres"), supervisor.pid("redis")]
        with psycopg.connect(url) as connection:
            version = connection.execute("SHOW server_version").fetchone()
            addresses = connection.execute("SHOW listen_addresses").fetchone()
        assert version is not None
        assert version[0].startswith("18.")
        assert addresses == ("",)
        with redis.Redis.from_url(redis_url) as client:
            assert client.info("server")["redis_version"].startswith("6.2.")
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert list((short_folder / "pid").iterdir()) == []


def test_data_outlives_a_restart(short_folder: Path) -> None:
    with Supervisor(short_folder) as supervisor:
        with psycopg.connect(launch_postgres(supervisor)) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        supervisor.stop_child("postgres")
        with psycopg.connect(launch_postgres(supervisor)) as connection:
            connection.execute("INSERT INTO kept VALUES (1)")


def test_only_we_reach_the_sockets(short_folder: Path) -> None:
    with Supervisor(short_folder) as supervisor:
        launch_postgres(supervisor)
        launch_redis(supervisor)
        for folder in (supervisor.places.postgres_run, supervisor.places.redis_run):
            assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user run PostgreSQL")
def test_root_runs_postgres_as_somebody_else_and_says_so(short_folder: Path) -> None:
    said: list[str] = []
    with Supervisor(short_folder, say=said.append) as supervisor:
        launch_postgres(supervisor)
        supervisor.stop_child("postgres")
        launch_postgres(supervisor)
        assert psutil.Process(supervisor.pid("postgres")).uids().real != 0
    assert len([line for line in said if "root" in line]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user run PostgreSQL")
def test_root_keeps_the_cluster_out_of_private_folders_and_leaves_their_modes(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, state = short_folder / "private", short_folder / "state"
    private.mkdir(mode=0o700)
    state.mkdir(mode=0o755)
    monkeypatch.setattr(places_module, "SYSTEM_STATE_FOLDERS", (state,))
    with Supervisor(private / "var") as supervisor:
        launch_postgres(supervisor)
        assert supervisor.places.postgres_home.is_relative_to(state)
    assert private.stat().st_mode & 0o777 == 0o700
    assert Places(private / "var").database_url == supervisor.places.database_url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user run PostgreSQL")
def test_root_copies_programs_that_the_other_user_cannot_reach(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energymarket.supervisor.postgres.world_searchable", lambda folder: False)
    with Supervisor(short_folder) as supervisor:
        launch_postgres(supervisor)
        program = Path(psutil.Process(supervisor.pid("postgres")).exe())
        assert program.is_relative_to(supervisor.places.postgres_home)


def test_a_long_path_gets_a_short_socket(short_folder: Path) -> None:
    far = short_folder.joinpath(*["a-rather-long-name-of-a-folder"] * 4)
    with Supervisor(far) as supervisor:
        launch_postgres(supervisor)
        launch_redis(supervisor)
        folders = [supervisor.places.postgres_run, supervisor.places.redis_run]
        assert all(len(str(folder)) < 80 for folder in folders)
    for folder in folders:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_second_owner_is_refused_and_a_guest_finds_the_servers(short_folder: Path) -> None:
    with Supervisor(short_folder) as supervisor:
        url = launch_postgres(supervisor)
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"), Supervisor(short_folder):
            pass
        with Supervisor(short_folder, share=True) as guest:
            assert launch_postgres(guest) == url
            with pytest.raises(AlreadyRunning):
                guest.start(Child("web", SLEEP, StopOrder.WEB))
        psycopg.connect(url).close()


def test_leftovers_of_a_killed_owner_are_ended(short_folder: Path, bystander: subprocess.Popen[bytes]) -> None:
    owner, children = start_owner(short_folder)
    with owner:
        owner.kill()
    assert len(children) == 3
    assert not any(has_ended(child) for child in children)
    with Supervisor(short_folder) as supervisor:
        assert all(has_ended(child) for child in children)
        psycopg.connect(launch_postgres(supervisor)).close()
    assert bystander.poll() is None


def test_leftover_postgres_is_found_without_its_pid_file(short_folder: Path) -> None:
    owner, children = start_owner(short_folder)
    with owner:
        owner.kill()
    for child in children[:2]:
        child.kill()
    for file in (short_folder / "pid").iterdir():
        file.unlink()
    with Supervisor(short_folder):
        assert has_ended(children[2])


def test_a_pid_that_belongs_to_somebody_else_now_is_left_alone(
    short_folder: Path, bystander: subprocess.Popen[bytes]
) -> None:
    with Supervisor(short_folder):
        pass
    started = psutil.Process(bystander.pid).create_time()
    Record("web", bystander.pid, started - 3600, StopOrder.WEB, signal.SIGTERM).write(short_folder / "pid")
    postgres = short_folder / "postgres" / "data"
    postgres.mkdir(parents=True)
    (postgres / "postmaster.pid").write_text(f"{bystander.pid}\n{postgres}\n")
    with Supervisor(short_folder):
        assert bystander.poll() is None
    assert list((short_folder / "pid").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_it_started_and_nothing_else(
    short_folder: Path, number: signal.Signals, bystander: subprocess.Popen[bytes]
) -> None:
    owner, children = start_owner(short_folder)
    owner.send_signal(number)
    output, _ = owner.communicate(timeout=30)
    assert (output, owner.returncode) == ("done\n", 0)
    assert all(has_ended(child) for child in children)
    assert bystander.poll() is None


def test_children_stop_in_their_order(short_folder: Path) -> None:
    log = short_folder / "order"
    script = (
        "import signal, sys, time\n"
        "def end(*_):\n    open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    with Supervisor(short_folder) as supervisor:
        for order in (StopOrder.WORKER, StopOrder.AGENTS, StopOrder.SCHEDULER, StopOrder.WEB):
            name = order.name.lower()
            supervisor.start(Child(name, [sys.executable, "-c", script, str(log), name], order))
            until(lambda name=name: supervisor.log_file(name).read_text() == "ready\n")  # type: ignore[misc]
    assert log.read_text().split() == ["agents", "web", "scheduler", "worker"]


def test_a_child_that_does_not_listen_is_killed_with_its_own_children(short_folder: Path) -> None:
    script = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    said: list[str] = []
    with Supervisor(short_folder, say=said.append) as supervisor:
        supervisor.start(Child("web", [sys.executable, "-c", script], StopOrder.WEB, stop_timeout=0.5))
        until(lambda: supervisor.log_file("web").read_text().endswith("\n"))
        grandchild = psutil.Process(int(supervisor.log_file("web").read_text()))
    assert any("web did not stop" in line for line in said)
    until(lambda: has_ended(grandchild))


def test_a_child_that_dies_ends_the_whole_and_is_named(short_folder: Path) -> None:
    with pytest.raises(ChildDied, match=r"^web ended unexpectedly \(exit code 3\); its log is .*/log/web\.log$"):
        with Supervisor(short_folder) as supervisor:
            supervisor.start(Child("worker", SLEEP, StopOrder.WORKER))
            worker = psutil.Process(supervisor.pid("worker"))
            supervisor.start(Child("web", [sys.executable, "-c", "raise SystemExit(3)"], StopOrder.WEB))
            supervisor.run()
    assert has_ended(worker)


def test_a_program_that_is_not_there_is_named(short_folder: Path) -> None:
    with Supervisor(short_folder) as supervisor, pytest.raises(SupervisorError, match="web cannot be started"):
        supervisor.start(Child("web", [str(short_folder / "missing")], StopOrder.WEB))


def test_a_folder_of_others_is_refused(short_folder: Path) -> None:
    (short_folder / "open").mkdir(mode=0o755)
    with pytest.raises(SupervisorError, match="can be read by others"):
        make_private_folder(short_folder / "open", os.geteuid(), os.getegid())
    (short_folder / "link").symlink_to(short_folder)
    with pytest.raises(SupervisorError, match="is not a folder"):
        make_private_folder(short_folder / "link", os.geteuid(), os.getegid())


def test_who_may_pass_through_a_folder(short_folder: Path) -> None:
    assert world_searchable(short_folder / "not-yet")
    (short_folder / "private").mkdir(mode=0o700)
    assert not world_searchable(short_folder / "private" / "not-yet")
