"""`manage.py demo [--once]`"""

import datetime as dt
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.portal.demo import stage
from apps.portal.demo.checks import Findings
from apps.portal.demo.console import hush
from apps.portal.demo.exceptions import DemoError
from energymarket.supervisor.places import Places
from energymarket.supervisor.processes import SupervisorError

# Says that a data folder was made by `--once` and may be removed.
MARK = "throw-away"
INTERRUPTED = 130
SERVERS = ("DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE")


class Command(BaseCommand):
    help = "Run a small market of invented people, with its servers, workers and meter agents, until Ctrl-C."
    # The ledger's network, whose options are checked, is started by the command itself.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="do one market day in a throw-away folder, check it, print the result as JSON in the last line",
        )
        parser.add_argument("--day", type=dt.date.fromisoformat, help="the day for --once; without it yesterday")

    def handle(self, *, once: bool, day: dt.date | None, **options: Any) -> None:
        if day is not None and not once:
            raise CommandError("--day goes with --once.")
        hush()
        if once:
            self.do_once(day)
        else:
            self.do_live()

    def do_live(self) -> None:
        try:
            stage.run(lambda line: self.stdout.write(line))
        except KeyboardInterrupt:
            self.stdout.write("Everything that was started has ended.")
        except (DemoError, SupervisorError) as error:
            raise CommandError(str(error)) from None

    def do_once(self, day: dt.date | None) -> None:
        if not (settings.DATA_DIR / MARK).exists():
            start_in_throw_away_folder()
        places = Places(settings.DATA_DIR)
        start = float((settings.DATA_DIR / MARK).read_text(encoding="ascii"))
        findings = Findings()
        try:
            findings = stage.run_once(lambda line: self.stderr.write(line), day)
        except KeyboardInterrupt:
            findings.failures.append("interrupted")
        except Exception as error:
            # Whoever started this reads the last line, whatever went wrong.
            traceback.print_exc()
            findings.failures.append(f"{type(error).__name__}: {error}")
        interrupted = findings.failures == ["interrupted"]
        if findings.failures and not interrupted:
            self.stderr.write(f"The data folder is kept: {settings.DATA_DIR}")
        else:
            stage.remove_data(places)
        self.stdout.write(json.dumps(findings.summary(time.time() - start)))
        if findings.failures:
            sys.exit(INTERRUPTED if interrupted else 1)


def start_in_throw_away_folder() -> NoReturn:
    """Start this program anew: settings are read once, and they name the data folder."""
    folder = Path(tempfile.mkdtemp(prefix="energymarket-"))
    if os.geteuid() == 0:
        folder.chmod(0o755)  # PostgreSQL runs as another user
    (folder / MARK).write_text(str(time.time()), encoding="ascii")
    environment = {name: value for name, value in os.environ.items() if name not in SERVERS}
    environment["ENERGYMARKET_DATA_DIR"] = str(folder)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 no shell is wanted
