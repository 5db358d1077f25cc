"""Servers of the benchmarks' own in a folder that is thrown away, with the settings of production: fsync on."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.core.management import call_command

from energymarket.supervisor.core import Supervisor
from energymarket.supervisor.postgres import launch_postgres


@contextmanager
def own_database() -> Iterator[str]:
    """A PostgreSQL with the project's tables, and Django set up on it; gives its URL. Once per process."""
    folder = Path(tempfile.mkdtemp(prefix="energymarket-bench-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    try:
        with Supervisor(folder) as supervisor:
            url = launch_postgres(supervisor)
            os.environ["DATABASE_URL"] = url
            os.environ["ENERGYMARKET_DATA_DIR"] = str(folder)
            os.environ["DJANGO_SETTINGS_MODULE"] = "energymarket.settings.test"
            django.setup()
            call_command("migrate", verbosity=0)
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        home = supervisor.places.postgres_home
        if home.parent != folder:
            shutil.rmtree(home, ignore_errors=True)
