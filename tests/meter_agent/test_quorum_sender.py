"""Transactions of a box, against the libraries that everybody else uses."""

from typing import Any

import rlp as library
from eth_account import Account as EthAccount
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from evidence.commands import Batch
from evidence.keys import Algorithm, SoftwareKey
from ledger_adapters.quorum.market import artefact
from meter_agent.senders.quorum import OUTCOME, SUBMIT, Account, Raw, keccak256, rlp

ITEMS: Any = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6), max_leaves=30)


@given(ITEMS)
def test_items_are_written_as_the_library_writes_them(item: Any) -> None:
    assert rlp(item) == library.encode(item)


@given(st.integers(0, 2**256))
def test_numbers_are_written_as_the_library_writes_them(number: int) -> None:
    assert rlp(number) == library.encode(number)


@given(st.integers(0, 2**40), st.integers(0, 2**60), st.integers(21_000, 2**30), st.binary(max_size=300))
def test_a_transaction_is_signed_as_the_library_signs_it(nonce: int, price: int, gas: int, data: bytes) -> None:
    secret = SoftwareKey.generate(Algorithm.SECP256K1).secret
    ours = Account(secret).sign(nonce, price, gas, b"\x11" * 20, data, 1337)
    call: Any = {"nonce": nonce, "gasPrice": price, "gas": gas, "to": "0x" + "11" * 20, "value": 0, "data": data}
    theirs = EthAccount.from_key(secret).sign_transaction({**call, "chainId": 1337})
    assert ours.content == bytes(theirs.raw_transaction)
    assert ours.hash == "0x" + bytes(theirs.hash).hex()
    assert Raw.read(ours.written) == ours
    assert "0x" + Account(secret).address.hex() == EthAccount.from_key(secret).address.lower()


def test_the_contract_is_called_and_heard_by_its_own_names() -> None:
    contract = Web3().eth.contract(abi=artefact("IMarket")["abi"])
    envelopes = [b"one", b"another" * 20]
    assert SUBMIT + Batch(tuple(envelopes), b"").encode() == bytes.fromhex(
        contract.encode_abi("submit", [envelopes, b""])[2:]
    )
    assert bytes(OUTCOME) == bytes.fromhex(contract.events.Outcome().topic[2:])
    assert keccak256(b"") == bytes(Web3.keccak(b""))
