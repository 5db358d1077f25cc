"""The EVM node that tests share."""

from pathlib import Path

import pytest
from eth_account import Account

from tests.evm import EvmNode, running_evm_node

pytestmark = pytest.mark.evm


def pay(node: EvmNode, nonce: int) -> str:
    sender = node.sender_keys[0]
    payee = Account.from_key(node.sender_keys[1]).address
    fields = {"nonce": nonce, "to": payee, "value": 5, "gas": 21_000, "gasPrice": 0, "chainId": node.chain_id}
    signed = Account.sign_transaction(fields, sender).raw_transaction
    return str(node.call("eth_sendRawTransaction", signed.to_0x_hex()))


def test_a_free_legacy_transaction_is_mined_at_once(evm_node: EvmNode) -> None:
    assert evm_node.call("eth_chainId") == hex(evm_node.chain_id)
    sender = Account.from_key(evm_node.sender_keys[0]).address
    nonce = evm_node.call("eth_getTransactionCount", sender, "latest")
    receipt = evm_node.call("eth_getTransactionReceipt", pay(evm_node, int(str(nonce), 16)))
    assert isinstance(receipt, dict)
    assert (receipt["status"], receipt["type"]) == ("0x1", "0x0")


def test_the_chain_is_that_of_berlin(evm_node: EvmNode) -> None:
    block = evm_node.call("eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    assert "baseFeePerGas" not in block
    assert int(block["gasLimit"], 16) == 800_000_000


def test_a_node_of_ones_own_reorganises_on_request(tmp_path: Path) -> None:
    with running_evm_node(tmp_path) as node:
        transaction = pay(node, 0)
        node.call("anvil_mine", "0x2")
        node.call("anvil_reorg", 3, [])
        assert node.call("eth_blockNumber") == "0x3"
        assert node.call("eth_getTransactionReceipt", transaction) is None
