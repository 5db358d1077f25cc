"""`manage.py market_day 2026-11-20 [--check]`"""

import datetime as dt
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.portal.demo.checks import check_day
from apps.portal.demo.console import hush
from apps.portal.demo.day import Clerk
from apps.portal.demo.exceptions import DemoError
from apps.portal.demo.market import find_market
from apps.portal.demo.stage import NotYet


class Command(BaseCommand):
    help = "Finish a past day of the demonstration that is running: offers end, the day is settled and invoiced."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("day", type=dt.date.fromisoformat)
        parser.add_argument("--check", action="store_true", help="only check a settled day, and print the result")

    def handle(self, *, day: dt.date, check: bool, **options: Any) -> None:
        hush()
        start = time.monotonic()
        area = find_market()
        if area is None:
            raise CommandError("There is no demonstration in this database; start one with `make demo`.")
        if not check:
            try:
                Clerk(area, lambda: None, lambda line: self.stdout.write(line)).finish_or_trade(day)
            except (DemoError, *NotYet) as error:
                raise CommandError(str(error)) from None
            return
        with tempfile.TemporaryDirectory() as folder:
            findings = check_day(area, day, {}, Path(folder))
        self.stdout.write(json.dumps(findings.summary(time.monotonic() - start)))
        if findings.failures:
            sys.exit(1)
