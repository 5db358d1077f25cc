"""Certificates by the utility's own authority, whose key a network on one machine keeps."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from deploy.fabric.network import Network
from ledger_adapters.fabric.identities import IdentityFolder, Issued


def root_of(network: Network) -> tuple[Path, Path]:
    """Certificate and key of the utility's own authority."""
    folder = Path(network.description.organisations["utility"].client_certificate).parents[4] / "ca"
    [certificate], [key] = folder.glob("*.pem"), folder.glob("*_sk")
    return certificate, key


def issue(network: Network, folder: IdentityFolder, lasting: timedelta) -> None:
    """Put a new client of the utility into a folder, good for so long: Fabric CA counts in minutes."""
    certificate, key = root_of(network)
    issuer = x509.load_pem_x509_certificate(certificate.read_bytes())
    signing = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    own = ec.generate_private_key(ec.SECP256R1())
    names = [(NameOID.COMMON_NAME, "a client"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "client")]
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(*name) for name in names]))
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(datetime.now(UTC) + lasting)
        .sign(signing, SHA256())
    )
    folder.write(Issued(built.public_bytes(Encoding.PEM), certificate.read_bytes()), own)
