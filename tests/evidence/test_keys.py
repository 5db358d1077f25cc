from hashlib import sha256
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from evidence.keys import Algorithm, BadKey, PublicKey, SoftwareKey, from_der, is_canonical
from tests.evidence.by_hand import BASE_X, BASE_Y, add, public, tagged, textbook_verifies, times
from tests.vectors.forms import CURVES
from tests.vectors.market import ALICE, BOB, FixedKey
from tests.vectors.read import raw, vectors

VECTORS = vectors("keys")


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["algorithm"])
def test_key_id_by_hand(vector: Any) -> None:
    values = [int(vector["algorithm"]), raw(vector["x"]), raw(vector["y"])]
    content = abi_encode(["uint8", "bytes32", "bytes32"], values)
    assert raw(vector["id"]) == tagged(b"em/key/1", content)


@pytest.mark.parametrize("vector", VECTORS["keysRefused"], ids=lambda vector: f"{vector['algorithm']} {vector['why']}")
def test_keys_that_are_no_points_are_refused(vector: Any) -> None:
    with pytest.raises(BadKey):
        public(vector).check_point()
    assert not public(vector).verifies(bytes(32), b"\x01" * 64)


@pytest.mark.parametrize(
    "vector", VECTORS["signatures"], ids=lambda vector: f"{vector['key']['algorithm']} {vector['why']}"
)
def test_signatures_are_accepted_as_the_textbook_says(vector: Any) -> None:
    key, digest, signature = public(vector["key"]), raw(vector["digest"]), raw(vector["signature"])
    assert textbook_verifies(key, digest, signature) is vector["accepted"]
    assert key.verifies(digest, signature) is vector["accepted"]


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_bounds_of_r_and_s(algorithm: Algorithm) -> None:
    p, _, _, n = CURVES[algorithm]
    least = 1 if algorithm is Algorithm.P256 else p - n
    for r, s, good in (
        (least, 1, True),
        (n - 1, n // 2, True),
        (least - 1, 1, False),
        (least, 0, False),
        (n, 1, False),
        (least, n // 2 + 1, False),
    ):
        assert is_canonical(algorithm, r.to_bytes(32, "big") + s.to_bytes(32, "big")) is good
    assert not is_canonical(3, (1).to_bytes(32, "big") * 2)


def test_a_signature_that_an_evm_cannot_recover_is_refused() -> None:
    """Its r stands for a point on secp256k1 whose abscissa lies beyond the order; the key is solved for."""
    p, a, b, n = CURVES[Algorithm.SECP256K1]
    x, square = next((x, y2) for x in range(n + 1, p) if pow(y2 := (x**3 + b) % p, (p - 1) // 2, p) == 1)
    r, s, digest = x - n, 2, sha256(b"sample").digest()
    base = (BASE_X[Algorithm.SECP256K1], BASE_Y[Algorithm.SECP256K1])
    point = (x, pow(square, (p + 1) // 4, p))
    minus_e = times(-int.from_bytes(digest, "big") % n, base, p, a)
    key = times(pow(r, -1, n), add(times(s, point, p, a), minus_e, p, a), p, a)
    assert key is not None
    public_key = PublicKey(Algorithm.SECP256K1, *(number.to_bytes(32, "big") for number in key))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert textbook_verifies(public_key, digest, signature)
    assert not public_key.verifies(digest, signature)


def test_p256_vector_of_rfc_6979() -> None:
    """A.2.5, SHA-256, message "sample"; its s is high and comes out lowered."""
    secret = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
    key = FixedKey(Algorithm.P256, secret)
    assert key.public_key.x.hex() == "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    s = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    r = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    assert key.sign(sha256(b"sample").digest()).hex() == r + f"{CURVES[Algorithm.P256][3] - s:064x}"


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_generated_keys_sign_in_the_one_form(algorithm: Algorithm) -> None:
    key = SoftwareKey.generate(algorithm)
    for i in range(20):
        digest = sha256(bytes([i])).digest()
        signature = key.sign(digest)
        assert is_canonical(algorithm, signature)
        assert key.public_key.verifies(digest, signature)


def test_der_signatures_are_brought_to_low_s() -> None:
    order = CURVES[Algorithm.SECP256K1][3]
    high, low = order - 5, 5
    der = b"\x30\x26\x02\x01\x07\x02\x21\x00" + high.to_bytes(32, "big")
    assert from_der(Algorithm.SECP256K1, der) == (7).to_bytes(32, "big") + low.to_bytes(32, "big")


@pytest.mark.parametrize("key", [ALICE, BOB], ids=["P-256", "secp256k1"])
@given(data=st.data())
def test_a_changed_bit_of_digest_or_signature_is_refused(key: FixedKey, data: st.DataObject) -> None:
    digest = data.draw(st.binary(min_size=32, max_size=32))
    signed = digest + key.sign(digest)
    assert key.public_key.verifies(signed[:32], signed[32:])
    bit = data.draw(st.integers(0, 96 * 8 - 1))
    changed = bytearray(signed)
    changed[bit // 8] ^= 1 << bit % 8
    assert not key.public_key.verifies(bytes(changed[:32]), bytes(changed[32:]))
