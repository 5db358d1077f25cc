"""A node of ours on a network that others run: of theirs it has the genesis file, enodes and an account."""

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from deploy.quorum.foreign import Foreign, read_enodes, settings_of
from deploy.quorum.genesis import Settings, genesis
from deploy.quorum.network import Network
from deploy.quorum.node import NetworkError, call, validators, wait_until
from energymarket.settings.environment import PROJECT_DIR
from evidence.bundle import QuorumLog
from evidence.keys import SoftwareKey
from evidence.verify.ledger import read_log
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.quorum.adapter import QuorumLedger
from tests.quorum.conftest import SETTINGS, running_network
from tests.quorum.recording import registration

ENODE = f"enode://{'ab' * 64}@10.1.2.3:21000?discport=0"
PRICE = 1_000
ETHER = 10**18


def run(command: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "deploy.quorum.network", command, "--folder", str(folder), *arguments]
    return subprocess.run(program, cwd=PROJECT_DIR, capture_output=True, text=True)


# What is handed over


def test_enodes_are_read_once_each(tmp_path: Path) -> None:
    (tmp_path / "static-nodes.json").write_text(json.dumps([ENODE, ENODE.replace("10.1.2.3", "10.1.2.4")]))
    enodes = read_enodes([ENODE], [tmp_path / "static-nodes.json"])
    assert enodes == (ENODE, ENODE.replace("10.1.2.3", "10.1.2.4"))
    assert Foreign(enodes).hosts == ["10.1.2.3", "10.1.2.4"]


@pytest.mark.parametrize("content", ["nonsense", "{}", '["http://10.1.2.3"]', "[7]", "[]"])
def test_other_lists_of_nodes_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "static-nodes.json").write_text(content)
    with pytest.raises(NetworkError):
        read_enodes([], [tmp_path / "static-nodes.json"])


def test_a_genesis_file_says_what_the_network_is(tmp_path: Path) -> None:
    written = genesis(Settings(chain_id=83_584_648_538, consensus="ibft"), [], [])
    (tmp_path / "genesis.json").write_text(json.dumps(written))
    found = settings_of(tmp_path / "genesis.json", 5)
    assert (found.chain_id, found.consensus, found.validators, found.gas_price) == (83_584_648_538, "ibft", 0, 5)


@pytest.mark.parametrize("content", ["nonsense", "{}", '{"config": {"chainId": 1}}', '{"config": []}'])
def test_other_genesis_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text(content)
    with pytest.raises(NetworkError, match=f"^{tmp_path / 'genesis.json'} "):
        settings_of(tmp_path / "genesis.json", 0)


# Two networks that run


@dataclass(frozen=True)
class HandedOver:
    """All that is known of the network of others; `theirs` itself is looked at from outside only."""

    theirs: Network
    folder: Path

    @property
    def arguments(self) -> list[str]:
        nodes = [str(self.folder / "static-nodes.json")]
        return ["--genesis", str(self.folder / "genesis.json"), "--nodes", *nodes, "--gas-price", str(PRICE)]


@pytest.fixture(scope="module")
def handed_over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandedOver]:
    """Gas has a price there, and one account that was handed over owns ether."""
    folder = tmp_path_factory.mktemp("handed")
    settings = replace(SETTINGS, chain_id=99_001, validators=2, gas_price=PRICE)
    with running_network(tmp_path_factory.mktemp("theirs") / "network", settings) as theirs:
        shutil.copy(theirs.folder / "genesis.json", folder)
        shutil.copy(theirs.folder / "keys" / "sender1", folder / "account")
        (folder / "static-nodes.json").write_text(json.dumps([node.enode for node in theirs.nodes]))
        yield HandedOver(theirs, folder)


