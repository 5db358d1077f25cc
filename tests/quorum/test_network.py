"""The local GoQuorum network of deploy/quorum: what it is made of, what it takes, who may connect."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_utils.address import to_checksum_address

from deploy.quorum.genesis import Settings, extra_data, genesis
from deploy.quorum.network import Network, find_geth
from deploy.quorum.node import NetworkError, Node, block_number, call, is_free, validators, wait_until
from energymarket.settings.environment import PROJECT_DIR
from tests.quorum.conftest import SETTINGS, running_network

ADDRESSES = ["0x" + f"{number:02x}" * 20 for number in (2, 1)]
SOMEBODY = to_checksum_address(ADDRESSES[0])

# Writes the second word of the call data at the place that the first one names.
STORING_CODE = bytes.fromhex("6020356000355500")
# Deploys the eight bytes that follow it.
DEPLOYING_CODE = bytes.fromhex("6008600c60003960086000f3")


def send(network: Network, node: Node, key: str = "", **fields: Any) -> str:
    """Sign, with the first sender's key unless another is given, and send; the hash of the transaction."""
    key = key or network.sender_keys()[0]
    nonce = int(call(node, "eth_getTransactionCount", Account.from_key(key).address, "pending"), 16)
    sent = {"nonce": nonce, "gas": 200_000, "gasPrice": 0, "chainId": network.settings.chain_id, **fields}
    return str(call(node, "eth_sendRawTransaction", Account.sign_transaction(sent, key).raw_transaction.to_0x_hex()))


def receipt(node: Node, transaction: str) -> dict[str, Any]:
    """The receipt of a transaction, as soon as the node has its block."""
    wait_until(lambda: call(node, "eth_getTransactionReceipt", transaction) is not None, 30, "it is not mined")
    return dict(call(node, "eth_getTransactionReceipt", transaction))


def peer_count(node: Node) -> int:
    return int(call(node, "net_peerCount"), 16)


def test_the_first_block_names_the_validators_as_each_consensus_wants_it() -> None:
    assert rlp.decode(extra_data("qbft", ADDRESSES)) == [bytes(32), [b"\1" * 20, b"\2" * 20], [], b"", []]
    ibft = extra_data("ibft", ADDRESSES)
    assert (ibft[:32], rlp.decode(ibft[32:])) == (bytes(32), [[b"\1" * 20, b"\2" * 20], b"", []])


def test_gas_has_a_price_only_where_the_settings_name_one() -> None:
    assert "enableGasPriceBlock" not in genesis(Settings(), ADDRESSES, [])["config"]
    assert genesis(Settings(gas_price=7), ADDRESSES, [])["config"]["enableGasPriceBlock"] == 0


def test_without_geth_there_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NetworkError, match="There is no geth on PATH"):
        find_geth()


def test_a_geth_of_another_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "geth").write_text("#!/bin/sh\necho 'Geth\nVersion: 1.13.15-stable'\n")
    (tmp_path / "geth").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NetworkError, match="is not GoQuorum's geth"):
        find_geth()


def test_a_folder_without_a_network_is_one_clear_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.quorum.network", "stop", "--folder", str(tmp_path)]
    finished = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (1, f"quorum: {tmp_path} holds no network.\n")


@pytest.mark.quorum
def test_four_validators_seal_the_same_blocks(quorum_network: Network) -> None:
    quorum_network.wait_for_blocks(3)
    number = hex(min(block_number(node) for node in quorum_network.nodes))
    headers = [call(node, "eth_getBlockByNumber", number, False) for node in quorum_network.nodes]
    assert len({header["hash"] for header in headers}) == 1
    assert int(headers[0]["gasLimit"], 16) == 200_000_000
    _, sealing, _, _, seals = rlp.decode(bytes.fromhex(headers[0]["extraData"][2:]))
    assert {f"0x{address.hex()}" for address in sealing} == {node.address for node in quorum_network.nodes}
    assert len(seals) >= 3


@pytest.mark.quorum
def test_a_free_legacy_transaction_writes_the_same_on_every_node(quorum_network: Network) -> None:
    first = quorum_network.nodes[0]
    deployed = receipt(first, send(quorum_network, first, data=DEPLOYING_CODE + STORING_CODE))
    contract = to_checksum_address(deployed["contractAddress"])
    call_data = (7).to_bytes(32, "big") + (42).to_bytes(32, "big")
    written = send(quorum_network, first, to=contract, data=call_data)
    for node in quorum_network.nodes:
        assert receipt(node, written)["status"] == "0x1"
        assert int(call(node, "eth_getStorageAt", contract, "0x7", "latest"), 16) == 42


@pytest.mark.quorum
def test_a_price_is_refused_where_gas_is_free(quorum_network: Network) -> None:
    with pytest.raises(NetworkError, match="Gas price not 0"):
        send(quorum_network, quorum_network.nodes[0], to=SOMEBODY, gasPrice=1)


@pytest.mark.quorum
def test_a_transaction_takes_up_to_128_kib(quorum_network: Network) -> None:
    first = quorum_network.nodes[0]
    mined = receipt(first, send(quorum_network, first, to=SOMEBODY, gas=5_000_000, data=b"\1" * 130_000))
    assert mined["status"] == "0x1"
    with pytest.raises(NetworkError, match="oversized data"):
        send(quorum_network, first, to=SOMEBODY, gas=5_000_000, data=b"\1" * 131_072)


@pytest.mark.quorum
def test_with_a_gas_price_a_transaction_pays_it_and_a_cheaper_one_is_refused(tmp_path: Path) -> None:
    with running_network(tmp_path / "network", replace(SETTINGS, validators=1, gas_price=1_000)) as network:
        node = network.nodes[0]
        mined = receipt(node, send(network, node, to=SOMEBODY, gas=21_000, gasPrice=1_000))
        payer = mined["from"]
        assert int(call(node, "eth_getBalance", payer, "latest"), 16) == 10**27 - 21_000 * 1_000
        with pytest.raises(NetworkError, match="underpriced"):
            send(network, node, to=SOMEBODY, gas=21_000, gasPrice=999)


@pytest.mark.quorum
def test_nobody_connects_to_a_permissioned_network_unless_permitted(tmp_path: Path) -> None:
    with running_network(tmp_path / "network", replace(SETTINGS, is_permissioned=True)) as network:
        network.add("auditor")
        network.restart("auditor")
        auditor = network.node("auditor")
        time.sleep(5)
        assert (peer_count(auditor), block_number(auditor)) == (0, 0)
        network.permit("auditor", True)
        network.restart("auditor")
        wait_until(lambda: peer_count(auditor) == 4, 30, "the auditor is not connected")
        network.wait_for_blocks(1)
        assert auditor.address not in validators(auditor)


@pytest.mark.quorum
def test_a_stopped_network_leaves_no_process_and_starts_where_it_ended(tmp_path: Path) -> None:
    with running_network(tmp_path / "network", replace(SETTINGS, validators=2)) as network:
        network.stop()
        assert [status.pid for status in network.status()] == [None, None]
        assert all(is_free(port) for node in network.nodes for port in (node.p2p_port, node.http_port, node.ws_port))
        again = Network.load(network.folder)
        try:
            again.start()
            assert again.nodes == network.nodes
            assert block_number(again.nodes[0]) >= 2
        finally:
            again.stop()
