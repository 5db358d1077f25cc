"""Puts the market's contracts on a node and speaks to them, for tests."""

import json
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import TxParams, TxReceipt

from deploy.quorum.genesis import BLOCK_GAS_LIMIT
from evidence import eip712
from evidence.commands import Batch, Command, CommandError, sign_digest, wallet_digest
from evidence.keys import ORDERS, Algorithm, PublicKey, SoftwareKey
from ledger_adapters.contract import Genesis, Outcome, apply_batch, prepare
from ledger_adapters.quorum import market as client
from ledger_adapters.quorum.market import BUILD, artefact
from tests.vectors.market import COMMUNITY, UTILITY, WORLD

CONTRACTS = BUILD.parent
UPGRADE, PAUSE, UNPAUSE = 1, 2, 3
GENESIS = Genesis.decode(WORLD[Genesis.key()])
SEEDING = [
    {
        "type": "function",
        "name": "seed",
        "stateMutability": "nonpayable",
        "inputs": [{"name": "keys", "type": "bytes32[]"}, {"name": "values", "type": "bytes[]"}],
        "outputs": [],
    }
]
NOBODY = "0x" + "00" * 20
GAS_LIMIT = BLOCK_GAS_LIMIT // 2


def compile_contracts(target: Path, *sources: str, folder: Path = CONTRACTS) -> None:
    """Compile the source folders (`src` unless others are named) of `folder` to artefacts in `target`."""
    if not (CONTRACTS / "node_modules" / "solc").is_dir():
        pytest.skip("there is no Solidity compiler: run npm ci in ledger_adapters/quorum/contracts")
    subprocess.run(["node", "compile.mjs", str(target), *sources], cwd=folder, check=True)


def harness(factory: pytest.TempPathFactory) -> Path:
    """The folder with the contracts that only tests use, compiled once per run."""
    folder = factory.getbasetemp() / "contracts"
    if not folder.is_dir():
        compile_contracts(folder, "test")
    return folder


@dataclass(frozen=True)
class Sender:
    """An account that sends transactions of its own at gas price zero. It has no rights in the market."""

    w3: Web3
    account: LocalAccount

    @classmethod
    def at(cls, rpc: str, secret: str) -> "Sender":
        session = requests.Session()
        session.trust_env = False
        w3 = Web3(HTTPProvider(rpc, session=session))
        # The blocks of QBFT have longer extra data than others.
        w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        return cls(w3, Account.from_key(secret))

    def send(self, call: Any) -> TxReceipt:
        """The receipt of a contract call, whether it succeeded or not."""
        return self.transact(call.build_transaction({"gas": GAS_LIMIT, "gasPrice": 0, "chainId": self.chain_id}))

    @cached_property
    def chain_id(self) -> int:
        return self.w3.eth.chain_id

    def transact(self, transaction: TxParams) -> TxReceipt:
        return self.transact_all([transaction])[0]

    def transact_all(self, transactions: Sequence[TxParams]) -> list[TxReceipt]:
        """Sent one behind the other; the receipts are waited for together."""
        sent = []
        for nonce, transaction in enumerate(transactions, self.w3.eth.get_transaction_count(self.account.address)):
            complete: dict[str, Any] = {
                "nonce": nonce,
                "gas": GAS_LIMIT,
                "gasPrice": 0,
                "chainId": self.chain_id,
                **transaction,
            }
            signed = self.account.sign_transaction(complete)
            sent.append(self.w3.eth.send_raw_transaction(signed.raw_transaction))
        return [self.w3.eth.wait_for_transaction_receipt(name) for name in sent]

    def deploy(self, name: str, folder: Path = BUILD) -> Contract:
        """A contract without arguments, compiled in `folder`."""
        compiled = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        address = self.transact({"data": compiled["bytecode"]})["contractAddress"]
        assert address and self.w3.eth.get_code(address), f"{name} was not deployed"
        return self.w3.eth.contract(address, abi=compiled["abi"])


