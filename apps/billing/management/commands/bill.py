"""`manage.py bill AREA START END`: issue the invoices and credit notes of a period."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.assets.models import MarketArea
from apps.billing.exceptions import BillingError
from apps.billing.services.invoices import bill_area


class Command(BaseCommand):
    help = "Issue documents for the local days from START to the day before END. What was issued before stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("area", help="name of the market area")
        parser.add_argument("start", type=dt.date.fromisoformat, help="first day, such as 2026-06-01")
        parser.add_argument("end", type=dt.date.fromisoformat, help="the day after the last")

    def handle(self, *, area: str, start: dt.date, end: dt.date, **options: Any) -> None:
        chosen = MarketArea.objects.filter(name=area).first()
        if chosen is None:
            raise CommandError(f"There is no market area named {area!r}.")
        try:
            issued = bill_area(chosen, start, end)
        except BillingError as error:
            raise CommandError(str(error)) from None
        for invoice in issued:
            self.stdout.write(f"{invoice.full_number}: {invoice.total_minor} minor units {invoice.currency}")
