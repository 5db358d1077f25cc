"""The market's contracts as seen from Python: their artefacts, their calls, and putting them on a chain."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode
from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3 import Web3
from web3.contract import Contract
from web3.types import LogReceipt, TxParams, TxReceipt

from evidence.commands import Batch, parse
from evidence.hashing import ZERO
from evidence.imports import ImportBatch
from ledger_adapters.contract import Code, Genesis, Outcome
from ledger_adapters.contract.records import AppliedId
from ledger_adapters.exceptions import Misconfigured

BUILD = Path(__file__).parent / "contracts" / "build"

# By slot: 0 applies batches, the others hold the rules of the kinds of their hundred.
MODULES = {
    0: "Core",
    1: "Registry",
    2: "Metering",
    3: "Offers",
    4: "Auctions",
    6: "Settlement",
    7: "Settlement",
    9: "Moving",
}
KEYS_AT_ONCE = 400


@cache
def artefact(name: str) -> dict[str, Any]:
    """`abi` and `bytecode` of a compiled contract."""
    found: dict[str, Any] = json.loads((BUILD / f"{name}.json").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True, slots=True)
class Logged:
    """An outcome where it stands in the chain."""

    block: int
    log_index: int
    transaction: bytes
    outcome: Outcome


class Market:
    """The contract at an address of a chain."""

    def __init__(self, w3: Web3, address: ChecksumAddress) -> None:
        self.w3 = w3
        self.address = address
        self._contract: Contract = w3.eth.contract(address=address, abi=artefact("IMarket")["abi"])
        self.topic = HexBytes(self._contract.events.Outcome().topic)
        self.imported_topic = HexBytes(self._contract.events.Imported().topic)
        self.topics = [self.topic, self.imported_topic]

    def read(self, keys: Collection[bytes]) -> dict[bytes, bytes | None]:
        """State values by key, None where there is none; all of the same block."""
        wanted = list(keys)
        block = self.w3.eth.block_number
        found: dict[bytes, bytes | None] = {}
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            part = wanted[start : start + KEYS_AT_ONCE]
            values = self._contract.functions.read(part).call(block_identifier=block)
            found |= {key: value or None for key, value in zip(part, values, strict=True)}
        return found

    def call_data(self, batch: Batch) -> HexBytes:
        """What a transaction carries to have a batch applied."""
        return HexBytes(self._contract.encode_abi("submit", [list(batch.envelopes), batch.signature]))

    def import_data(self, batch: ImportBatch) -> HexBytes:
        """The same to have entries of another ledger taken over."""
        return HexBytes(self._contract.encode_abi("importEntries", [batch.start, list(batch.entries), batch.signature]))

    def batch_of(self, call_data: bytes) -> Batch | None:
        """The batch that a transaction applies, None where it takes entries over."""
        called, arguments = self._contract.decode_function_input(HexBytes(call_data))
        return Batch(tuple(arguments["envelopes"]), arguments["signature"]) if called.fn_name == "submit" else None

    def logged(self, log: LogReceipt) -> Logged:
        code, at, envelope = decode(("uint8", "uint64", "bytes"), log["data"])
        origin = bytes(log["topics"][2]) if log["topics"][0] == self.imported_topic else b""
        outcome = Outcome(bytes(log["topics"][1]), Code(code), at, envelope, origin)
        # A market of an earlier version does not know all commands of this one.
        if outcome.id == ZERO and (command := parse(envelope)) is not None:
            outcome = replace(outcome, id=command.id)
        return Logged(log["blockNumber"], log["logIndex"], bytes(log["transactionHash"]), outcome)

    def outcomes(self, batch: Batch | None, receipt: TxReceipt) -> tuple[Outcome, ...]:
        """What became of each command: events stand in their order, one without an event was applied before. Entries
        that were taken over, without a batch, have an event each.
        """
        logs = [log for log in receipt["logs"] if log["address"] == self.address and log["topics"][0] in self.topics]
        events = [self.logged(log).outcome for log in logs]
        if batch is None:
            return tuple(events)
        commands = [parse(envelope) for envelope in batch.envelopes]
        ids = [command.id if command else ZERO for command in commands]
        known = self.read([AppliedId.key(name) for name in ids]) if len(events) < len(ids) else {}
        found = []
        for name, envelope in zip(ids, batch.envelopes, strict=True):
            if events and (events[0].id, events[0].envelope) == (name, envelope):
                found.append(events.pop(0))
            else:
                applied = known[AppliedId.key(name)]
                assert applied is not None, "a command without an event that was never applied"  # noqa: S101
                found.append(Outcome(name, Code.ALREADY_APPLIED, AppliedId.decode(applied).time, envelope))
        return tuple(found)


# Signs transactions of one account, sends them all and waits for their receipts.
Send = Callable[[Sequence[TxParams]], Sequence[TxReceipt]]


def creation(w3: Web3, name: str, *arguments: Any) -> TxParams:
    """What puts a contract on a chain."""
    compiled = artefact(name)
    contract = w3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
    return {"data": contract.constructor(*arguments).data_in_transaction}


def create(creations: Mapping[str, TxParams], send: Send) -> dict[str, ChecksumAddress]:
    """Put contracts on a chain, by name. Raises `Misconfigured` when the chain does not take one."""
    found = {}
    for name, receipt in zip(creations, send(list(creations.values())), strict=True):
        address = receipt["contractAddress"]
        if receipt["status"] != 1 or address is None:
            gas = receipt["gasUsed"]
            raise Misconfigured(
                f"the chain does not take the contract {name}, after {gas} gas: is it allowed, and fits?"
            )
        found[name] = address
    return found


def deploy(w3: Web3, genesis: Genesis, send: Send) -> ChecksumAddress:
    """Put a market on a chain and found it. Raises `Misconfigured` when the chain does not take a contract."""
    modules = create({name: creation(w3, name) for name in MODULES.values()}, send)
    founding = (
        genesis.ledger,
        genesis.market,
        (genesis.utility_algorithm, genesis.utility_x, genesis.utility_y),
        (genesis.community_algorithm, genesis.community_x, genesis.community_y),
    )
    installed: Sequence[tuple[int, str]] = [(slot, modules[name]) for slot, name in MODULES.items()]
    return create({"Market": creation(w3, "Market", founding, installed)}, send)["Market"]