@dataclass(frozen=True)
class Market:
    """A market on a chain."""

    sender: Sender
    contract: Contract
    genesis: Genesis

    @cached_property
    def client(self) -> client.Market:
        return client.Market(self.sender.w3, self.contract.address)

    @cached_property
    def domain(self) -> eip712.Domain:
        """What wallets sign in on this chain."""
        return eip712.Domain(self.genesis.ledger, self.sender.chain_id, bytes.fromhex(self.contract.address[2:]))

    def signed(self, command: Command, *signers: SoftwareKey) -> Command:
        """Signed as the contracts expect it: typed data by a key on the wallets' curve, its own digest by others."""
        signatures = tuple((key.public_key.id, key.sign(self._digest(command, key))) for key in signers)
        return replace(command, signatures=signatures)

    def _digest(self, command: Command, key: SoftwareKey) -> bytes:
        is_wallet = key.algorithm is Algorithm.SECP256K1
        return wallet_digest(self.domain, command) if is_wallet else sign_digest(self.genesis.ledger, command)

    def call(self, batch: Batch) -> Any:
        return self.contract.functions.submit(list(batch.envelopes), batch.signature)

    def submit(self, batch: Batch) -> tuple[Outcome, ...]:
        receipt = self.sender.send(self.call(batch))
        assert receipt["status"] == 1, "the batch was reverted"
        return self.client.outcomes(batch, receipt)

    def simulate(self, batch: Batch) -> tuple[list[int], list[int]]:
        """Codes and times that the batch would have in the next block."""
        codes, times = self.call(batch).call({"gas": GAS_LIMIT})
        return codes, times

    def read(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """The records that there are under `keys`."""
        return {key: value for key, value in self.client.read(keys).items() if value is not None}

    def seed(self, state: Mapping[bytes, bytes]) -> None:
        """Write records as they are; only where `SeedingCore` is the core."""
        core = self.sender.w3.eth.contract(address=self.contract.address, abi=SEEDING)
        assert self.sender.send(core.functions.seed(list(state), list(state.values())))["status"] == 1

    def approvals(
        self, action: int, slot: int = 0, module: str = NOBODY, *, keys: Sequence[SoftwareKey]
    ) -> list[bytes]:
        """Signatures of `keys` over what both parties have to approve next."""
        digest = self.contract.functions.approvalDigest(action, slot, module).call()
        return [key.sign(digest) for key in keys]

    def upgrade(self, slot: int, module: str, keys: Sequence[SoftwareKey]) -> TxReceipt:
        signatures = self.approvals(UPGRADE, slot, module, keys=keys)
        return self.sender.send(self.contract.functions.upgrade(slot, module, *signatures))


def deploy(sender: Sender, genesis: Genesis) -> Market:
    """A market founded with `genesis`, with all modules installed."""
    address = client.deploy(sender.w3, genesis, sender.transact_all)
    return Market(sender, sender.w3.eth.contract(address, abi=artefact("IMarket")["abi"]), genesis)


def deploy_seedable(sender: Sender, folder: Path) -> Market:
    """A market of the vectors' parties, both of whom have approved a core that takes records as they are."""
    market = deploy(sender, GENESIS)
    core = sender.deploy("SeedingCore", folder=folder).address
    assert market.upgrade(0, core, [UTILITY, COMMUNITY])["status"] == 1
    return market


@dataclass
class Twins:
    """A market on a chain beside the same market in memory, which both get the same batches."""

    market: Market
    state: dict[bytes, bytes]

    def submit(self, batch: Batch) -> tuple[Outcome, ...]:
        """The outcomes, if both agree on them."""
        receipt = self.market.sender.send(self.market.call(batch))
        assert receipt["status"] == 1, "the batch was reverted"
        now = self.market.sender.w3.eth.get_block(receipt["blockNumber"])["timestamp"]
        prepared = prepare(batch)
        values = {key: self.state.get(key) for key in prepared.reads}
        expected = apply_batch(prepared, values, now, self.market.domain)
        self.state.update(expected.writes)
        assert self.market.client.outcomes(batch, receipt) == expected.outcomes
        return expected.outcomes

    def agree(self, *absent: bytes) -> bool:
        """Whether both hold the same records, and none under keys that are `absent` in memory."""
        return self.market.read([*self.state, *absent]) == self.state


def signed_for(domain: eip712.Domain, batch: Batch, wallets: Mapping[bytes, SoftwareKey]) -> Batch:
    """The same batch with the signatures of `wallets`, by key id, made anew for `domain`.

    What a vector breaks on purpose stays broken: a high s is a high s again, and what was no signature is left alone.
    The operator signs ids only, so that its signature stands.
    """
    envelopes = tuple(_signed_for(domain, envelope, wallets) for envelope in batch.envelopes)
    return Batch(envelopes, batch.signature)


def _signed_for(domain: eip712.Domain, envelope: bytes, wallets: Mapping[bytes, SoftwareKey]) -> bytes:
    try:
        command = Command.from_bytes(envelope)
    except CommandError:
        return envelope
    old, new = (wallet_digest(one, command) for one in (eip712.Domain(domain.ledger), domain))
    signatures = tuple(
        (key, _anew(wallets[key], old, new, signature) if key in wallets else signature)
        for key, signature in command.signatures
    )
    fields = (command.market, command.nonce, command.fields, command.after, command.valid_until)
    return Command(*fields, signatures).envelope.encode()


def _anew(key: SoftwareKey, old: bytes, new: bytes, signature: bytes) -> bytes:
    if key.public_key.verifies(old, signature):
        return key.sign(new)
    if key.public_key.verifies(old, opposite(key.public_key, signature)):
        return opposite(key.public_key, key.sign(new))
    return signature


def opposite(key: PublicKey, signature: bytes) -> bytes:
    """The signature with the other s, high for low and low for high."""
    order = ORDERS[key.algorithm]  # type: ignore[index]
    return signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
