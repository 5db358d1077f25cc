"""Chaincode packages that say where the chaincode's server listens, and the certificates between it and its peer."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def make_package(label: str, address: str, certificates: Path) -> bytes:
    """A chaincode package that only says where the service listens; the same input gives the same bytes."""
    connection = {
        "address": address,
        "dial_timeout": "10s",
        "tls_required": True,
        "client_auth_required": True,
        "root_cert": (certificates / "ca.pem").read_text(encoding="ascii"),
        "client_cert": (certificates / "client.pem").read_text(encoding="ascii"),
        "client_key": (certificates / "client-key.pem").read_text(encoding="ascii"),
    }
    code = make_archive({"connection.json": json.dumps(connection).encode()})
    metadata = json.dumps({"type": "ccaas", "label": label}).encode()
    return make_archive({"metadata.json": metadata, "code.tar.gz": code})


def make_archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def make_chaincode_certificates(folder: Path) -> None:
    """Certificates between a peer and its chaincode server, from an authority whose key is forgotten at once.

    Not from the organisation's own authorities: what they sign can speak for the organisation.
    """
    folder.mkdir(mode=0o700)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = certificate("chaincode authority", authority_key, authority_key, None, None)
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    for name, use in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        signed = certificate(f"chaincode {name}", key, authority_key, authority.subject, use)
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        path = folder / f"{name}-key.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    use: x509.ObjectIdentifier | None,
) -> x509.Certificate:
    """Valid for ten years; an authority, signed by itself, when no issuer is named."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if use is not None:
        names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
