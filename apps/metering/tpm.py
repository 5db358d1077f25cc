"""What a TPM 2.0 says about its keys, read and answered without one: public areas, names, credentials.

Numbers and forms: TPM 2.0 library specification, part 2; credentials: part 1, "Credential Protection".
"""

import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from evidence.hashing import sha256


class Malformed(ValueError):
    """Bytes that are no public area of a key that a box or its TPM can have."""


class Algorithm(IntEnum):
    RSA = 0x0001
    AES = 0x0006
    SHA256 = 0x000B
    SHA384 = 0x000C
    NULL = 0x0010
    ECDSA = 0x0018
    ECC = 0x0023
    CFB = 0x0043


class Attributes(IntFlag):
    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18


CURVES: dict[int, Callable[[], ec.EllipticCurve]] = {0x0003: ec.SECP256R1, 0x0004: ec.SECP384R1}
HASHES: dict[int, Callable[[], HashAlgorithm]] = {Algorithm.SHA256: SHA256, Algorithm.SHA384: SHA384}
AES_BITS = (128, 256)
RSA_BITS = 2048
DEFAULT_EXPONENT = 65537


class _Reader:
    """Takes numbers and sized buffers from the front of bytes. Raises `Malformed`."""

    def __init__(self, content: bytes) -> None:
        self.left = content

    def take(self, count: int) -> bytes:
        if len(self.left) < count:
            raise Malformed("it is too short")
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def number(self, form: str = ">H") -> int:
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(value)

    def sized(self) -> bytes:
        return self.take(self.number())

    def expect(self, what: str, *allowed: int) -> int:
        value = self.number()
        if value not in allowed:
            raise Malformed(f"its {what} is {value:#06x}")
        return value


@dataclass(frozen=True, slots=True)
class Public:
    """A TPMT_PUBLIC of an ECC key or an RSA key of 2048 bits. `aes_bits`: of a storage key, what it wraps with."""

    content: bytes
    name_hash: int
    attributes: Attributes
    policy: bytes
    aes_bits: int | None
    scheme: int
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey

    @property
    def name(self) -> bytes:
        """What names the key together with all its attributes. Only of keys named by SHA-256."""
        return struct.pack(">H", self.name_hash) + sha256(self.content)


def read_public(content: bytes) -> Public:
    """A TPMT_PUBLIC. Raises `Malformed`."""
    reader = _Reader(content)
    kind = reader.expect("type", Algorithm.RSA, Algorithm.ECC)
    name_hash = reader.expect("name algorithm", *HASHES)
    attributes = Attributes(reader.number(">I"))
    policy = reader.sized()
    aes_bits = _read_symmetric(reader)
    scheme = reader.expect("scheme", Algorithm.NULL, *((Algorithm.ECDSA,) if kind == Algorithm.ECC else ()))
    if scheme != Algorithm.NULL:
        reader.expect("scheme's hash", Algorithm.SHA256)
    key = _read_ecc(reader) if kind == Algorithm.ECC else _read_rsa(reader)
    if reader.left:
        raise Malformed("it is too long")
    return Public(content, name_hash, attributes, policy, aes_bits, scheme, key)


def _read_symmetric(reader: _Reader) -> int | None:
    if reader.expect("cipher", Algorithm.NULL, Algorithm.AES) == Algorithm.NULL:
        return None
    bits = reader.expect("cipher's key length", *AES_BITS)
    reader.expect("cipher's mode", Algorithm.CFB)
    return bits


def _read_ecc(reader: _Reader) -> ec.EllipticCurvePublicKey:
    curve = CURVES[reader.expect("curve", *CURVES)]()
    reader.expect("key derivation", Algorithm.NULL)
    x, y = int.from_bytes(reader.sized(), "big"), int.from_bytes(reader.sized(), "big")
    try:
        return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError:
        raise Malformed("its coordinates are no point of its curve") from None


def _read_rsa(reader: _Reader) -> rsa.RSAPublicKey:
    reader.expect("length", RSA_BITS)
    exponent = reader.number(">I") or DEFAULT_EXPONENT
    modulus = reader.sized()
    try:
        key = rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "big")).public_key()
    except ValueError as error:
        raise Malformed(f"its numbers are no RSA key: {error}") from None
    if key.key_size != RSA_BITS:
        raise Malformed("its modulus has another length")
    return key


def make_credential(ek: Public, name: bytes, secret: bytes) -> bytes:
    """TPM2B_ID_OBJECT ‖ TPM2B_ENCRYPTED_SECRET: `secret`, which only the TPM with the endorsement key `ek` gives out,
    and only when it holds the key called `name`.

    `secret` is no longer than the digest of `ek`'s name algorithm. Raises ValueError when `ek` wraps with no cipher.
    """
    if ek.aes_bits is None:
        raise ValueError("the endorsement key names no cipher")
    hashing = HASHES[ek.name_hash]()
    seed, encrypted_seed = _seed(ek.key, hashing)
    cipher_key = _kdfa(hashing, seed, b"STORAGE", name, ek.aes_bits)
    # The key is used once: a zero vector is what the specification asks for.
    encryptor = Cipher(AES(cipher_key), CFB(bytes(16))).encryptor()
    identity = encryptor.update(_sized(secret)) + encryptor.finalize()
    mac_key = _kdfa(hashing, seed, b"INTEGRITY", b"", hashing.digest_size * 8)
    mac = hmac.digest(mac_key, identity + name, hashing.name)
    return _sized(_sized(mac) + identity) + _sized(encrypted_seed)


def _seed(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, hashing: HashAlgorithm) -> tuple[bytes, bytes]:
    """A fresh seed, and what the owner of `key` finds it by."""
    label = b"IDENTITY\0"
    if isinstance(key, rsa.RSAPublicKey):
        seed = secrets.token_bytes(hashing.digest_size)
        return seed, key.encrypt(seed, padding.OAEP(padding.MGF1(hashing), hashing, label))
    ephemeral = ec.generate_private_key(key.curve)
    size = (key.curve.key_size + 7) // 8
    mine, theirs = ephemeral.public_key().public_numbers(), key.public_numbers()
    parties = mine.x.to_bytes(size, "big") + theirs.x.to_bytes(size, "big")
    derivation = ConcatKDFHash(hashing, hashing.digest_size, label + parties)
    seed = derivation.derive(ephemeral.exchange(ec.ECDH(), key))
    return seed, _sized(mine.x.to_bytes(size, "big")) + _sized(mine.y.to_bytes(size, "big"))


def _kdfa(hashing: HashAlgorithm, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    derivation = KBKDFHMAC(
        algorithm=hashing,
        mode=Mode.CounterMode,
        length=bits // 8,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    )
    return derivation.derive(key)


def _sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content
