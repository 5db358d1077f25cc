"""`manage.py settle AREA DAY`: settle a day, or settle it again after a correction."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.assets.models import MarketArea
from apps.offers.services import close_finished_offers
from apps.settlement.exceptions import SettlementError
from apps.settlement.services.settle import settle_day


class Command(BaseCommand):
    help = "Settle a local day of a market area. Offers that are over or sold out are closed first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("area", help="name of the market area")
        parser.add_argument("day", type=dt.date.fromisoformat, help="local day, such as 2026-06-01")

    def handle(self, *, area: str, day: dt.date, **options: Any) -> None:
        try:
            chosen = MarketArea.objects.get(name=area)
            closing = close_finished_offers(chosen)
            settlement = settle_day(chosen, day)
        except MarketArea.DoesNotExist:
            raise CommandError(f"There is no market area named {area!r}.") from None
        except SettlementError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"version {settlement.version}: produced {settlement.produced_wh} Wh, consumed {settlement.consumed_wh} Wh,"
            f" allocated {settlement.allocated_wh} Wh; {closing} offers closed; the root waits for the ledger"
        )
