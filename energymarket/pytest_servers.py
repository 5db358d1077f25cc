"""Pytest plugin: `pytest` alone starts the PostgreSQL and Redis it needs and stops them at the end.

Loaded by `-p`, so that the addresses stand in the environment before Django's settings are read. Each run has servers
of its own: the first folder var/test, var/test-2, ... that no other run is using. With DATABASE_URL or REDIS_URL set,
that server is used instead. REQUIRE=browser,data turns a skip of a test so marked into a failure.
"""

import os
import signal
from collections.abc import Generator
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from energymarket.settings.environment import read_environment
from energymarket.supervisor.core import AlreadyRunning, Supervisor
from energymarket.supervisor.postgres import launch_postgres
from energymarket.supervisor.redis_server import launch_redis

REQUIRABLE = {"fabric", "quorum", "browser", "tpm", "evm", "data"}

# A test run need not survive a power cut.
POSTGRES_OPTIONS = {"fsync": "off", "full_page_writes": "off"}


class LocalServers:
    """The servers of one test run."""

    def __init__(self) -> None:
        environment = read_environment()
        self.needs_postgres = environment.database_url is None
        self.needs_redis = environment.redis_url is None
        self.supervisor = own_folder(environment.data_dir)
        places = self.supervisor.places
        os.environ["ENERGYMARKET_DATA_DIR"] = str(places.root)
        if self.needs_postgres:
            os.environ["DATABASE_URL"] = places.database_url
        if self.needs_redis:
            os.environ["REDIS_URL"] = places.redis_url

    def start(self) -> None:
        if self.needs_postgres:
            launch_postgres(self.supervisor, options=POSTGRES_OPTIONS)
        if self.needs_redis:
            launch_redis(self.supervisor)


def own_folder(data_dir: Path) -> Supervisor:
    """The first test folder that no other run owns."""
    for number in count(1):
        supervisor = Supervisor(data_dir / ("test" if number == 1 else f"test-{number}"))
        try:
            supervisor.acquire()
        except AlreadyRunning:
            continue
        return supervisor
    raise AssertionError("count() does not end")


servers_key = pytest.StashKey[LocalServers]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    unknown = required_markers() - REQUIRABLE
    if unknown:
        raise pytest.UsageError(f"REQUIRE names unknown markers: {', '.join(sorted(unknown))}")
    early_config.stash[servers_key] = LocalServers()
    signal.signal(signal.SIGTERM, _terminate)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    if session.items and not session.config.option.collectonly:
        session.config.stash[servers_key].start()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if servers_key in config.stash:
        config.stash[servers_key].supervisor.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    missing = sorted(required_markers() & {marker.name for marker in item.iter_markers()})
    if report.skipped and missing and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}\nREQUIRE={','.join(missing)} does not let this test be skipped."
    return report


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> LocalServers:
    """The servers of this run, for tests that stop and start them."""
    return request.config.stash[servers_key]


def required_markers() -> set[str]:
    return {name.strip() for name in os.environ.get("REQUIRE", "").split(",") if name.strip()}


def _terminate(number: int, frame: FrameType | None) -> None:
    # A run that is told to end still stops its servers.
    pytest.exit("ended by SIGTERM", returncode=143)
