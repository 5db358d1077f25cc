"""A chain whose blocks can be taken back, and a network that is cut, on an EVM node that is always there."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hexbytes import HexBytes
from web3.types import TxParams

from apps.ledger.choices import CommandState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command, Cursor
from apps.ledger.services.listen import LISTENER, listen
from apps.ledger.services.sweep import drain, sweep
from ledger_adapters.exceptions import Reorganised, Transient
from ledger_adapters.keys import KeyFolder
from ledger_adapters.quorum.adapter import POSITIONS, QuorumLedger
from tests.evm import EvmNode, running_evm_node
from tests.faults.conftest import Use
from tests.faults.proxy import Proxy, proxy_to
from tests.faults.support import assert_applied_once, left, queue_some, say, sweeping, until_confirmed, until_reason
from tests.faults.test_quorum import WAYS

pytestmark = pytest.mark.evm


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvmNode]:
    with running_evm_node(tmp_path_factory.mktemp("faults")) as node:
        yield node


Open = Callable[..., QuorumLedger]


@pytest.fixture
def ledger(use: Use, node: EvmNode, tmp_path: Path) -> Open:
    """A new market as this installation's ledger."""
    places = {"CHAIN_ID": node.chain_id, "KEYS": str(tmp_path / "keys"), "DEPLOYMENT": str(tmp_path / "address")}
    founded = QuorumLedger.from_options("test", {**places, "RPC": node.rpc})
    community = KeyFolder(tmp_path / "keys").signer("community").public_key
    founded.found(secrets.token_bytes(32), secrets.token_bytes(32), community)

    def opened(**others: Any) -> QuorumLedger:
        found = use(QuorumLedger, {**places, "RPC": node.rpc, "TIMEOUT": 1, "WAIT": 1, **others})
        assert isinstance(found, QuorumLedger)
        return found

    return opened


def mine(node: EvmNode, blocks: int) -> None:
    for _ in range(blocks):
        node.call("evm_mine")


def states(ids: list[bytes]) -> set[str]:
    return set(Command.objects.filter(command_id__in=ids).values_list("state", flat=True))


def test_reorganisation_shallower_than_the_confirmations_releases_late(ledger: Open, node: EvmNode) -> None:
    ledger(CONFIRMATIONS=2)
    ids = queue_some()
    sweep(DEFAULT)
    early = left(ids)
    assert early
    newest = node.call("eth_getBlockByNumber", "latest", False)
    node.call("anvil_reorg", 2, [])
    again = node.call("eth_getBlockByNumber", newest["number"], False)  # type: ignore[index]
    assert again["transactions"] == [] != newest["transactions"]  # type: ignore[index]
    listen(DEFAULT)
    assert left(ids) == early
    for _ in range(6):
        sweep(DEFAULT)
        mine(node, 2)
    sweep(DEFAULT)
    assert states(ids) == {CommandState.CONFIRMED}
    assert_applied_once(ids)


def test_reorganisation_deeper_than_the_confirmations_stops_the_listener(ledger: Open, node: EvmNode) -> None:
    ledger(CONFIRMATIONS=1)
    ids = queue_some()
    sweep(DEFAULT)
    mine(node, 1)
    drain(DEFAULT)
    assert states(ids) == {CommandState.CONFIRMED}
    cursor = Cursor.objects.get(ledger=DEFAULT, reader=LISTENER)
    node.call("anvil_reorg", 3, [])
    mine(node, 3)
    late = queue_some(1)
    with pytest.raises(Reorganised, match="CONFIRMATIONS is too small"):
        listen(DEFAULT)
    assert Cursor.objects.get(pk=cursor.pk).position == cursor.position
    with sweeping():
        until_reason("CONFIRMATIONS is too small", seconds=10)
    assert CommandState.CONFIRMED not in states(late)


def test_node_that_is_behind_is_waited_for(ledger: Open, node: EvmNode) -> None:
    """As after a restart, or when the next node is asked: what was heard from another one it does not have yet."""
    ledger()
    ids = queue_some()
    drain(DEFAULT)
    ahead = int(str(node.call("eth_blockNumber")), 16) + 5
    heard = Cursor.objects.filter(ledger=DEFAULT, reader=LISTENER)
    [mark] = heard.values_list("mark", flat=True)
    position = heard.get().position
    heard.update(position=ahead * POSITIONS)
    with pytest.raises(Transient, match=rf"does not have block {ahead - 1} yet"):
        listen(DEFAULT)
    sweep(DEFAULT)
    heard.update(position=position, mark=mark)
    ids += queue_some()
    drain(DEFAULT)
    assert_applied_once(ids)


@pytest.mark.parametrize(("strike", "reason"), [pytest.param(*way, id=name) for name, way in WAYS.items()])
def test_network_cut_between_worker_and_node(
    strike: Callable[[Proxy], None], reason: str, ledger: Open, node: EvmNode
) -> None:
    with proxy_to(node.rpc) as proxy:
        ledger(RPC=f"http://{proxy.address}")
        ids = queue_some()
        with sweeping():
            until_confirmed(ids)
            strike(proxy)
            late = queue_some(1)
            until_reason(f"http://{proxy.address}", reason)
            assert left(late)
            proxy.recover()
            say(f"network cut ({reason})", until_confirmed(late))
        assert_applied_once(ids + late)


def test_duplicate_events_are_stored_once(ledger: Open) -> None:
    """A listener that was behind hears once more what others have stored meanwhile."""
    adapter = ledger()
    ids = queue_some()
    with sweeping(), sweeping(), sweeping():
        until_confirmed(ids)
    assert listen(DEFAULT) == 0
    assert_applied_once(ids)
    assert len(adapter.events(0, 1_000).events) == len(ids)


def test_market_paused_by_both_parties(ledger: Open, tmp_path: Path) -> None:
    adapter = ledger()
    ids = queue_some()
    govern(adapter, tmp_path, "pause", 2)
    with sweeping():
        until_reason("MarketPaused")
        assert left(ids) == len(ids)
        govern(adapter, tmp_path, "unpause", 3)
        say("paused market", until_confirmed(ids))
    assert_applied_once(ids)


def govern(ledger: QuorumLedger, market: Path, name: str, action: int) -> None:
    """Both parties sign; anybody may hand it in."""
    functions = ledger.market._contract.functions
    digest = functions.approvalDigest(action, 0, "0x" + "00" * 20).call()
    signatures = [KeyFolder(market / "keys").signer(party).sign(digest) for party in ("operator", "community")]
    call = functions[name](*signatures)
    sent: TxParams = {"to": ledger.market.address, "data": HexBytes(call._encode_transaction_data())}
    raw = ledger._sign(Account.create(), 0, 2_000_000, ledger.prices.now(), sent)
    receipt = ledger.w3.eth.wait_for_transaction_receipt(ledger.w3.eth.send_raw_transaction(raw), timeout=60)
    assert receipt["status"] == 1
