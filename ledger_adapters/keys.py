"""Private keys in a folder that only their owner can read."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from evidence.keys import Algorithm, SoftwareKey
from ledger_adapters.exceptions import BadKeys


class KeyFolder:
    """PEM files (PKCS #8), one per name. A key that is asked for and missing is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def signer(self, name: str) -> SoftwareKey:
        """A P-256 key that signs commands or batches."""
        key = self._load(name, ec.generate_private_key(ec.SECP256R1()))
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadKeys(f"{self.folder / name}.pem holds no P-256 key")
        return SoftwareKey(Algorithm.P256, key.private_numbers().private_value.to_bytes(32, "big"))

    def secp256k1(self, name: str) -> SoftwareKey:
        """A key of the wallets' curve: that of an account on a chain."""
        key = self._load(name, ec.generate_private_key(ec.SECP256K1()))
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256K1):
            raise BadKeys(f"{self.folder / name}.pem holds no key on secp256k1")
        return SoftwareKey(Algorithm.SECP256K1, key.private_numbers().private_value.to_bytes(32, "big"))

    def ed25519(self, name: str) -> Ed25519PrivateKey:
        key = self._load(name, Ed25519PrivateKey.generate())
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKeys(f"{self.folder / name}.pem holds no Ed25519 key")
        return key

    def check(self, names: Mapping[str, Callable[[Self, str], object]]) -> None:
        """Read the keys that are there by now; none is made. Raises `BadKeys`."""
        try:
            if self.folder.exists():
                self._check_mode()
            present = [name for name in names if (self.folder / f"{name}.pem").exists()]
        except OSError as error:
            raise BadKeys(f"{self.folder}: {error.strerror}") from None
        for name in present:
            names[name](self, name)

    def _check_mode(self) -> None:
        if not self.folder.is_dir():
            raise BadKeys(f"{self.folder} is no folder")
        if stat.S_IMODE(self.folder.stat().st_mode) & 0o077:
            raise BadKeys(f"{self.folder} holds private keys, but others may open it: chmod 700")

    def _load(self, name: str, new: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> PrivateKeyTypes:
        try:
            return load_pem_private_key(self._pem(name, new), password=None)
        except OSError as error:
            raise BadKeys(f"{error.filename}: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise BadKeys(f"{self.folder / name}.pem holds no private key that can be read") from None

    def _pem(self, name: str, new: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_mode()
        path = self.folder / f"{name}.pem"
        draft = self.folder / f".{name}.{os.getpid()}"
        if not path.exists():
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            try:
                # Two processes may start at once: the first link wins, and both read the same key.
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_bytes()
