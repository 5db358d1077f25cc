"""Servers of the benchmarks' own in a folder that is thrown away, with the settings of production: fsync on."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.core.management import call_command

from energymarket.supervisor.core import Supervisor
from energymarket.supervisor.postgres import launch_postgres
from energymarket.supervisor.redis_server import launch_redis


@dataclass(frozen=True)
class Servers:
    """What runs, and who can start more beside it."""

    database_url: str
    supervisor: Supervisor


@contextmanager
def own_servers() -> Iterator[Servers]:
    """A Redis, a PostgreSQL with the project's tables, and Django set up on both. Once per process."""
    folder = Path(tempfile.mkdtemp(prefix="energymarket-bench-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    try:
        with Supervisor(folder) as supervisor:
            url = launch_postgres(supervisor)
            os.environ["DATABASE_URL"] = url
            os.environ["REDIS_URL"] = launch_redis(supervisor)
            os.environ["ENERGYMARKET_DATA_DIR"] = str(folder)
            os.environ["ENERGYMARKET_LOG_LEVEL"] = "WARNING"
            os.environ["DJANGO_SETTINGS_MODULE"] = "energymarket.settings.test"
            django.setup()
            call_command("migrate", verbosity=0)
            yield Servers(url, supervisor)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        home = supervisor.places.postgres_home
        if home.parent != folder:
            shutil.rmtree(home, ignore_errors=True)
