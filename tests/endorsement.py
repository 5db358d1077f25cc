"""An authority for endorsement keys, as a maker of TPMs has one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

EndorsementKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

NOW = datetime(2026, 6, 10, tzinfo=UTC)
YEAR = timedelta(days=365)
EK_CERTIFICATE = ObjectIdentifier("2.23.133.8.1")
MODEL = [(ObjectIdentifier("2.23.133.2.1"), "id:49424D00"), (ObjectIdentifier("2.23.133.2.2"), "emulated")]


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates; one that `may_sign` none says so in its own."""

    def __init__(
        self, name: str = "Makers of TPMs", *, may_sign: bool = True, until: datetime = NOW + 50 * YEAR
    ) -> None:
        self.name = name_of(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder(self.name, self.name, self.key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - YEAR)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=may_sign, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=may_sign, **usage), critical=True)
        )
        self.certificate = builder.sign(self.key, SHA256())

    def certify(
        self,
        key: EndorsementKey,
        *,
        purposes: Sequence[ObjectIdentifier] = (EK_CERTIFICATE,),
        until: datetime = NOW + 50 * YEAR,
        is_ca: bool = False,
        more: Sequence[x509.ExtensionType] = (),
    ) -> bytes:
        """A certificate as the makers' profile has it: no subject, the model in a critical alternative name."""
        model = x509.Name([x509.NameAttribute(oid, value) for oid, value in MODEL])
        builder = (
            x509.CertificateBuilder(self.name, x509.Name([]), key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - YEAR)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DirectoryName(model)]), critical=True)
        )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        for extension in more:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)