@pytest.fixture(scope="module")
def member(handed_over: HandedOver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of our node."""
    folder = tmp_path_factory.mktemp("ours") / "network"
    finished = run("attach", folder, *handed_over.arguments)
    try:
        assert finished.returncode == 0, finished.stderr
        yield folder
    finally:
        run("stop", folder)


@pytest.fixture(scope="module")
def founded(member: Path, handed_over: HandedOver, tmp_path_factory: pytest.TempPathFactory) -> QuorumLedger:
    """A market that the account put on the chain, by way of our node. The account gives the senders their ether."""
    folder = tmp_path_factory.mktemp("market")
    own = {"KEYS": folder / "keys", "DEPLOYMENT": folder / "address", "FOUNDER": handed_over.folder / "account"}
    ledger = QuorumLedger.from_options("test", {**options_of(member), **own})
    account = Account.from_key((handed_over.folder / "account").read_text())
    for nonce, sender in enumerate(ledger.senders):
        fields = {"to": sender.address, "value": ETHER, "gas": 21_000, "gasPrice": PRICE, "nonce": nonce}
        signed = account.sign_transaction({**fields, "chainId": ledger.options.chain_id})
        ledger.w3.eth.send_raw_transaction(signed.raw_transaction)
    wait_until(lambda: ledger.w3.eth.get_balance(ledger.senders[-1].address) == ETHER, 30, "there is no ether")
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    return ledger


def options_of(folder: Path) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(run("options", folder).stdout)
    return printed


@pytest.mark.quorum
def test_our_node_follows_and_has_no_rights(member: Path, handed_over: HandedOver) -> None:
    ours = Network.load(member)
    [node] = ours.nodes
    assert ours.status()[0].is_validator is False
    theirs = {each.address for each in handed_over.theirs.nodes}
    assert set(validators(node)) == theirs
    call(node, "istanbul_propose", node.address, True)
    ours.wait_for_blocks(3)
    assert set(validators(handed_over.theirs.nodes[0])) == theirs
    assert not (member / "keys").exists() or not list((member / "keys").iterdir())
    peers = {peer.split("@")[0] for peer in json.loads((member / "nodes/node1/static-nodes.json").read_text())}
    assert peers == {each.enode.split("@")[0] for each in [*handed_over.theirs.nodes, node]}


@pytest.mark.quorum
def test_a_market_is_founded_there_and_proven(founded: QuorumLedger, handed_over: HandedOver) -> None:
    assert founded.market.address not in {sender.address for sender in founded.senders}
    command = registration(founded)
    prepared = founded.prepare([command.envelope.encode()])
    founded.submit(prepared)
    [event] = [event for page in founded.pages() for event in page.events]
    assert event.outcome.id == command.id
    code = call(handed_over.theirs.nodes[0], "eth_getCode", founded.market.address, "latest")
    assert len(code) > 2
    trust = founded.trust()
    sealers = {"0x" + address.hex() for address in trust.validators_of(founded.w3.eth.block_number)}
    assert sealers == {each.address for each in handed_over.theirs.nodes}
    [proven], check = read_log(QuorumLog(founded.prove([command.id]).blocks), trust)
    assert (proven.command, "2 of 2 validators" in check.text) == (command, True)


@pytest.mark.quorum
def test_another_party_attaches_to_the_market_that_is_there(
    founded: QuorumLedger, handed_over: HandedOver, tmp_path: Path
) -> None:
    """It has a node and keys of its own, and the address of the contract."""
    folder = tmp_path / "network"
    try:
        finished = run("attach", folder, *handed_over.arguments, "--contract", founded.market.address)
        assert finished.returncode == 0, finished.stderr
        options = options_of(folder)
        assert options["CONTRACT"] == founded.market.address
        other = QuorumLedger.from_options("test", {**options, "KEYS": tmp_path / "keys", "OPERATOR": False})
        newest = founded.w3.eth.block_number
        wait_until(lambda: other.w3.eth.block_number >= newest, 30, "it does not catch up")
        assert other.genesis() == founded.genesis()
        founded.submit(founded.prepare([registration(founded).envelope.encode()]))
        events = [event for page in founded.pages() for event in page.events]
        aim = founded.w3.eth.block_number
        wait_until(lambda: other.w3.eth.block_number >= aim, 30, "it does not follow")
        assert [event for page in other.pages() for event in page.events] == events != []
        with pytest.raises(Misconfigured, match=r"^OPERATOR: "):
            elsewhere = {"DEPLOYMENT": tmp_path / "address", "KEYS": tmp_path / "keys", "OPERATOR": False}
            del options["CONTRACT"]
            stranger = QuorumLedger.from_options("test", {**options, **elsewhere})
            stranger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    finally:
        run("stop", folder)


@pytest.mark.quorum
def test_an_account_without_ether_founds_nothing(member: Path, tmp_path: Path) -> None:
    account = Account.create()
    (tmp_path / "account").write_text(bytes(account.key).hex())
    own = {"KEYS": tmp_path / "keys", "DEPLOYMENT": tmp_path / "address"}
    options = {**options_of(member), **own}
    stranger = (secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    ledger = QuorumLedger.from_options("test", {**options, "FOUNDER": tmp_path / "account"})
    with pytest.raises(Misconfigured, match=f"^FOUNDER: {to_checksum_address(account.address)} needs ether: "):
        ledger.found(*stranger)
    (tmp_path / "account").write_text("nonsense")
    with pytest.raises(Misconfigured, match=f"^FOUNDER: {tmp_path / 'account'} holds no secret key"):
        ledger.found(*stranger)


@pytest.mark.quorum
def test_with_another_genesis_block_nobody_connects(
    handed_over: HandedOver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = json.loads((handed_over.folder / "genesis.json").read_text())
    (tmp_path / "genesis.json").write_text(json.dumps({**theirs, "timestamp": "0x1"}))
    enodes = read_enodes([], [handed_over.folder / "static-nodes.json"])
    network = Network.attach(tmp_path / "network", tmp_path / "genesis.json", Foreign(enodes))
    monkeypatch.setattr("deploy.quorum.network.START_TIMEOUT", 8.0)
    try:
        with pytest.raises(NetworkError, match=r"nobody connects to node1; is the genesis file theirs, .* enode://"):
            network.start()
    finally:
        network.stop()
