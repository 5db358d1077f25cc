"""`manage.py declare_surplus AREA DAY`: put a day's metered surplus on sale."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.assets.models import MarketArea
from apps.offers.services import declare_day


class Command(BaseCommand):
    help = "Declare what each plant of a market area made on a local day and its own site did not use."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("area", help="name of the market area")
        parser.add_argument("day", type=dt.date.fromisoformat, help="local day, such as 2026-06-01")

    def handle(self, *, area: str, day: dt.date, **options: Any) -> None:
        chosen = MarketArea.objects.filter(name=area).first()
        if chosen is None:
            raise CommandError(f"There is no market area named {area!r}.")
        for declaration in declare_day(chosen, day):
            self.stdout.write(f"{declaration.plant}: {declaration.energy_wh} Wh")
