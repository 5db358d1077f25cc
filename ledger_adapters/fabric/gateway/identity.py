"""Who acts towards Fabric: a certificate issued by an organisation's MSP, and the P-256 key that belongs to it."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from fabric_protos.msp import identities_pb2

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_PREHASHED = ec.ECDSA(Prehashed(SHA256()))


def low_s(signature: bytes) -> bytes:
    """The same P-256 signature (DER) with s in the lower half of the group order.

    Fabric refuses the other half (bccsp/sw/ecdsa.go), which TPMs, HSMs and browsers emit half of the time.
    Raises `ValueError` when `signature` is not DER.
    """
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, P256_ORDER - s))


class Signer(Protocol):
    """A private key, wherever it is kept. May be called from several threads at once.

    `execute` and the streams that reconnect sign on the event loop: a slow token delays what else is under way.
    """

    def sign(self, digest: bytes, /) -> bytes:
        """DER signature over a SHA-256 digest of 32 bytes."""


class PrivateKeySigner:
    """A P-256 key in memory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"the private key is on {key.curve.name}, not on P-256")
        self._key = key

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> Self:
        """Raises `ValueError` or `TypeError` when `pem` holds no P-256 key that `password` opens."""
        key = load_pem_private_key(pem, password)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the private key is not an elliptic curve key")
        return cls(key)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign(self, digest: bytes, /) -> bytes:
        return low_s(self._key.sign(digest, _PREHASHED))


@dataclass(frozen=True)
class Identity:
    """The public half: enough to build every message, so that its digest can be signed elsewhere.

    `certificate`: X.509 in PEM, without its chain. Raises `ValueError` when it is not.
    """

    msp_id: str
    certificate: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _ = self.x509

    @cached_property
    def x509(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    @cached_property
    def creator(self) -> bytes:
        """`SerializedIdentity`, as it stands in headers and in the preimage of transaction ids."""
        message = identities_pb2.SerializedIdentity(mspid=self.msp_id, id_bytes=self.certificate)
        serialized: bytes = message.SerializeToString()
        return serialized

    @property
    def expires(self) -> datetime:
        """Peers refuse proposals and event streams from then on (UTC)."""
        return self.x509.not_valid_after_utc


@dataclass(frozen=True)
class SigningIdentity:
    """An identity and something that signs for it."""

    identity: Identity
    signer: Signer

    @classmethod
    def from_pem(cls, msp_id: str, certificate: bytes, private_key: bytes, password: bytes | None = None) -> Self:
        """Raises `ValueError` when one of them cannot be read or the key is not the one in the certificate."""
        identity, signer = Identity(msp_id, certificate), PrivateKeySigner.from_pem(private_key, password)
        form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if signer.public_key.public_bytes(*form) != identity.x509.public_key().public_bytes(*form):
            raise ValueError(f"the private key does not belong to the certificate of {msp_id}")
        return cls(identity, signer)

    @classmethod
    def from_files(cls, msp_id: str, certificate: Path, private_key: Path) -> Self:
        """As `from_pem`. Raises `OSError` when a file cannot be read."""
        return cls.from_pem(msp_id, certificate.read_bytes(), private_key.read_bytes())
