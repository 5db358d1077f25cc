"""`manage.py ledger init | status | verify | audit | anchors | migrate | agree`"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.figures import Figures, figures
from apps.ledger.services.founding import found_ledger, trust_anchors
from apps.ledger.services.migrate import approval, migrate
from apps.ledger.services.reconcile import Difference, audit
from apps.ledger.services.replay import verify
from ledger_adapters.exceptions import LedgerError


class Command(BaseCommand):
    help = (
        "init: set the ledger up. status: how it is doing. verify: replay all its entries and compare what comes out"
        " with what it holds. audit: compare the database with it. anchors: what its proofs are checked against."
        " migrate: move the market to another ledger, for good. agree: the community's signature over the next step"
        " of a move."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=list(ACTIONS))
        parser.add_argument("--ledger", default=DEFAULT, choices=list(settings.LEDGERS))
        parser.add_argument("--json", action="store_true", help="status as JSON")
        parser.add_argument("--to", choices=list(settings.LEDGERS), help="for migrate and agree: where the market goes")

    def handle(self, *, action: str, ledger: str, **options: Any) -> None:
        try:
            ACTIONS[action](self, ledger, options)
        except LedgerError as error:
            raise CommandError(f"ledger {ledger!r}: {error}") from error

    def init(self, ledger: str, options: dict[str, Any]) -> None:
        genesis = found_ledger(ledger)
        self.stdout.write(f"ledger {genesis.ledger.hex()} of market {genesis.market.hex()}")

    def anchors(self, ledger: str, options: dict[str, Any]) -> None:
        self.stdout.write(trust_anchors(ledger).decode())

    def status(self, ledger: str, options: dict[str, Any]) -> None:
        found = figures(ledger)
        if options["json"]:
            self.stdout.write(json.dumps(asdict(found), cls=DjangoJSONEncoder, indent=2))
        else:
            self.stdout.write("\n".join(_lines(found)))

    def verify(self, ledger: str, options: dict[str, Any]) -> None:
        found = verify(ledger, lambda done, share: self._progress(f"{done} entries, {share:.0%} of the ledger"))
        self.stdout.write(f"{found.entries} entries replayed, {found.records} records\nstate root {found.root.hex()}")
        self._name(found.differences)

    def audit(self, ledger: str, options: dict[str, Any]) -> None:
        counts: dict[str, int] = {}

        def progress(what: str, done: int) -> None:
            counts[what] = done
            self._progress(f"{what}: {done}")

        differences = audit(ledger, progress)
        self.stdout.write("compared " + ", ".join(f"{done} {what}" for what, done in counts.items()))
        self._name(differences)

    def migrate(self, ledger: str, options: dict[str, Any]) -> None:
        moved = migrate(ledger, self._target(ledger, options), lambda what, done: self._progress(f"{what}: {done}"))
        self.stdout.write(
            f"{moved.entries} entries are on ledger {options['to']!r}, sealed for ever with state root"
            f" {moved.root.hex()}\n{moved.receipts} receipts moved with them"
        )
        if moved.refused:
            self.stdout.write(f"{moved.refused} commands came while the ledger was closed and were refused")

    def agree(self, ledger: str, options: dict[str, Any]) -> None:
        found = approval(ledger, self._target(ledger, options), lambda what, done: self._progress(f"{what}: {done}"))
        if found is None:
            self.stdout.write("nothing is left to agree to: the market has moved")
            return
        step, signature = found
        self.stdout.write(f"{step.command.fields}\non ledger {step.ledger.alias!r}, digest {step.digest.hex()}")
        self.stdout.write(signature.hex())

    @staticmethod
    def _target(ledger: str, options: dict[str, Any]) -> str:
        target: str | None = options["to"]
        if target is None or target == ledger:
            raise CommandError("name the ledger that the market goes to with --to")
        return target

    def _progress(self, text: str) -> None:
        # Progress is no error, and not coloured as one.
        self.stderr.write(text, str)

    def _name(self, differences: Iterable[Difference]) -> None:
        """Exit code 1 when there are any."""
        named = [str(difference) for difference in differences]
        for each in named:
            self.stdout.write(each)
        if named:
            raise CommandError(f"{len(named)} differences")
        self.stdout.write("no differences")


ACTIONS: dict[str, Callable[[Command, str, dict[str, Any]], None]] = {
    "init": Command.init,
    "status": Command.status,
    "verify": Command.verify,
    "audit": Command.audit,
    "anchors": Command.anchors,
    "migrate": Command.migrate,
    "agree": Command.agree,
}


def _lines(found: Figures) -> Iterable[str]:
    yield f"ledger: {found.ledger} ({found.backend})"
    yield f"answers: {'no: ' + found.failure if found.failure else 'yes'}"
    for name in ("size", "time", "lag", "queued", "sent", "in_flight", "parked", "waiting_seconds"):
        value = getattr(found, name)
        yield f"{name}: {'unknown' if value is None and name in ('size', 'time', 'lag') else value or 0}"
    for lane in found.lanes:
        words = f"lane {lane.number}: {lane.queued} queued, {lane.sent} sent, {lane.conflicts} conflicts"
        if lane.at_work:
            words += ", at work"
        if lane.last_failure:
            when = lane.failed_at.isoformat(timespec="seconds") if lane.failed_at else ""
            words += f", {'once failed' if lane.over else 'fails'} ({when}): {lane.last_failure}"
        yield words
    for each in found.expiries:
        days = f"{each.seconds // 86_400} days" if each.seconds >= 0 else "ended"
        words = f"certificate {each.setting}: until {each.ends.isoformat(timespec='seconds')} ({days})"
        yield words + (", renew it" if each.near else "")
    for reader in found.readers:
        yield f"reader {reader.name}: at {reader.position}" + (f", {reader.behind} behind" if reader.behind else "")
