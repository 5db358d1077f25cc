"""How long a person waits: from the database's commit until the app has heard the ledger's answer."""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.test.utils import override_settings

from apps.accounts.choices import PartyKind, PartyRole
from apps.accounts.models import Party
from apps.accounts.services.parties import register_party
from apps.ledger.choices import LedgerState
from apps.ledger.ledgers import DEFAULT, get_ledger
from bench.chains import Chain
from bench.measure import Delay, timed
from bench.servers import Servers
from energymarket.supervisor.core import Child, StopOrder
from ledger_adapters.fabric.adapter import FabricLedger

AIM = 1.5
PAUSE = 0.002  # seconds between two looks at the database
PATIENCE = 60.0
SAMPLES_PER_ROUND = 15
SEED = 20_260_101
WORKER = [sys.executable, "-m", "celery", "--app", "energymarket", "worker", "--pool", "solo", "--without-mingle"]


PERCENTILES = (50, 99)


def names(chain: str) -> list[str]:
    return [f"{chain}.confirmed.p{percentile}" for percentile in PERCENTILES]


@dataclass(frozen=True)
class Network:
    """A chain that nothing was sent to yet. `empty` sends the shortest transaction and waits until it is final.

    `period`: seconds between two blocks.
    """

    name: str
    ledger: Chain
    options: Mapping[str, Any]
    empty: Callable[[], object]
    period: float
    conditions: str


def figures(network: Network, servers: Servers, rounds: int) -> list[Delay]:
    """Both sides in turn, each from a moment of its own between two blocks."""
    moments = random.Random(SEED)
    ours, baseline = [], []
    with market_on(network, servers) as utility:
        confirmed(utility)
        network.empty()
        for _ in range(rounds * SAMPLES_PER_ROUND):
            time.sleep(moments.uniform(0, network.period))
            ours.append(confirmed(utility))
            time.sleep(moments.uniform(0, network.period))
            baseline.append(timed(network.empty))
    conditions = (
        "from the commit that queues the registration of a party until the worker has marked the party as confirmed;"
        f" the baseline sends an empty transaction and waits until it is final, {network.conditions}"
    )
    return [
        Delay(name, percentile, ours, baseline, AIM, conditions)
        for name, percentile in zip(names(network.name), PERCENTILES, strict=True)
    ]


@contextmanager
def market_on(network: Network, servers: Servers) -> Iterator[Party]:
    """An empty database whose ledger this is, and a worker beside us as in production; gives the utility."""
    backend = f"{type(network.ledger).__module__}.{type(network.ledger).__qualname__}"
    call_command("flush", interactive=False, verbosity=0)
    ledgers = {DEFAULT: {"BACKEND": backend, "OPTIONS": dict(network.options)}}
    path = servers.supervisor.places.root / f"{network.name}.json"
    path.write_text(json.dumps(network.options), encoding="utf-8")
    environment = {
        "DATABASE_URL": servers.database_url,
        "DJANGO_SETTINGS_MODULE": "energymarket.settings.base",
        "ENERGYMARKET_LEDGER": network.name,
        "ENERGYMARKET_LEDGER_OPTIONS": str(path),
    }
    worker = Child("worker", WORKER, StopOrder.WORKER, environment=environment, folder=settings.BASE_DIR)
    with override_settings(LEDGERS=ledgers), fresh_ledger():
        servers.supervisor.start(worker)
        try:
            yield Party.objects.create(
                name="Utility", kind=PartyKind.ORGANISATION, role=PartyRole.UTILITY, ledger_state=LedgerState.CONFIRMED
            )
        finally:
            servers.supervisor.stop_child("worker")


@contextmanager
def fresh_ledger() -> Iterator[None]:
    """What `LEDGERS` says now, for as long."""
    get_ledger.cache_clear()
    try:
        yield
    finally:
        adapter = get_ledger(DEFAULT)
        if isinstance(adapter, FabricLedger):
            adapter.gateway.close()
        get_ledger.cache_clear()


def confirmed(utility: Party) -> float:
    """Register a party; gives the seconds from the commit of that until the party is confirmed."""
    with transaction.atomic():
        # Before what the service itself does at the commit, which is to wake the worker.
        committed: list[float] = []
        transaction.on_commit(lambda: committed.append(time.perf_counter()))
        party = register_party(name="Party", utility=utility)
    states = Party.objects.filter(pk=party.pk).values_list("ledger_state", flat=True)
    while states.get() == LedgerState.PENDING:
        if time.perf_counter() > committed[0] + PATIENCE:
            raise TimeoutError(f"no answer after {PATIENCE:.0f} s; the worker's log is in its folder")
        time.sleep(PAUSE)
    seconds = time.perf_counter() - committed[0]
    if (state := states.get()) != LedgerState.CONFIRMED:
        raise RuntimeError(f"the ledger's answer is {state}")
    return seconds
