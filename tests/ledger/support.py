"""What the tests of the outbox share: commands to queue, workers to start, and what must hold in the end."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.choices import PartyKind, PartyRole
from apps.accounts.models import Party
from apps.assets.models import MarketArea, MeteringPoint
from apps.ledger.choices import CommandState, LedgerState
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command, Event, Lane
from apps.ledger.services.enqueue import enqueue
from evidence.commands import Command as LedgerCommand
from evidence.commands import Fields
from evidence.commands.kinds import AnchorReadings
from evidence.keys import Signer
from ledger_adapters.contract import Code
from tests.ledger.faulty import FaultyLedger

PROJECT = Path(__file__).resolve().parents[2]
DAY = 20_000


def database_url() -> str:
    """The address of the tests' own database."""
    return urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


def faulty() -> FaultyLedger:
    adapter = get_ledger(DEFAULT)
    assert isinstance(adapter, FaultyLedger)
    return adapter


def make_utility() -> Party:
    """A utility that the ledger knows already, as far as the database can tell."""
    return Party.objects.create(
        name="Utility", kind=PartyKind.ORGANISATION, role=PartyRole.UTILITY, ledger_state=LedgerState.CONFIRMED
    )


def make_point(owner: Party) -> MeteringPoint:
    assert owner.utility is not None
    area = MarketArea.objects.create(utility=owner.utility, name="Area")
    return MeteringPoint.objects.create(area=area, party=owner, code="P-1")


def anchor(area: int, number: int) -> AnchorReadings:
    """Commands with the same `area` share a stream and may come in any order."""
    return AnchorReadings(area.to_bytes(32, "big"), DAY, 0, 900, 1, number.to_bytes(32, "big"))


def queue(*fields: Fields, **options: Any) -> list[bytes]:
    """Queue each command in a transaction of its own."""
    ids = []
    for each in fields:
        with transaction.atomic():
            ids.append(enqueue(each, **options))
    return ids


def apply_directly(fields: Fields, *signers: Signer, nonce: bytes = b"\x77" * 32) -> bytes:
    """Put a command on the ledger that this installation's outbox knows nothing of."""
    ledger = faulty()
    genesis = ledger.genesis()
    command = LedgerCommand(genesis.market, nonce, fields).signed_by(genesis.ledger, *signers)
    ledger.submit(ledger.prepare([command.envelope.encode()]))
    outcome = ledger.events(ledger.health().size - 1, 1).events[0].outcome
    assert (outcome.id, outcome.code) == (command.id, Code.APPLIED)
    return command.id


class Workers:
    """Starts worker processes by forking one that has loaded everything; see `tests.ledger.worker`."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "energymarket.settings.test",
        }
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.worker"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, **request: Any) -> int | None:
        assert self._parent.stdin and self._parent.stdout
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        answer: int | None = json.loads(self._parent.stdout.readline())
        return answer

    def start(self, die_at: str = "", passes: int = 0, until: Path | None = None) -> int:
        """Sweep once, or until a file appears; gives the process id."""
        options = {"ledgers": settings.LEDGERS, "die_at": die_at, "passes": passes, "until": str(until or "")}
        pid = self._ask(start=options)
        assert pid
        return pid

    def wait(self, pid: int) -> int | None:
        """The exit code, negative for the signal that ended it."""
        return self._ask(wait=pid)

    def run(self, die_at: str = "", passes: int = 0) -> int | None:
        return self.wait(self.start(die_at, passes))

    def close(self) -> None:
        self._parent.communicate()


def end_leases() -> None:
    """As if a minute had gone by: what a dead worker held is free again."""
    Lane.objects.exclude(leased_until=None).update(leased_until=timezone.now())


def on_ledger() -> list[tuple[bytes, Code]]:
    """Every outcome on the ledger itself, in its order."""
    return [(event.outcome.id, event.outcome.code) for event in get_ledger(DEFAULT).events(0, 100_000).events]


def assert_once_each(ids: Iterable[bytes]) -> None:
    """Each command was applied once, the outbox has its receipt, and streams kept their order."""
    wanted = list(ids)
    applied = [command for command, code in on_ledger() if code is Code.APPLIED]
    assert sorted(command for command in applied if command in wanted) == sorted(wanted)
    assert len(on_ledger()) == Event.objects.count()
    receipts = Command.objects.filter(command_id__in=wanted)
    assert {receipt.state for receipt in receipts} == {CommandState.CONFIRMED}
    for stream in {receipt.stream_id for receipt in receipts}:
        entries = [receipt.event or 0 for receipt in receipts.filter(stream=stream).order_by("position")]
        assert entries == sorted(entries)
