"""What a TPM does with its keys, written down once more after the specification, to hold the head-end against."""

import hashlib
import hmac
import struct
from dataclasses import dataclass, field, replace

from Crypto.Cipher import AES
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

FIXED_TPM, FIXED_PARENT, ORIGIN, USER, ADMIN, NO_DA = (1 << bit for bit in (1, 4, 5, 6, 7, 10))
RESTRICTED, DECRYPT, SIGN = (1 << bit for bit in (16, 17, 18))
SIGNING = FIXED_TPM | FIXED_PARENT | ORIGIN | USER | NO_DA | SIGN
ENDORSEMENT = FIXED_TPM | FIXED_PARENT | ORIGIN | ADMIN | RESTRICTED | DECRYPT
NULL, SHA_256, SHA_384, ECDSA, AES_CFB = 0x0010, 0x000B, 0x000C, 0x0018, struct.pack(">HHH", 6, 128, 0x43)
OF_NONE = struct.pack(">H", NULL)


def sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content


def coordinates(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    numbers, size = key.public_numbers(), key.curve.key_size // 8
    return numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")


@dataclass(frozen=True)
class Area:
    """A public area, part by part, so that a test can change one."""

    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    attributes: int = SIGNING
    name_hash: int = SHA_256
    policy: bytes = b""
    cipher: bytes = OF_NONE
    scheme: bytes = field(default=struct.pack(">HH", ECDSA, SHA_256))
    derivation: bytes = OF_NONE

    def __bytes__(self) -> bytes:
        kind = 1 if isinstance(self.key, rsa.RSAPublicKey) else 0x23
        head = struct.pack(">HHI", kind, self.name_hash, self.attributes) + sized(self.policy)
        parameters = self.cipher + self.scheme
        if isinstance(self.key, rsa.RSAPublicKey):
            numbers = self.key.public_numbers()
            modulus = numbers.n.to_bytes(self.key.key_size // 8, "big")
            return head + parameters + struct.pack(">HI", self.key.key_size, 0) + sized(modulus)
        x, y = coordinates(self.key)
        curve = struct.pack(">H", {256: 3, 384: 4}[self.key.curve.key_size])
        return head + parameters + curve + self.derivation + sized(x) + sized(y)

    def but(self, **changes: object) -> "Area":
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def name(self) -> bytes:
        return struct.pack(">H", self.name_hash) + hashlib.sha256(bytes(self)).digest()


def endorsement_area(key: PrivateKey, name_hash: int = SHA_256, cipher: bytes = AES_CFB) -> Area:
    return Area(key.public_key(), ENDORSEMENT, name_hash, b"\x07" * 32, cipher, OF_NONE)


def activate(ek: PrivateKey, name: bytes, credential: bytes, name_hash: int = SHA_256, bits: int = 128) -> bytes:
    """The secret in a credential for the key called `name`; ValueError when it is for another."""
    digest = {SHA_256: "sha256", SHA_384: "sha384"}[name_hash]
    blob, rest = unsized(credential)
    encrypted_seed, rest = unsized(rest)
    assert rest == b""
    seed = decrypt_seed(ek, encrypted_seed, digest)
    mac, identity = unsized(blob)
    size = hashlib.new(digest).digest_size
    mac_key = kdfa(digest, seed, b"INTEGRITY", b"", size * 8)
    if mac != hmac.digest(mac_key, identity + name, digest):
        raise ValueError("integrity")
    cipher = AES.new(kdfa(digest, seed, b"STORAGE", name, bits), AES.MODE_CFB, iv=bytes(16), segment_size=128)
    secret, rest = unsized(cipher.decrypt(identity))
    assert rest == b""
    return secret


def unsized(content: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack(">H", content[:2])
    assert len(content) >= 2 + size
    return content[2 : 2 + size], content[2 + size :]


def decrypt_seed(ek: PrivateKey, encrypted: bytes, digest: str) -> bytes:
    hashing = {"sha256": SHA256(), "sha384": SHA384()}[digest]
    if isinstance(ek, rsa.RSAPrivateKey):
        return ek.decrypt(encrypted, padding.OAEP(padding.MGF1(hashing), hashing, b"IDENTITY\0"))
    x, rest = unsized(encrypted)
    y, rest = unsized(rest)
    assert rest == b""
    ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(ek.curve, b"\x04" + x + y)
    mine, _ = coordinates(ek.public_key())
    shared = ek.exchange(ec.ECDH(), ephemeral)
    # One round is enough: the seed is as long as the digest.
    return hashlib.new(digest, struct.pack(">I", 1) + shared + b"IDENTITY\0" + x + mine).digest()


def kdfa(digest: str, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    fixed = label + b"\0" + context + struct.pack(">I", bits)
    made = b""
    round = 0
    while len(made) * 8 < bits:
        round += 1
        made += hmac.digest(key, struct.pack(">I", round) + fixed, digest)
    return made[: bits // 8]
