"""The first block of a GoQuorum chain, and the keys it names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import rlp
from coincurve import PrivateKey
from eth_utils.crypto import keccak

# Four validators on two cores execute so much in half a second. A proposer begins anew with each new block: work that
# takes longer than a block's second never gets into one, and then nothing else does either.
BLOCK_GAS_LIMIT = 200_000_000
# The most that GoQuorum allows, both in KiB.
TRANSACTION_SIZE_LIMIT = 128
CODE_SIZE_LIMIT = 128

SENDER_BALANCE = 10**27  # wei

# Tells every client that the headers are sealed by IBFT or QBFT.
ISTANBUL_DIGEST = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
VANITY = bytes(32)
NO_ADDRESS = "0x" + "00" * 20


@dataclass(frozen=True)
class Settings:
    """What a network is made with and keeps for ever. Times in seconds, the gas price in wei (0: gas is free).

    A round in which no block is agreed on ends after `request_timeout`, each further one after twice the time. There is
    no longest time: validators that are a whole round apart meet again only because the next one is longer.
    """

    chain_id: int = 424_242
    consensus: Literal["qbft", "ibft"] = "qbft"
    validators: int = 4
    gas_price: int = 0
    is_permissioned: bool = False
    senders: int = 4
    request_timeout: int = 4


@dataclass(frozen=True)
class Key:
    """A secp256k1 key: of a node, which also seals blocks with it, or of a sender of transactions."""

    secret: str  # 64 hexadecimal digits, as geth wants it in a file
    public: str  # x and y, 128 hexadecimal digits
    address: str  # 0x and 40 hexadecimal digits

    @classmethod
    def generate(cls) -> Self:
        key = PrivateKey()
        public = key.public_key.format(compressed=False)[1:]
        return cls(key.secret.hex(), public.hex(), "0x" + keccak(public)[-20:].hex())


def genesis(settings: Settings, validators: Sequence[str], funded: Sequence[str]) -> dict[str, Any]:
    """The genesis file: the addresses of the first validators, and those that own ether from the start."""
    return {
        "config": {
            "chainId": settings.chain_id,
            "homesteadBlock": 0,
            "eip150Block": 0,
            "eip155Block": 0,
            "eip158Block": 0,
            "byzantiumBlock": 0,
            "constantinopleBlock": 0,
            "petersburgBlock": 0,
            "istanbulBlock": 0,
            "muirGlacierBlock": 0,
            "berlinBlock": 0,
            "isQuorum": True,
            "txnSizeLimit": TRANSACTION_SIZE_LIMIT,
            "maxCodeSizeConfig": [{"block": 0, "size": CODE_SIZE_LIMIT}],
            **({"enableGasPriceBlock": 0} if settings.gas_price else {}),
            settings.consensus: _rules(settings),
        },
        "nonce": "0x0",
        "timestamp": "0x0",
        "difficulty": "0x1",
        "gasLimit": hex(BLOCK_GAS_LIMIT),
        "mixHash": ISTANBUL_DIGEST,
        "coinbase": NO_ADDRESS,
        "extraData": "0x" + extra_data(settings.consensus, validators).hex(),
        "alloc": {address: {"balance": str(SENDER_BALANCE)} for address in funded},
    }


def extra_data(consensus: Literal["qbft", "ibft"], validators: Sequence[str]) -> bytes:
    """The first header's extra data, which names the validators; no vote, round 0, no seals."""
    addresses = [bytes.fromhex(address.removeprefix("0x")) for address in sorted(validators)]
    if consensus == "qbft":
        return bytes(rlp.encode([VANITY, addresses, [], 0, []]))
    return VANITY + bytes(rlp.encode([addresses, b"", []]))


def _rules(settings: Settings) -> dict[str, Any]:
    return {
        "epochlength": 30_000,
        "blockperiodseconds": 1,
        "requesttimeoutseconds": settings.request_timeout,
        "policy": 0,  # the proposer changes with each block
        "ceil2Nby3Block": 0,
        "validatorcontractaddress": NO_ADDRESS,
    }
