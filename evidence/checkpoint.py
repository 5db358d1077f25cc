"""Checkpoints of a Merkle log as C2SP signed notes with Ed25519 keys (tlog-checkpoint and signed-note)."""

import base64
import binascii
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence.hashing import sha256

ED25519 = b"\x01"
DASH = "— "


class CheckpointError(ValueError):
    """A checkpoint is malformed or not signed by the key that is trusted for its ledger."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`size` entries of the log `origin` have this RFC 6962 `root`."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def origin(ledger: bytes) -> str:
    return f"energymarket/{ledger.hex()}"


def key_hash(name: str, key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + key)[:4]


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The signed note. Its key carries the log's origin as name."""
    signature = key.sign(checkpoint.text.encode())
    mark = base64.b64encode(key_hash(checkpoint.origin, key.public_key().public_bytes_raw()) + signature).decode()
    return f"{checkpoint.text}\n{DASH}{checkpoint.origin} {mark}\n"


def open_note(note: str, origin: str, key: bytes) -> Checkpoint:
    """Read a signed note; raises `CheckpointError` unless `key` (32 bytes, Ed25519) signed it for `origin`."""
    text, separator, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not separator or len(lines) != 3:
        raise CheckpointError("a checkpoint has three lines and a signature")
    try:
        checkpoint = Checkpoint(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
    except (ValueError, binascii.Error):
        raise CheckpointError("a checkpoint's size or root cannot be read") from None
    if checkpoint.text != text + "\n" or len(checkpoint.root) != 32:
        raise CheckpointError("a checkpoint is not in its one form")
    if checkpoint.origin != origin:
        raise CheckpointError(f"the checkpoint is of {checkpoint.origin}, not of {origin}")
    marks = [_signature(line) for line in signatures.removesuffix("\n").split("\n")]
    own = [content for name, content in marks if name == origin and content[:4] == key_hash(origin, key)]
    if len(own) != 1 or not signatures.endswith("\n"):
        raise CheckpointError("the checkpoint is not signed by the key that is trusted for it")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(own[0][4:], checkpoint.text.encode())
    except InvalidSignature:
        raise CheckpointError("the checkpoint's signature does not fit") from None
    return checkpoint


def _signature(line: str) -> tuple[str, bytes]:
    """Key name and content of a signature line. Those of witnesses and other keys may stand beside the ledger's own."""
    _, name, mark = [*line.split(" "), "", ""][:3]
    try:
        content = base64.b64decode(mark, validate=True)
    except (ValueError, binascii.Error):
        raise CheckpointError("a checkpoint's signature is not base64") from None
    if line != f"{DASH}{name} {base64.b64encode(content).decode()}" or not name or len(content) < 5:
        raise CheckpointError("a signature line is not in its one form")
    return name, content
