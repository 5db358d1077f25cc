"""A folder with a private key and the certificates issued for it, replaced together while others read them."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.gateway import SigningIdentity
from ledger_adapters.fabric.identities.authority import Authority, Issued


@dataclass(frozen=True, slots=True)
class IdentityFolder:
    """`current` is a link to one of the folders beside it, which are named by the certificates' serial numbers.

    A renewal writes a new one and then moves the link: readers find a key and the certificate that belongs to it. The
    one before stays for readers that were on their way; older ones go. `authority.json` says who issues.
    """

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "current" / "certificate.pem"

    @property
    def private_key(self) -> Path:
        return self.folder / "current" / "key.pem"

    def identity(self, msp_id: str = "") -> SigningIdentity:
        """Only peers ask for the MSP. Raises `Misconfigured` when there is no whole identity."""
        try:
            # Through the link once, for it may be moved between two reads.
            current = (self.folder / "current").resolve(strict=True)
            return SigningIdentity.from_files(msp_id, current / "certificate.pem", current / "key.pem")
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(f"{self.folder} holds no identity: {error}") from error

    def ends(self) -> datetime:
        return self.identity().identity.expires

    def authority(self) -> Authority:
        """Who issued the identity."""
        try:
            content = json.loads((self.folder / "authority.json").read_text(encoding="utf-8"))
            return Authority(**content | {name: Path(content[name]) for name in ("tls_ca", "python")})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Misconfigured(f"{self.folder} does not say which authority issues: {error}") from error

    def write_authority(self, authority: Authority) -> None:
        # Not resolved: the Python of a virtual environment is a link.
        content = asdict(authority) | {name: str(getattr(authority, name).absolute()) for name in ("tls_ca", "python")}
        self._make()
        draft = self.folder / ".authority.json"
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        draft.replace(self.folder / "authority.json")

    def write(self, issued: Issued, key: ec.EllipticCurvePrivateKey) -> None:
        """Put a key and its certificate in the place of those before. Raises `ValueError` if they do not match."""
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        SigningIdentity.from_pem("", issued.certificate, pem)
        self._make()
        new = self.folder / f"{x509.load_pem_x509_certificate(issued.certificate).serial_number:x}"
        new.mkdir(mode=0o700)
        for name, content in (("key", pem), ("certificate", issued.certificate), ("chain", issued.chain)):
            with os.fdopen(os.open(new / f"{name}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        self._point_to(new)

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_mode & 0o077:
            raise Misconfigured(f"{self.folder} is for a private key, but others may open it: chmod 700")

    def _point_to(self, new: Path) -> None:
        link, draft = self.folder / "current", self.folder / f".{new.name}"
        before = link.resolve()
        draft.symlink_to(new.name)
        draft.replace(link)
        for each in self.folder.iterdir():
            if each.is_dir() and not each.is_symlink() and each not in (new, before):
                shutil.rmtree(each)
