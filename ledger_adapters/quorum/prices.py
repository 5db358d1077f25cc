"""What a transaction offers for its gas: a price of one's own, or what the node asks, up to a cap."""

from dataclasses import dataclass
from typing import Any, Self

from web3 import Web3

from evidence.ethereum import rlps

DYNAMIC = 2  # the type of transactions that pay a base fee and a tip (EIP-1559)
LEGACY = 0xC0  # other transactions have their type before the list
# Nodes take another transaction in place of one with the same nonce for a tenth more.
BUMP = 110


@dataclass(frozen=True, slots=True)
class Offer:
    """Wei for a unit of gas: `most` of all, and of that `tip` for whoever seals the block where there is a base fee."""

    most: int
    tip: int | None = None

    @property
    def fields(self) -> dict[str, Any]:
        if self.tip is None:
            return {"gasPrice": self.most}
        return {"type": DYNAMIC, "maxFeePerGas": self.most, "maxPriorityFeePerGas": self.tip}

    def at_least(self, other: "Offer") -> "Offer":
        """In the form of this one: a node compares only alike."""
        tip = None if self.tip is None else max(self.tip, other.tip or 0)
        return Offer(max(self.most, other.most), tip)

    @property
    def bumped(self) -> "Offer":
        return Offer(_bumped(self.most), None if self.tip is None else _bumped(self.tip))


def _bumped(price: int) -> int:
    return -(-price * BUMP // 100)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signed transaction says, besides to whom."""

    nonce: int
    gas: int
    offer: Offer
    to: bytes
    data: bytes

    @classmethod
    def read(cls, raw: bytes) -> Self:
        if raw[0] >= LEGACY:
            nonce, price, gas, to, _, data, *_ = rlps.decode(raw, "transaction")
            return cls(_number(nonce), _number(gas), Offer(_number(price)), to, data)
        _, nonce, tip, most, gas, to, _, data, *_ = rlps.decode(raw[1:], "transaction")
        return cls(_number(nonce), _number(gas), Offer(_number(most), _number(tip)), to, data)


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")


@dataclass(frozen=True, slots=True)
class Prices:
    """`least` is offered where there is no cap `most`; otherwise what the node asks, between the two."""

    w3: Web3
    least: int
    most: int | None

    def now(self) -> Offer:
        """With room for the base fee to double."""
        if self.most is None:
            return Offer(self.least)
        base = self.w3.eth.get_block("latest").get("baseFeePerGas")
        if base is None:
            return Offer(self._within(self.w3.eth.gas_price))
        tip = self.w3.eth.max_priority_fee
        return Offer(self._within(2 * base + tip), min(tip, self.most))

    def _within(self, price: int) -> int:
        return price if self.most is None else min(self.most, max(self.least, price))

    def above(self, offered: Offer) -> Offer | None:
        """A better offer where the node asks for more by now; None where it does not, or more is not to be paid."""
        wanted = self.now()
        if wanted.most <= offered.most:
            return None
        better = offered.bumped.at_least(wanted)
        cap = self.least if self.most is None else self.most
        return better if better.most <= cap else None
