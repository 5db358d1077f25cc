"""Getting certificates: the key is made here and stays here, the authority sees a request signed by it."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.identities.authority import Authority
from ledger_adapters.fabric.identities.folder import IdentityFolder


def enrol(folder: IdentityFolder, authority: Authority, id: str, secret: str) -> None:
    """Get a registered identity's certificate, with a new key. Raises what `Authority` does."""
    folder.write_authority(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    folder.write(authority.enrol(id, secret, _request(key, id)), key)


def renew(folder: IdentityFolder) -> None:
    """Get a further certificate for the same identity, with a new key, in place of the one that is there.

    The one before stays valid until it ends or is revoked. Raises what `Authority` does.
    """
    identity = folder.identity()
    if (ends := identity.identity.expires) <= datetime.now(UTC):
        raise Misconfigured(f"the certificate in {folder.folder} ended on {ends.isoformat()}: enrol anew")
    [name] = identity.identity.x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    key = ec.generate_private_key(ec.SECP256R1())
    folder.write(folder.authority().enrol_again(identity, _request(key, str(name.value))), key)


def is_due(folder: IdentityFolder, before: timedelta) -> bool:
    """Whether the certificate ends within that time."""
    return folder.ends() - datetime.now(UTC) <= before


def _request(key: ec.EllipticCurvePrivateKey, id: str) -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, id)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
