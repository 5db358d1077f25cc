"""Worker processes for the tests of faults: `python -m tests.ledger.worker` forks one per line of standard input.

A line is a JSON object. `start`: `ledgers` is the setting, `die_at` a place of the faulty ledger or "compensation", at
which the process kills itself, after letting `passes` calls through; `until` a file to appear, before which it goes on
sweeping. `wait`, `poll`: a process id. The answer is a line too: the process id, the exit code, or null.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import django
from django.conf import settings

django.setup()

from apps.ledger.consumers import Told  # noqa: E402
from apps.ledger.ledgers import DEFAULT, get_ledger  # noqa: E402
from apps.ledger.services.sweep import sweep  # noqa: E402
from apps.offers.consumer import CONSUMER  # noqa: E402
from evidence.commands.kinds import CommitPurchase  # noqa: E402
from tests.ledger.faulty import FaultyLedger, die  # noqa: E402


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        answer: int | None
        if "start" in request:
            answer = start(request["start"])
        else:
            options = os.WNOHANG if "poll" in request else 0
            pid, status = os.waitpid(request.get("poll") or request["wait"], options)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), flush=True)


def start(options: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work(options)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def work(options: dict[str, Any]) -> None:
    settings.LEDGERS = options["ledgers"]
    ledger = get_ledger(DEFAULT)
    assert isinstance(ledger, FaultyLedger)
    if options["die_at"] == "compensation":
        die_after_compensation()
    elif options["die_at"]:
        ledger.fail(options["die_at"], *[None] * options["passes"], die)
    sweep(DEFAULT)
    while options["until"] and not Path(options["until"]).exists():
        sweep(DEFAULT)
        time.sleep(0.01)


def die_after_compensation() -> None:
    compensate = CONSUMER.rejected[CommitPurchase]

    def handler(told: Told) -> None:
        compensate(told)
        die()

    assert isinstance(CONSUMER.rejected, dict)
    CONSUMER.rejected[CommitPurchase] = handler


if __name__ == "__main__":
    main()
