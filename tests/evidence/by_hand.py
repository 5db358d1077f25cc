"""The definitions, written out plainly a second time: what the vectors are checked against."""

import hashlib
from typing import Any

from evidence.keys import Algorithm, PublicKey
from tests.vectors.forms import CURVES
from tests.vectors.read import raw


def tagged(tag: bytes, content: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(tag).digest() + content).digest()


def rfc_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it stands there."""
    n = len(leaves)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < n:
        k *= 2
    return hashlib.sha256(b"\x01" + rfc_root(leaves[:k]) + rfc_root(leaves[k:])).digest()


BASE_X = {
    Algorithm.P256: 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    Algorithm.SECP256K1: 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
}
BASE_Y = {
    Algorithm.P256: 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    Algorithm.SECP256K1: 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
}

Point = tuple[int, int] | None


def add(one: Point, other: Point, p: int, a: int) -> Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % p == 0:
        return None
    slope = (3 * x1 * x1 + a) * pow(2 * y1, -1, p) if one == other else (y2 - y1) * pow(x2 - x1, -1, p)
    x = (slope * slope - x1 - x2) % p
    return x, (slope * (x1 - x) - y1) % p


def times(number: int, point: Point, p: int, a: int) -> Point:
    total: Point = None
    while number:
        if number & 1:
            total = add(total, point, p, a)
        point, number = add(point, point, p, a), number >> 1
    return total


def textbook_verifies(key: PublicKey, digest: bytes, signature: bytes) -> bool:
    """ECDSA as in SEC 1, 4.1.4, plus the demand for 64 bytes and a low s."""
    algorithm = Algorithm(key.algorithm)
    p, a, _, n = CURVES[algorithm]
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if len(signature) != 64 or not (0 < r < n and 0 < s <= n // 2):
        return False
    e, w = int.from_bytes(digest, "big"), pow(s, -1, n)
    point = (int.from_bytes(key.x, "big"), int.from_bytes(key.y, "big"))
    base = (BASE_X[algorithm], BASE_Y[algorithm])
    found = add(times(e * w % n, base, p, a), times(r * w % n, point, p, a), p, a)
    return found is not None and found[0] % n == r


def public(vector: Any) -> PublicKey:
    return PublicKey(int(vector["algorithm"]), raw(vector["x"]), raw(vector["y"]))
