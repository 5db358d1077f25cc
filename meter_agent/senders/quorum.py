"""Straight to a node of a chain: JSON-RPC, one transaction per report, from an account that only pays.

What counts is the device's signature inside the command; whoever sends it has no rights by that.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import coincurve
import httpx
from Crypto.Hash import keccak

from evidence.abi import U8, U64, Bytes, EncodingError, Struct
from evidence.commands import Batch, Command
from ledger_adapters.contract.errors import Code
from meter_agent.destinations import Quorum
from meter_agent.journal import Report
from meter_agent.keys import KeyFileError, read_private_file
from meter_agent.senders import WriteDown
from meter_agent.tables import ConfigError, bytes32
from meter_agent.uplink import Unavailable

AWAITED_SECONDS = 30
POLL_SECONDS = 1.0
_KNOWN = ("already known", "known transaction", "alreadyknown", "already imported")


def keccak256(content: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=content).digest()


def rlp(item: bytes | int | list[Any]) -> bytes:
    """What a transaction is written in. The library for it would double what the sender takes in memory."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8)
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _length(len(item), 0x80) + item
    content = b"".join(rlp(part) for part in item)
    return _length(len(content), 0xC0) + content


def _length(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([offset + 55 + len(size)]) + size


SUBMIT = keccak256(b"submit(bytes[],bytes)")[:4]
OUTCOME = keccak256(b"Outcome(uint8,uint64,bytes32,bytes)")


@dataclass(frozen=True, slots=True)
class _Logged(Struct):
    code: U8
    time: U64
    envelope: Bytes


@dataclass(frozen=True, slots=True)
class Raw:
    """A signed transaction. `nonce` is that of its sender, and goes before it where it is written down."""

    content: bytes
    nonce: int

    @classmethod
    def read(cls, written: bytes) -> "Raw":
        return cls(written[8:], int.from_bytes(written[:8]))

    @property
    def written(self) -> bytes:
        return self.nonce.to_bytes(8) + self.content

    @property
    def hash(self) -> str:
        return "0x" + keccak256(self.content).hex()


class Account:
    """A key of secp256k1 that signs transactions, by EIP-155."""

    def __init__(self, secret: bytes) -> None:
        self._key = coincurve.PrivateKey(secret)
        self.address = keccak256(self._key.public_key.format(compressed=False)[1:])[12:]

    def sign(self, nonce: int, gas_price: int, gas: int, to: bytes, data: bytes, chain_id: int) -> Raw:
        call = [nonce, gas_price, gas, to, 0, data]
        digest = keccak256(rlp([*call, chain_id, 0, 0]))
        signature = self._key.sign_recoverable(digest, hasher=None)
        r, s, recovery = signature[:32], signature[32:64], signature[64]
        signed = [int.from_bytes(r, "big"), int.from_bytes(s, "big")]
        return Raw(rlp([*call, recovery + 35 + 2 * chain_id, *signed]), nonce)


class QuorumSender:
    def __init__(self, way: Quorum, client: httpx.AsyncClient) -> None:
        self.way = way
        self.client = client
        try:
            self.account = Account(bytes32(read_private_file(way.account_file).decode("ascii").strip()))
        except (KeyFileError, ValueError) as error:
            raise ConfigError(f"account_file: {error}") from None

    async def send(self, report: Report, write_down: WriteDown) -> Code:
        command = Command.from_bytes(report.envelope)
        raw = None if report.sent is None else Raw.read(report.sent)
        if raw is not None:
            receipt = await self._receipt(raw)
            if receipt is not None:
                return self._outcome(receipt, command)
            # One that was dropped, or that another of the account took the place of, never comes.
            if await self._next_nonce() > raw.nonce:
                raw = None
        if raw is None:
            raw = await self._transaction(report.envelope)
            write_down(raw.written)
        await self._broadcast(raw)
        return self._outcome(await self._awaited(raw), command)

    async def close(self) -> None:
        """The client is the agent's."""

    async def _transaction(self, envelope: bytes) -> Raw:
        way = self.way
        chain_id = int(await self._call("eth_chainId"), 16)
        if chain_id != way.chain_id:
            raise Unavailable(f"the node belongs to chain {chain_id}, not {way.chain_id}")
        data = SUBMIT + Batch((envelope,), b"").encode()
        call = {"from": _hex(self.account.address), "to": _hex(way.contract), "data": _hex(data)}
        estimated = int(await self._call("eth_estimateGas", call), 16)
        # What a block changes between estimate and execution costs little more.
        gas = estimated * 5 // 4
        if gas > way.gas:
            raise Unavailable(f"a report would cost {gas} gas, more than the {way.gas} of the settings")
        nonce = await self._next_nonce()
        return self.account.sign(nonce, way.gas_price, gas, way.contract, data, chain_id)

    async def _next_nonce(self) -> int:
        return int(await self._call("eth_getTransactionCount", _hex(self.account.address), "latest"), 16)

    async def _broadcast(self, raw: Raw) -> None:
        try:
            await self._call("eth_sendRawTransaction", _hex(raw.content))
        except NodeError as error:
            if not any(text in str(error).lower() for text in _KNOWN):
                raise

    async def _awaited(self, raw: Raw) -> dict[str, Any]:
        deadline = time.monotonic() + AWAITED_SECONDS
        while (receipt := await self._receipt(raw)) is None:
            if time.monotonic() > deadline:
                raise Unavailable(f"{raw.hash} is in no block yet")
            await asyncio.sleep(POLL_SECONDS)
        return receipt

    async def _receipt(self, raw: Raw) -> dict[str, Any] | None:
        """None before the transaction has as many blocks upon it as it takes."""
        receipt: dict[str, Any] | None = await self._call("eth_getTransactionReceipt", raw.hash)
        if receipt is None or receipt.get("blockNumber") is None:
            return None
        if self.way.confirmations:
            newest = int(await self._call("eth_blockNumber"), 16)
            if newest < int(receipt["blockNumber"], 16) + self.way.confirmations:
                return None
        return receipt

    async def _call(self, method: str, *parameters: Any) -> Any:
        """Raises `Unavailable`, as `NodeError` when it is the node's answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        try:
            answer = await self.client.post(self.way.url, json=body)
            content = answer.json()
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__} {error}") from None
        except ValueError:
            raise Unavailable(f"{method}: answered {answer.status_code} without JSON") from None
        if not isinstance(content, dict) or ("result" not in content and "error" not in content):
            raise Unavailable(f"{method}: answered with something else than JSON-RPC")
        if content.get("error"):
            raise NodeError(f"{method}: {content['error'].get('message', content['error'])}")
        return content["result"]

    def _outcome(self, receipt: dict[str, Any], command: Command) -> Code:
        if int(receipt["status"], 16) != 1:
            raise Unavailable(f"the chain reverted {receipt['transactionHash']}")
        contract, topics = _hex(self.way.contract), [_hex(OUTCOME), _hex(command.id)]
        for log in receipt["logs"]:
            if log["address"].lower() == contract and log["topics"] == topics:
                try:
                    return Code(_Logged.decode(bytes.fromhex(log["data"][2:])).code)
                except (EncodingError, ValueError) as error:
                    raise Unavailable(f"an outcome that cannot be read: {error}") from None
        # The contract says nothing about what it knows already.
        return Code.ALREADY_APPLIED


class NodeError(Unavailable):
    """The node's own word."""


def _hex(content: bytes) -> str:
    return "0x" + content.hex()
