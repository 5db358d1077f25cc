"""What is offered for gas, read back from signed bytes, and raised."""

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hexbytes import HexBytes
from hypothesis import given
from hypothesis import strategies as st

from deploy.quorum.node import wait_until
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code
from ledger_adapters.exceptions import Misconfigured, Transient
from ledger_adapters.quorum.adapter import QuorumLedger
from ledger_adapters.quorum.options import Options
from ledger_adapters.quorum.prices import Offer, Prices, Signed
from tests.quorum.conftest import SETTINGS, running_network
from tests.quorum.recording import registration
from tests.quorum.test_network import send

KEY = "11" * 32
TO = "0x" + "22" * 20
prices = st.integers(0, 10**20)


class Node:
    """What a node says of prices: `base` is None where blocks have no base fee."""

    def __init__(self, price: int, base: int | None = None, tip: int = 0) -> None:
        self.eth = self
        self.gas_price = price
        self.max_priority_fee = tip
        self._block = {} if base is None else {"baseFeePerGas": base}

    def get_block(self, _name: str) -> dict[str, int]:
        return self._block


def asked(node: Any, least: int, most: int | None) -> Prices:
    return Prices(node, least, most)


@given(prices, st.none() | prices, st.integers(0, 2**64 - 2), st.integers(21_000, 10**9), st.binary(max_size=200))
def test_a_signed_transaction_reads_back(price: int, tip: int | None, nonce: int, gas: int, data: bytes) -> None:
    offer = Offer(price, None if tip is None else min(tip, price))
    fields = {"nonce": nonce, "gas": gas, "value": 0, "chainId": 5, "to": TO, "data": data, **offer.fields}
    raw = bytes(Account.sign_transaction(fields, KEY).raw_transaction)
    assert Signed.read(raw) == Signed(nonce, gas, offer, b"\x22" * 20, data)


def test_without_a_cap_the_node_is_not_asked() -> None:
    nobody: Any = None
    assert asked(nobody, 7, None).now() == Offer(7)


@pytest.mark.parametrize(("price", "offered"), [(0, 5), (5, 5), (12, 12), (100, 100), (101, 100)])
def test_the_node_is_asked_between_least_and_most(price: int, offered: int) -> None:
    assert asked(Node(price), 5, 100).now() == Offer(offered)


@pytest.mark.parametrize(
    ("base", "tip", "offered"),
    [
        (10, 3, Offer(23, 3)),
        (0, 0, Offer(5, 0)),
        (60, 3, Offer(100, 3)),
        (60, 200, Offer(100, 100)),
    ],
)
def test_with_a_base_fee_there_is_room_for_it_to_double(base: int, tip: int, offered: Offer) -> None:
    assert asked(Node(0, base, tip), 5, 100).now() == offered


@pytest.mark.parametrize(
    ("old", "node", "better"),
    [
        (Offer(10), Node(10), None),
        (Offer(10), Node(9), None),
        (Offer(10), Node(11), Offer(11)),
        (Offer(15), Node(16), Offer(17)),
        (Offer(10), Node(50), Offer(50)),
        (Offer(90), Node(500), Offer(100)),
        (Offer(91), Node(500), None),
        (Offer(20, 2), Node(0, 20, 2), Offer(42, 3)),
        (Offer(20, 2), Node(0, 20, 9), Offer(49, 9)),
        (Offer(90, 90), Node(0, 80, 1), Offer(100, 99)),
        (Offer(10), Node(0, 20, 2), Offer(42)),
        (Offer(20, 2), Node(30), Offer(30, 3)),
    ],
    ids=str,
)
def test_what_is_stuck_is_raised_by_a_tenth_at_least_and_to_the_cap_at_most(
    old: Offer, node: Node, better: Offer | None
) -> None:
    assert asked(node, 5, 100).above(old) == better


@given(prices, prices, prices, prices, st.integers(0, 10**21))
def test_a_better_offer_is_one_that_nodes_take(most: int, tip: int, base: int, asked_tip: int, cap: int) -> None:
    old = Offer(most, min(most, tip))
    better = asked(Node(0, base, asked_tip), 0, cap).above(old)
    if better is None:
        assert min(cap, 2 * base + asked_tip) <= most or most * 110 > cap * 100
        return
    assert better.tip is not None and old.tip is not None
    assert better.most * 100 >= old.most * 110 and better.tip * 100 >= old.tip * 110
    assert better.tip <= better.most <= cap


def test_a_fixed_price_that_was_raised_is_the_better_offer() -> None:
    nobody: Any = None
    assert asked(nobody, 1_100, None).above(Offer(1_000)) == Offer(1_100)
    assert asked(nobody, 1_099, None).above(Offer(1_000)) is None
    assert asked(nobody, 1_000, None).above(Offer(1_000)) is None


@pytest.mark.quorum
def test_a_network_with_a_price_takes_the_replacement_of_what_was_too_cheap(tmp_path: Path) -> None:
    """The node is asked; what offers less than it wants is refused, and replaced with the same nonce."""
    with running_network(tmp_path / "network", replace(SETTINGS, validators=1, gas_price=1_000)) as network:
        places = {"KEYS": tmp_path / "keys", "DEPLOYMENT": tmp_path / "contract"}
        ledger, cheap = (
            QuorumLedger.from_options("test", {**network.options(), **places, "GAS_PRICE": 0, "MOST_GAS_PRICE": most})
            for most in (10**6, 999)
        )
        for sender in ledger.senders:
            send(network, network.nodes[0], to=sender.address, gas=21_000, gasPrice=1_000, value=10**15)
        wait_until(lambda: ledger.w3.eth.get_balance(ledger.senders[-1].address) > 0, 30, "there is no ether")
        ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
        command = registration(ledger)
        prepared = cheap.prepare([command.envelope.encode()])
        assert Signed.read(prepared.payload).offer == Offer(999)
        with pytest.raises(
            Transient, match=r"^GAS_PRICE: transaction underpriced; 999 is offered, MOST_GAS_PRICE is 999$"
        ):
            cheap.submit(prepared)
        better = ledger.replacement(prepared)
        assert better is not None
        assert Signed.read(better.payload).nonce == Signed.read(prepared.payload).nonce
        ledger.submit(better)
        outcomes = ledger.outcome(better.id)
        assert outcomes is not None and outcomes[0].code is Code.APPLIED
        used = ledger.w3.eth.get_transaction_receipt(HexBytes(better.id))["gasUsed"]
        assert ledger.cost(better.id) == used * Signed.read(better.payload).offer.most
        assert 1_000 <= Signed.read(better.payload).offer.most <= 10**6


def test_a_cap_below_the_least_price_is_refused() -> None:
    options = {"RPC": "http://n", "CHAIN_ID": 1, "KEYS": "k", "CONTRACT": "c", "GAS_PRICE": 8, "MOST_GAS_PRICE": 7}
    with pytest.raises(Misconfigured, match="MOST_GAS_PRICE is less than GAS_PRICE"):
        Options.read("default", options)
    read = Options.read("default", {**options, "MOST_GAS_PRICE": "9", "COST_PER_DAY": 10**19})
    assert (read.gas_price, read.most_gas_price, read.cost_per_day) == (8, 9, 10**19)
