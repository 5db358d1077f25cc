"""Whether the key of a box was made in a TPM that one of the configured authorities vouches for, and cannot leave it.

The TPM's maker signed a certificate for its endorsement key. The head-end encrypts a secret for that key and for the
name of the box's key, which is a hash over all its attributes. A TPM gives the secret out only while it holds that key:
who knows the secret has the key in that TPM, with those attributes. See docs/adr/0013-keys-in-a-tpm.md.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

from apps.metering.tpm import Algorithm, Attributes, Malformed, Public, make_credential, read_public
from evidence.hashing import sha256
from evidence.keys import Algorithm as KeyAlgorithm
from evidence.keys import PublicKey

SECRET_BYTES = 32
ENDORSEMENT_KEY_CERTIFICATE = ObjectIdentifier("2.23.133.8.1")
UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    # Maker and model of the TPM. Who may vouch for it is decided by its authority alone.
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
}
CANNOT_LEAVE = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN


class Rule(StrEnum):
    """What an attestation breaks."""

    MALFORMED = "malformed"
    NO_EK_CERTIFICATE = "no_ek_certificate"
    FOREIGN_EK = "foreign_ek"
    EK_CERTIFICATE_EXPIRED = "ek_certificate_expired"
    ANOTHER_EK = "another_ek"
    NO_EK = "no_ek"
    KEY_CAN_LEAVE = "key_can_leave"
    KEY_OF_ANOTHER_KIND = "key_of_another_kind"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - the name of a rule


class AttestationRefused(Exception):
    """The key is not taken for one of a TPM."""

    def __init__(self, rule: Rule, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Challenge:
    """`credential` goes to the box. `secret` stays here, and what the box answers is compared with it.

    `key` is the key that is in the TPM once they are equal, `tpm` names the TPM: SHA-256 of its endorsement key.
    """

    credential: bytes
    secret: bytes
    key: PublicKey
    tpm: bytes


def begin(
    ek_certificate: bytes, ek_public: bytes, key_public: bytes, cas: Sequence[x509.Certificate], *, now: datetime
) -> Challenge:
    """The challenge for a key: certificate (DER), TPMT_PUBLIC of the endorsement key and of the key, our authorities.

    Raises `AttestationRefused`.
    """
    ek = _check_ek(_check_certificate(ek_certificate, cas, now), ek_public)
    public = _read(key_public, "the key")
    key = _check_key(public)
    secret = secrets.token_bytes(SECRET_BYTES)
    info = ek.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Challenge(make_credential(ek, public.name, secret), secret, key, sha256(info))


def finish(secret: bytes, answer: bytes) -> None:
    """Whether the box found the secret of its challenge. A challenge is good for one answer: forget it afterwards.

    Raises `AttestationRefused`.
    """
    if not hmac.compare_digest(secret, answer):
        raise AttestationRefused(Rule.WRONG_SECRET, "the answer is not the secret: this TPM does not hold this key")


def read_authorities(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The authorities whose endorsement keys are taken, from a PEM file. Raises ValueError."""
    cas = tuple(x509.load_pem_x509_certificates(pem))
    for ca in cas:
        if not _is_authority(ca):
            raise ValueError(f"{ca.subject.rfc4514_string()} may not sign certificates")
    return cas


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and usage.key_cert_sign


def _check_certificate(der: bytes, cas: Sequence[x509.Certificate], now: datetime) -> x509.Certificate:
    """A certificate for endorsement keys that one of the authorities issued; each of them is trusted by itself."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise AttestationRefused(Rule.NO_EK_CERTIFICATE, f"the certificate cannot be read: {error}") from None
    issuer = next((ca for ca in cas if _issued(ca, certificate)), None)
    if issuer is None:
        name = certificate.issuer.rfc4514_string()
        raise AttestationRefused(Rule.FOREIGN_EK, f"the endorsement key's certificate is by {name}, not by one of ours")
    for each in (certificate, issuer):
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            subject = each.subject.rfc4514_string() or "the endorsement key"
            raise AttestationRefused(Rule.EK_CERTIFICATE_EXPIRED, f"the certificate of {subject} is not valid now")
    _check_purpose(extensions)
    return certificate


def _issued(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return _is_authority(ca)


def _check_purpose(extensions: x509.Extensions) -> None:
    """Authorities certify other things too: without its purpose any key with a certificate could be a TPM's."""
    for extension in extensions:
        if extension.critical and extension.oid not in UNDERSTOOD:
            oid = extension.oid.dotted_string
            raise AttestationRefused(Rule.NO_EK_CERTIFICATE, f"the certificate must not be used without reading {oid}")
    purposes: list[ObjectIdentifier] = []
    is_ca = False
    for value in (extension.value for extension in extensions):
        if isinstance(value, x509.ExtendedKeyUsage):
            purposes = list(value)
        if isinstance(value, x509.BasicConstraints):
            is_ca = value.ca
    if ENDORSEMENT_KEY_CERTIFICATE not in purposes or is_ca:
        raise AttestationRefused(Rule.NO_EK_CERTIFICATE, "the certificate is not one for an endorsement key")


def _read(content: bytes, what: str) -> Public:
    try:
        return read_public(content)
    except Malformed as error:
        raise AttestationRefused(Rule.MALFORMED, f"the public area of {what} is of no use: {error}") from None


def _check_ek(certificate: x509.Certificate, content: bytes) -> Public:
    ek = _read(content, "the endorsement key")
    try:
        certified = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AttestationRefused(Rule.NO_EK_CERTIFICATE, f"the certified key cannot be read: {error}") from None
    if certified != ek.key:
        raise AttestationRefused(Rule.ANOTHER_EK, "the certificate is for another endorsement key")
    needed = CANNOT_LEAVE | Attributes.RESTRICTED | Attributes.DECRYPT
    if ek.attributes & needed != needed or Attributes.SIGN in ek.attributes or ek.aes_bits is None:
        raise AttestationRefused(Rule.NO_EK, "the endorsement key is not one that only unwraps for its TPM")
    return ek


def _check_key(public: Public) -> PublicKey:
    """A key for signatures that never was and never will be outside its TPM."""
    missing = CANNOT_LEAVE & ~public.attributes
    if missing:
        raise AttestationRefused(Rule.KEY_CAN_LEAVE, f"the key could leave its TPM: without {missing.name}")
    # Used by its password alone, which a TPM does not have of a key of which it was shown the public part only.
    expected = CANNOT_LEAVE | Attributes.SIGN | Attributes.USER_WITH_AUTH
    only_signs = public.attributes in (expected, expected | Attributes.NO_DA) and not public.policy
    key = public.key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1) or not only_signs:
        raise AttestationRefused(Rule.KEY_OF_ANOTHER_KIND, "the key is not a P-256 key that signs and nothing else")
    if public.name_hash != Algorithm.SHA256 or public.aes_bits is not None:
        raise AttestationRefused(Rule.KEY_OF_ANOTHER_KIND, "the key is not named by SHA-256, or wraps others")
    numbers = key.public_numbers()
    return PublicKey(KeyAlgorithm.P256, numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
