"""Records what a real network proves: `python -m tests.quorum.recording` writes tests/vectors/recorded/."""

import json
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3.types import TxReceipt

from deploy.quorum.genesis import Settings
from deploy.quorum.network import Network
from evidence.commands import Batch, Command, batch_digest
from evidence.commands.kinds import RegisterParticipant
from evidence.ethereum.headers import SealedHeader
from evidence.ethereum.proof import ProvenBlock
from evidence.hashing import ZERO
from evidence.keys import SoftwareKey
from ledger_adapters.quorum import proofs
from ledger_adapters.quorum.adapter import QuorumLedger
from tests.vectors.read import FOLDER

STORED = FOLDER / "recorded" / "quorum_block.json"
# With these the block's receipts have indexes of one and of two bytes.
OTHERS = 130
NO_ROLE = 99


def ledger_on(network: Network, folder: Path) -> QuorumLedger:
    """The network as a ledger, which has no market yet."""
    options = {
        "RPC": [node.rpc for node in network.nodes],
        "CHAIN_ID": network.settings.chain_id,
        "KEYS": folder / "keys",
        "DEPLOYMENT": folder / "contract",
    }
    return QuorumLedger.from_options("quorum", options)


def registration(ledger: QuorumLedger, role: int = 3) -> Command:
    key = SoftwareKey.generate().public_key
    fields = RegisterParticipant(secrets.token_bytes(32), role, key.algorithm, key.x, key.y, 1, ZERO)
    return Command(ledger.genesis().market, secrets.token_bytes(32), fields)


def signed(ledger: QuorumLedger, lane: int, commands: Sequence[Command], **fields: Any) -> HexBytes:
    """A transaction that nobody has sent yet."""
    assert ledger.operator is not None
    digest = batch_digest(ledger.genesis().ledger, commands)
    batch = Batch(tuple(command.envelope.encode() for command in commands), ledger.operator.sign(digest))
    data = ledger.market.call_data(batch)
    return _signed(ledger, ledger.senders[lane], 10_000_000, to=ledger.market.address, data=data, **fields)


def _signed(ledger: QuorumLedger, sender: LocalAccount, gas: int, **fields: Any) -> HexBytes:
    nonce = ledger.w3.eth.get_transaction_count(sender.address)
    sent = {"nonce": nonce, "gas": gas, "gasPrice": 0, "value": 0, "chainId": ledger.options.chain_id, **fields}
    return HexBytes(sender.sign_transaction(sent).raw_transaction)


def in_one_block(network: Network, ledger: QuorumLedger, transactions: Sequence[HexBytes]) -> list[TxReceipt] | None:
    """Receipts of transactions that all nodes get at once, if one block took them all."""
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": "eth_sendRawTransaction", "params": [raw.to_0x_hex()]}
        for number, raw in enumerate(transactions)
    ]
    network.wait_for_blocks(1)
    for node in network.nodes:
        httpx.post(node.rpc, json=calls, timeout=30, trust_env=False).raise_for_status()
    names = [ledger.w3.keccak(raw) for raw in transactions]
    receipts = [ledger.w3.eth.wait_for_transaction_receipt(name, timeout=60) for name in names]
    return receipts if len({receipt["blockNumber"] for receipt in receipts}) == 1 else None


def record(network: Network, folder: Path) -> dict[str, Any]:
    """A block with two markets' transactions among others, one of them typed, and what is proven of it.

    `applied`: three commands of one market, from two transactions. `rejected`: one that it refused. `foreign`: one that
    another market applied.
    """
    ledger, foreign = ledger_on(network, folder / "own"), ledger_on(network, folder / "foreign")
    for each in (ledger, foreign):
        each.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    for _ in range(10):
        applied, rejected = [registration(ledger) for _ in range(3)], registration(ledger, NO_ROLE)
        transactions = [
            signed(ledger, 0, applied[:2]),
            *(_signed(ledger, Account.create(), 21_000, to=ledger.senders[0].address) for _ in range(OTHERS)),
            signed(ledger, 1, [applied[2], rejected], type=1, accessList=[]),
            signed(foreign, 0, [registration(foreign)]),
        ]
        receipts = in_one_block(network, ledger, transactions)
        if receipts is not None:
            break
    else:
        raise TimeoutError("no block took all transactions")
    (whole,) = ledger.prove([command.id for command in applied]).blocks
    logs = {"rejected": receipts[-2]["logs"][1], "foreign": receipts[-1]["logs"][0]}
    single = {name: proofs.prove_logs(ledger.w3, log["blockNumber"], [log]) for name, log in logs.items()}
    return {
        "trust": json.loads(ledger.trust().encode()),
        "block": bytes(receipts[0]["blockHash"]).hex(),
        "ids": [command.id.hex() for command in applied],
        "proofs": {name: written(proof) for name, proof in {"applied": whole, **single}.items()},
    }


def record_ibft(network: Network, folder: Path) -> dict[str, Any]:
    """A header that IBFT validators sealed."""
    ledger = ledger_on(network, folder)
    number = ledger.w3.eth.block_number
    header = proofs.prove_logs(ledger.w3, number, []).header
    return {
        "header": header.hex(),
        "block": bytes(ledger.w3.eth.get_block(number)["hash"]).hex(),
        "validators": sorted(address.hex() for address in SealedHeader.decode(header).validators),
    }


def written(proof: ProvenBlock) -> dict[str, Any]:
    return {
        "header": proof.header.hex(),
        "nodes": [node.hex() for node in proof.nodes],
        "logs": [[log.transaction, log.index] for log in proof.logs],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = {}
        for consensus in ("qbft", "ibft"):
            network = Network.create(Path(folder) / consensus, replace(Settings(), consensus=consensus))
            network.start()
            try:
                if consensus == "qbft":
                    found |= record(network, Path(folder))
                else:
                    found["ibft"] = record_ibft(network, Path(folder))
            finally:
                network.stop()
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
