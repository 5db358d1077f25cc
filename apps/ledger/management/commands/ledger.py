"""`manage.py ledger init | status | anchors`"""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.founding import found_ledger, trust_anchors
from apps.ledger.services.status import status


class Command(BaseCommand):
    help = "Set up a ledger, say how it is doing, or print what its proofs are checked against."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["init", "status", "anchors"])
        parser.add_argument("--ledger", default=DEFAULT, choices=list(settings.LEDGERS))

    def handle(self, *, action: str, ledger: str, **options: Any) -> None:
        if action == "init":
            genesis = found_ledger(ledger)
            self.stdout.write(f"ledger {genesis.ledger.hex()} of market {genesis.market.hex()}")
        elif action == "status":
            for name, value in asdict(status(ledger)).items():
                self.stdout.write(f"{name}: {value}")
        else:
            self.stdout.write(trust_anchors(ledger).decode())
