"""Keys and signatures in Solidity against the golden vectors, and against Python where vectors end."""

from typing import Any

import pytest
from web3.contract import Contract

from evidence.keys import ORDERS, Algorithm, PublicKey, SoftwareKey
from tests.evm import EvmNode
from tests.quorum.contracts import Sender, harness, opposite
from tests.vectors.market import ident
from tests.vectors.read import raw, vectors

pytestmark = pytest.mark.evm

VECTORS = vectors("keys")
WIDTH = 32


@pytest.fixture(scope="module")
def keys(evm_node: EvmNode, tmp_path_factory: pytest.TempPathFactory) -> Contract:
    sender = Sender.at(evm_node.rpc, evm_node.sender_keys[0])
    return sender.deploy("KeysHarness", folder=harness(tmp_path_factory))


def struct(key: PublicKey) -> tuple[int, bytes, bytes]:
    return key.algorithm, key.x, key.y


def public_key(row: Any) -> PublicKey:
    return PublicKey(int(row["algorithm"]), raw(row["x"]), raw(row["y"]))


@pytest.mark.parametrize("row", VECTORS["keys"], ids=lambda row: row["algorithm"])
def test_key_is_a_point_and_has_its_id(row: Any, keys: Contract) -> None:
    key = struct(public_key(row))
    assert keys.functions.isPoint(key).call()
    assert keys.functions.id(key).call() == raw(row["id"])


@pytest.mark.parametrize("row", VECTORS["keysRefused"], ids=lambda row: f"{row['why']} as {row['algorithm']}")
def test_key_that_is_no_point(row: Any, keys: Contract) -> None:
    key = struct(public_key(row))
    assert not keys.functions.isPoint(key).call()
    assert not keys.functions.verifies(key, ident("digest"), b"\x01" * 64).call()


@pytest.mark.parametrize("row", VECTORS["signatures"], ids=lambda row: f"{row['why']} by {row['key']['algorithm']}")
def test_signature(row: Any, keys: Contract) -> None:
    verdict = keys.functions.verifies(struct(public_key(row["key"])), raw(row["digest"]), raw(row["signature"]))
    assert verdict.call() is row["accepted"]


def number(value: int) -> bytes:
    return value.to_bytes(WIDTH, "big")


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("secret", [1, 2, 3, 4, 5, 6, 7, -1, -2, -3, -4, -5, -6, -7])
def test_keys_next_to_the_generator(algorithm: Algorithm, secret: int, keys: Contract) -> None:
    """Where sums of points meet doublings and the point at infinity."""
    order = ORDERS[algorithm]
    signer = SoftwareKey(algorithm, number(secret % order))
    key = struct(signer.public_key)
    assert keys.functions.isPoint(key).call()
    for digest in (number(0), number(1), number(order - 1), number(order), b"\xff" * WIDTH, ident("digest")):
        signature = signer.sign(digest)
        assert signer.public_key.verifies(digest, signature)
        assert keys.functions.verifies(key, digest, signature).call()
        assert not keys.functions.verifies(key, digest, opposite(signer.public_key, signature)).call()
        assert not keys.functions.verifies(key, ident("other digest"), signature).call()


@pytest.mark.parametrize("algorithm", Algorithm)
def test_sum_at_infinity_is_refused(algorithm: Algorithm, keys: Contract) -> None:
    order = ORDERS[algorithm]
    secret, r, s = (int.from_bytes(ident(name), "big") % (order // 2) for name in ("secret", "r", "s"))
    key = SoftwareKey(algorithm, number(secret)).public_key
    digest = number(-r * secret % order)
    assert not key.verifies(digest, number(r) + number(s))
    assert not keys.functions.verifies(struct(key), digest, number(r) + number(s)).call()


@pytest.mark.parametrize("algorithm", Algorithm)
def test_random_signatures(algorithm: Algorithm, keys: Contract) -> None:
    for index in range(12):
        signer = SoftwareKey(algorithm, ident(f"random key {index}"))
        digest = ident(f"random digest {index}")
        signature = signer.sign(digest)
        assert keys.functions.verifies(struct(signer.public_key), digest, signature).call()
        bit = bytearray(signature)
        bit[index * 5] ^= 1 << index % 8
        assert not keys.functions.verifies(struct(signer.public_key), digest, bytes(bit)).call()


def test_point_with_an_abscissa_beyond_the_order(keys: Contract) -> None:
    """R = (n + 3, y), so that r = 3; found by going up from n, and Q = (s·R - h·G) / r."""
    key = PublicKey(
        Algorithm.P256,
        bytes.fromhex("20a5467ac748a54d6dec16ab9e5df3cb0a85120a1a2827d038203cb45d9d4c1a"),
        bytes.fromhex("8eb98961d81d2dda4969ca4fa9469d8178e6e2fca04740f4cb8d2e5cda480898"),
    )
    digest, signature = b"\x42" * WIDTH, number(3) + number(12_345)
    assert key.verifies(digest, signature)
    assert keys.functions.verifies(struct(key), digest, signature).call()
