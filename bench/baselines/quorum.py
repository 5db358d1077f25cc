"""Transactions to a contract by web3.py: one after another, or many at once by one sender."""

from collections.abc import Sequence
from typing import Any

from eth_account import Account
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3

EMPTY_GAS = 21_000
PAUSE = 0.1  # seconds; what wait_for_transaction_receipt takes by default


class Sender:
    """An account that calls `submit` of the market at `address`; gas is free."""

    def __init__(self, rpc: str, address: str, abi: list[Any]) -> None:
        self.w3 = Web3(HTTPProvider(rpc))
        self.account = Account.create()
        self._contract = self.w3.eth.contract(address=Web3.to_checksum_address(address), abi=abi)
        self._chain_id = self.w3.eth.chain_id

    def submit(self, envelope: bytes, signature: bytes) -> None:
        """One command in a transaction of its own, until it is in a block."""
        self._wait([self._send(envelope, signature, self._nonce())])

    def submit_all(self, batches: Sequence[tuple[bytes, bytes]]) -> None:
        """Commands with the signature over each, all sent before the first is waited for."""
        first = self._nonce()
        self._wait([self._send(*batch, first + number) for number, batch in enumerate(batches)])

    def submit_empty(self) -> None:
        """The smallest transaction there is: nothing, to oneself."""
        fields = {**self._fields(self._nonce(), EMPTY_GAS), "to": self.account.address, "value": 0}
        self._wait([self._send_signed(fields)])

    def _nonce(self) -> int:
        return int(self.w3.eth.get_transaction_count(self.account.address))

    def _send(self, envelope: bytes, signature: bytes, nonce: int) -> HexBytes:
        call = self._contract.functions.submit([envelope], signature)
        return self._send_signed(call.build_transaction(self._fields(nonce, 2_500_000)))

    def _fields(self, nonce: int, gas: int) -> Any:
        return {"nonce": nonce, "gas": gas, "gasPrice": 0, "chainId": self._chain_id, "from": self.account.address}

    def _send_signed(self, fields: Any) -> HexBytes:
        return self.w3.eth.send_raw_transaction(self.account.sign_transaction(fields).raw_transaction)

    def _wait(self, hashes: Sequence[HexBytes]) -> None:
        for each in hashes:
            receipt = self.w3.eth.wait_for_transaction_receipt(each, timeout=60, poll_latency=PAUSE)
            if receipt["status"] != 1:
                raise RuntimeError(f"transaction {each.to_0x_hex()} was reverted")
