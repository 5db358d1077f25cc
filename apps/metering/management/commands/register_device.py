"""`manage.py register_device AREA NAME X Y POINT...`: let a meter box sign readings."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.assets.models import MarketArea, MeteringPoint
from apps.assets.services import reading_secret
from apps.metering.services.devices import register_device
from evidence.keys import Algorithm, BadKey, PublicKey


class Command(BaseCommand):
    help = (
        "Register a box by the public key that `meter-agent key` printed, and print what its settings need: ids,"
        " and the secrets that salt its readings. Hand them over on a safe way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("area", help="name of the market area")
        parser.add_argument("name", help="name of the box")
        parser.add_argument("x", type=bytes.fromhex, help="x of its P-256 key, in hex")
        parser.add_argument("y", type=bytes.fromhex, help="y of its P-256 key, in hex")
        parser.add_argument("points", nargs="+", help="codes of the metering points that it measures")

    def handle(self, *, area: str, name: str, x: bytes, y: bytes, points: list[str], **options: Any) -> None:
        found = list(MeteringPoint.objects.filter(area__name=area, code__in=points).select_related("party", "area"))
        if missing := set(points) - {point.code for point in found}:
            raise CommandError(f"Not in market area {area!r}: {', '.join(sorted(missing))}.")
        chosen = MarketArea.objects.select_related("utility").get(name=area)
        try:
            key = PublicKey(Algorithm.P256, x, y)
            device = register_device(area=chosen, owner=chosen.utility, name=name, key=key, points=found)
        except BadKey:
            raise CommandError("This is no point of the curve P-256.") from None
        self.stdout.write(f'device = "{bytes(device.ledger_id).hex()}"')
        for point in found:
            secret = reading_secret(point.occupancies.get(until=None))
            self.stdout.write(f"[[points]]  # {point.code}")
            self.stdout.write(f'id = "{bytes(point.ledger_id).hex()}"')
            self.stdout.write(f'secret = "{secret.hex()}"')
