"""The device's private key: a PEM file that only its owner can read, in a folder that only its owner can enter."""

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from evidence.keys import Algorithm, SoftwareKey


class KeyFileError(Exception):
    """A file with a secret is missing, open to others, or holds something else."""


def read_private_file(path: Path) -> bytes:
    """Content of a file that group and others have no rights to; raises `KeyFileError`."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o177:
                raise KeyFileError(f"{path} has mode {mode:04o}, but only its owner may read it: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None


def load_key(path: Path) -> SoftwareKey:
    """Raises `KeyFileError`."""
    if not path.exists():
        raise KeyFileError(
            f"{path} does not exist: `meter-agent key --config ...` makes the key and prints its public part"
        )
    _check_folder(path.parent)
    try:
        key = load_pem_private_key(read_private_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path} does not hold an unencrypted private key in PEM form") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(f"{path} holds a key of another kind than P-256")
    return SoftwareKey(Algorithm.P256, key.private_numbers().private_value.to_bytes(32, "big"))


def load_or_create_key(path: Path) -> SoftwareKey:
    """Make the key on the first call. Raises `KeyFileError`."""
    if not path.exists():
        _create(path)
    return load_key(path)


def _create(path: Path) -> None:
    if not path.parent.exists():
        path.parent.mkdir(parents=True, mode=0o700)
    _check_folder(path.parent)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        # A link never replaces a key that somebody else made meanwhile, and the file is whole when it appears.
        os.link(draft, path)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be made: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _check_folder(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise KeyFileError(f"{folder} has mode {mode:04o}, but only its owner may enter it: chmod 700 {folder}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
