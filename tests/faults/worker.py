"""A worker that is killed in the middle of a push: `python -m tests.faults.worker LEDGERS PLACE`.

LEDGERS is the setting as a Python literal. PLACE: "stored" before the transaction is sent, "sent" when the ledger has
taken it and nobody knows yet what became of it, "final" when that is known and not noted.
"""

import ast
import os
import signal
import sys
from typing import Any

import django
from django.conf import settings

django.setup()

from apps.ledger.ledgers import DEFAULT, get_ledger  # noqa: E402
from apps.ledger.services.sweep import sweep  # noqa: E402
from ledger_adapters.base import LedgerAdapter, Transaction  # noqa: E402
from ledger_adapters.fabric.adapter import FabricLedger  # noqa: E402
from ledger_adapters.quorum.adapter import QuorumLedger  # noqa: E402


def die(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def prepare_to_die(ledger: LedgerAdapter, place: str) -> None:
    if place == "stored":
        ledger.submit = die  # type: ignore[method-assign]
    elif place == "final":
        submit = ledger.submit

        def last(transaction: Transaction) -> None:
            submit(transaction)
            die()

        ledger.submit = last  # type: ignore[method-assign]
    elif isinstance(ledger, QuorumLedger):
        ledger._is_final = die  # type: ignore[method-assign]
    elif isinstance(ledger, FabricLedger):
        ledger.gateway.commit_status = die  # type: ignore[method-assign]


def main(ledgers: str, place: str) -> None:
    settings.LEDGERS = ast.literal_eval(ledgers)
    prepare_to_die(get_ledger(DEFAULT), place)
    sweep(DEFAULT)


if __name__ == "__main__":
    main(*sys.argv[1:])
