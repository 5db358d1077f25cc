"""Quorum with a run going on: nodes are killed, cut off, full or slow, workers die; nothing is lost or done twice."""

import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection

from apps.ledger.choices import CommandState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command, Lane
from apps.ledger.services.listen import listen
from deploy.quorum.network import Network
from deploy.quorum.node import NetworkError
from ledger_adapters.keys import KeyFolder
from ledger_adapters.quorum.adapter import QuorumLedger
from tests.faults.conftest import Use
from tests.faults.proxy import Proxy, proxy_to
from tests.faults.support import (
    PLACES,
    RECOVERY,
    Worker,
    assert_applied_once,
    left,
    limit_files,
    queue_some,
    say,
    soak_only,
    standing,
    sweeping,
    until,
    until_confirmed,
    until_reason,
)
from tests.ledger.support import end_leases
from tests.quorum.conftest import SETTINGS, running_network

pytestmark = pytest.mark.quorum


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running_network(tmp_path_factory.mktemp("faults") / "network", SETTINGS) as network:
        yield network


@pytest.fixture(scope="module")
def market(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the keys and the address of a market on it are."""
    folder = tmp_path_factory.mktemp("market")
    community = KeyFolder(folder / "keys").signer("community").public_key
    ledger = QuorumLedger.from_options("test", options(network, folder))
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), community)
    return folder


def options(network: Network, market: Path, **others: Any) -> dict[str, Any]:
    ways = {"KEYS": str(market / "keys"), "DEPLOYMENT": str(market / "address")}
    return {**network.options(), **ways, "TIMEOUT": 2, "WAIT": 4, **others}


@pytest.fixture
def whole(network: Network) -> Iterator[Network]:
    """The network, whole again for those who come after."""
    yield network
    network.start()


@pytest.fixture
def ledger(use: Use, market: Path, whole: Network) -> Callable[..., QuorumLedger]:
    """The market as this installation's ledger, reached through the named nodes or at these addresses."""

    def through(*places: str, **others: Any) -> QuorumLedger:
        rpc = [place if "://" in place else whole.node(place).rpc for place in places]
        found = use(QuorumLedger, options(whole, market, **{"RPC": rpc} if rpc else {}, **others))
        assert isinstance(found, QuorumLedger)
        return found

    return through


Through = Callable[..., QuorumLedger]


def test_blocks_that_never_come_until_validators_are_back(ledger: Through, whole: Network) -> None:
    ledger("node1", "node2")
    ids = queue_some()
    with sweeping():
        until_confirmed(ids)
        whole.kill("node3")
        whole.kill("node4")
        # One more block may have been agreed on already.
        with pytest.raises(NetworkError, match="not every node has block"):
            whole.wait_for_blocks(2, timeout=4)
        late = queue_some()
        until_reason("in no block")
        assert left(late) == len(late)
        assert Command.objects.filter(command_id__in=late, state=CommandState.SENT).exists()
        whole.restart("node3")
        say("a block that never came", until_confirmed(late))
    assert standing() == "no reason given"
    assert_applied_once(ids + late)


def test_the_next_node_is_asked_when_the_first_is_killed(ledger: Through, whole: Network) -> None:
    """Three of four validators go on without it."""
    ledger("node1", "node2")
    ids = queue_some()
    with sweeping():
        until(lambda: left(ids) < len(ids), 30, "nothing moves")
        whole.kill("node1")
        ids += queue_some()
        say("the node that was asked killed, another one listed", until_confirmed(ids))
    assert_applied_once(ids)


def test_the_only_node_is_killed_and_comes_back(ledger: Through, whole: Network) -> None:
    """What it had taken and not handed on is sent to it once more."""
    ledger("node1")
    ids = queue_some()
    with sweeping():
        until(lambda: left(ids) < len(ids), 30, "nothing moves")
        ids += queue_some()
        whole.kill("node1")
        ids += queue_some()
        until_reason("Connection refused")
        whole.restart("node1")
        say("the only node killed", until_confirmed(ids))
    assert_applied_once(ids)


# How, and what of the reason must be shown besides the node's address.
WAYS: dict[str, tuple[Callable[[Proxy], None], str]] = {
    "refused": (Proxy.refuse, "Connection refused"),
    "hanging": (Proxy.hang, "Read timed out"),
    "cut-in-the-status-line": (lambda proxy: proxy.cut(40), ""),
    "cut-in-the-answer": (lambda proxy: proxy.cut(200), ""),
}
CUTS = [
    # The others of these on an EVM node, where no block has to be waited for.
    pytest.param(*way, id=name, marks=() if name == "cut-in-the-answer" else soak_only)
    for name, way in WAYS.items()
]


@pytest.mark.parametrize(("strike", "reason"), CUTS)
def test_network_cut_between_worker_and_node(
    strike: Callable[[Proxy], None], reason: str, ledger: Through, whole: Network
) -> None:
    with proxy_to(whole.node("node1").rpc) as proxy:
        ledger(f"http://{proxy.address}")
        ids = queue_some()
        with sweeping():
            until(lambda: left(ids) < len(ids), 30, "nothing moves")
            strike(proxy)
            # Few: whoever asks a ledger that hangs waits for its answer first.
            ids += queue_some(2)
            until_reason(f"http://{proxy.address}", reason)
            assert left(ids)
            proxy.recover()
            say(f"network cut ({reason})", until_confirmed(ids))
        assert_applied_once(ids)


@pytest.mark.parametrize("place", PLACES)
def test_worker_killed_in_the_middle(place: str, ledger: Through, tmp_path: Path) -> None:
    ledger("node1")
    ids = queue_some()
    Worker(django_settings.LEDGERS, place, tmp_path).wait_until_dead()
    assert Lane.objects.exclude(leased_until=None).exists()
    assert left(ids) == len(ids)
    end_leases()
    with sweeping():
        say(f"worker killed ({place})", until_confirmed(ids))
    assert_applied_once(ids)


@soak_only
def test_two_workers_hear_the_same_events(ledger: Through) -> None:
    ledger("node1")
    ids = queue_some()
    with sweeping(), sweeping():
        listening = [threading.Thread(target=listen_and_close) for _ in range(4)]
        for thread in listening:
            thread.start()
        until_confirmed(ids)
        for thread in listening:
            thread.join()
    assert_applied_once(ids)
    assert listen(DEFAULT) == 0


def listen_and_close() -> None:
    try:
        for _ in range(10):
            listen(DEFAULT)
    finally:
        connection.close()


def test_full_disk_at_the_only_node(ledger: Through, whole: Network) -> None:
    """By a limit on the size of its files. The others go on; with room again it does, too."""
    ledger("node1")
    ids = queue_some()
    with sweeping():
        until_confirmed(ids)
        pid = whole.pid(whole.node("node1"))
        assert pid
        limit_files(pid, 4096)
        late = queue_some()
        until_reason("http://127.0.0.1")
        whole.wait_for_blocks(2)
        assert left(late)
        whole.restart("node1")
        say("full disk", until_confirmed(late))
    assert_applied_once(ids + late)


@soak_only
@pytest.mark.timeout(1_800)
def test_one_fault_after_another(ledger: Through, whole: Network) -> None:
    """Each node killed in turn, each way to cut the network, a full disk, with commands all the time."""
    with proxy_to(whole.node("node1").rpc) as proxy:
        ledger(f"http://{proxy.address}", "node2")
        ids: list[bytes] = []
        with sweeping():
            for round_ in range(3):
                for number in range(1, 5):
                    ids += queue_some()
                    whole.kill(f"node{number}")
                    ids += queue_some()
                    until_confirmed(ids)
                    whole.restart(f"node{number}")
                for strike, _ in WAYS.values():
                    strike(proxy)
                    ids += queue_some()
                    until_confirmed(ids)
                    proxy.recover()
                for node in whole.nodes:
                    whole.kill(node.name)
                ids += queue_some()
                whole.start()
                say(f"round {round_}: all nodes killed", until_confirmed(ids))
        assert_applied_once(ids)


@soak_only
def test_a_dead_worker_keeps_its_lanes_no_longer_than_its_lease(ledger: Through, tmp_path: Path) -> None:
    ledger("node1")
    ids = queue_some()
    Worker(django_settings.LEDGERS, "sent", tmp_path).wait_until_dead()
    with sweeping():
        say("worker killed, its lease waited for", until_confirmed(ids, RECOVERY + 30))
    assert_applied_once(ids)
