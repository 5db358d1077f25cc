"""Keys and signatures: P-256 and secp256k1, 64 bytes r ‖ s with low s, over a 32-byte digest."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from evidence.abi import U8, Bytes32, Struct
from evidence.hashing import tagged

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SECP256K1_PRIME = 2**256 - 2**32 - 977
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_PREHASHED = ec.ECDSA(Prehashed(SHA256()))


class Algorithm(IntEnum):
    P256 = 1
    SECP256K1 = 2


ORDERS = {Algorithm.P256: P256_ORDER, Algorithm.SECP256K1: SECP256K1_ORDER}


class BadKey(ValueError):
    """The coordinates are not a point of the curve, or the algorithm is unknown."""


@dataclass(frozen=True, slots=True)
class PublicKey(Struct):
    algorithm: U8
    x: Bytes32
    y: Bytes32

    @property
    def id(self) -> bytes:
        return tagged("em/key/1", self.encode())

    def check_point(self) -> None:
        """Raises `BadKey` unless the key is a point of its curve."""
        _load(self)

    def verifies(self, digest: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes, low s) was made over `digest`. High s, zero, off-curve keys: all false."""
        try:
            key = _load(self)
        except BadKey:
            return False
        if not is_canonical(self.algorithm, signature):
            return False
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        if isinstance(key, coincurve.PublicKey):
            return key.verify(der, digest, hasher=None)
        try:
            key.verify(der, digest, _PREHASHED)
        except InvalidSignature:
            return False
        return True


def _load(key: PublicKey) -> ec.EllipticCurvePublicKey | coincurve.PublicKey:
    try:
        if key.algorithm == Algorithm.P256:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key.x + key.y)
        if key.algorithm == Algorithm.SECP256K1:
            return coincurve.PublicKey(b"\x04" + key.x + key.y)
    except ValueError as error:
        raise BadKey(str(error)) from None
    raise BadKey(f"unknown algorithm {key.algorithm}")


def is_canonical(algorithm: int, signature: bytes) -> bool:
    """64 bytes with r in 1..n-1 and s in 1..n/2.

    On secp256k1 such an r as two points can have, one beyond the order, is refused too: an EVM recovers only one.
    """
    if len(signature) != 64 or algorithm not in ORDERS:
        return False
    order = ORDERS[Algorithm(algorithm)]
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if algorithm == Algorithm.SECP256K1 and r < SECP256K1_PRIME - SECP256K1_ORDER:
        return False
    return 0 < r < order and 0 < s <= order // 2


def from_der(algorithm: Algorithm, der: bytes) -> bytes:
    """Bring a DER signature into the one accepted form, r ‖ s with low s."""
    r, s = decode_dss_signature(der)
    order = ORDERS[algorithm]
    return r.to_bytes(32, "big") + min(s, order - s).to_bytes(32, "big")


class Signer(Protocol):
    """Something that holds a private key: a file, a TPM, an HSM."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, digest: bytes) -> bytes: ...


class SoftwareKey:
    """A private key in memory."""

    def __init__(self, algorithm: Algorithm, secret: bytes) -> None:
        self.algorithm = algorithm
        self.secret = secret
        if algorithm is Algorithm.P256:
            self._p256 = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
            numbers = self._p256.public_key().public_numbers()
            x, y = numbers.x, numbers.y
        else:
            self._k1 = coincurve.PrivateKey(secret)
            x, y = self._k1.public_key.point()
        self.public_key = PublicKey(algorithm, x.to_bytes(32, "big"), y.to_bytes(32, "big"))

    @classmethod
    def generate(cls, algorithm: Algorithm = Algorithm.P256) -> "SoftwareKey":
        if algorithm is Algorithm.SECP256K1:
            return cls(algorithm, coincurve.PrivateKey().secret)
        number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        return cls(algorithm, number.to_bytes(32, "big"))

    def sign(self, digest: bytes) -> bytes:
        if self.algorithm is Algorithm.P256:
            return from_der(self.algorithm, self._p256.sign(digest, _PREHASHED))
        return from_der(self.algorithm, self._k1.sign(digest, hasher=None))
