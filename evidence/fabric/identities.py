"""Who signed: an organisation's X.509 certificate for a peer or an orderer, with a P-256 key."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from evidence.fabric.wire import FabricError, Message
from evidence.keys import P256_ORDER


class Role(StrEnum):
    """An identity's organisational unit says which it has (Fabric's "node OUs" under their usual names)."""

    PEER = "peer"
    ORDERER = "orderer"
    CLIENT = "client"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Organisation:
    """An MSP. `authorities`: certificates (DER) of those that issue its identities, in ascending order."""

    msp: str
    authorities: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Raises `ValueError`."""
        if not self.msp or not self.authorities or sorted(set(self.authorities)) != list(self.authorities):
            raise ValueError("an organisation has an id, and authorities in ascending order, each once")
        for authority in self.authorities:
            x509.load_der_x509_certificate(authority)


@dataclass(frozen=True)
class Identity:
    """A signer as messages name it: the id of an MSP and a certificate of it, which `check_member` checks.

    `units`: the organisational units in it; `name` is for people.
    """

    msp: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePublicKey
    units: frozenset[str | bytes]
    name: str

    @classmethod
    def decode(cls, content: bytes) -> "Identity":
        """Read a `SerializedIdentity`. Raises `FabricError`, also where the key is not on P-256."""
        message = Message(content, "identity")
        msp = message.text(1)
        try:
            certificate = x509.load_pem_x509_certificate(message.octets(2))
            key, subject = certificate.public_key(), certificate.subject
            units = subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
            raise FabricError(f"an identity of {msp} has no certificate that can be read: {error}") from None
        name = f"{msp}, {subject.rfc4514_string()}"
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise FabricError(f"the key of {name} is not on P-256")
        return cls(msp, certificate, key, frozenset(unit.value for unit in units), name)

    def check_signature(self, content: bytes, signature: bytes) -> None:
        """Raises `FabricError` unless the certificate's key signed this (DER, low s)."""
        try:
            _, s = decode_dss_signature(signature)
            self.key.verify(signature, content, ec.ECDSA(SHA256()))
        except (ValueError, InvalidSignature):
            raise FabricError(f"not the signature of {self.name}") from None
        if s > P256_ORDER // 2:
            raise FabricError(f"the signature of {self.name} is not in its one form")

    def check_member(self, organisations: Iterable[Organisation], role: Role, time: dt.datetime) -> None:
        """Raises `FabricError` unless one of the organisations issued the certificate, for that role and time."""
        authorities = [authority for each in organisations if each.msp == self.msp for authority in each.authorities]
        if not any(_issued(x509.load_der_x509_certificate(each), self.certificate, time) for each in authorities):
            raise FabricError(f"no authority that is trusted has issued the certificate of {self.name}")
        if self.units & set(Role) != {role}:
            raise FabricError(f"{self.name} is no {role}")
        if not _is_valid(self.certificate, time):
            raise FabricError(f"the certificate of {self.name} is not valid at {time:%Y-%m-%d %H:%M:%S} UTC")


def _issued(authority: x509.Certificate, certificate: x509.Certificate, time: dt.datetime) -> bool:
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return constraints.ca and _is_valid(authority, time)


def _is_valid(certificate: x509.Certificate, time: dt.datetime) -> bool:
    return certificate.not_valid_before_utc <= time <= certificate.not_valid_after_utc
