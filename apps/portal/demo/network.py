"""The ledger's network, where the demonstration runs on another ledger than the embedded one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings

from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.founding import found_ledger
from apps.portal.demo.exceptions import DemoError
from ledger_adapters.exceptions import NotAgreed

NAMES = {"quorum": "GoQuorum, four validators", "fabric": "Hyperledger Fabric, two organisations"}


@contextmanager
def ledger_network(say: Callable[[str], None]) -> Iterator[None]:
    """Start a local network in the data folder and stop it again; nothing for the embedded ledger."""
    if settings.LEDGER == "embedded":
        yield
        return
    say(f"Starting {NAMES[settings.LEDGER]} ...")
    settings.LEDGER_OPTIONS.parent.mkdir(parents=True, exist_ok=True)
    try:
        _network("start")
        settings.LEDGER_OPTIONS.write_text(_network("options"), encoding="utf-8")
        yield
    finally:
        _network("stop")


def found() -> None:
    """Set the ledger up. On Fabric each organisation agrees to the first record before; here one hand leads both."""
    try:
        found_ledger(DEFAULT)
    except NotAgreed as error:
        _network("agree", "--genesis", error.digest.hex())
        found_ledger(DEFAULT)


def _network(command: str, *arguments: str) -> str:
    folder = settings.LEDGER_OPTIONS.parent / "network"
    program = [sys.executable, "-m", f"deploy.{settings.LEDGER}.network", command, "--folder", str(folder), *arguments]
    # In a session of its own: Ctrl-C is for us, who then stop the network in its turn.
    finished = subprocess.run(  # noqa: S603 our own program
        program, cwd=settings.BASE_DIR, capture_output=True, text=True, start_new_session=True
    )
    if finished.returncode:
        raise DemoError(f"The network did not {command}: {(finished.stderr or finished.stdout).strip()[-2000:]}")
    return finished.stdout
