"""Tagged SHA-256: `H(tag, x) = SHA-256(SHA-256(tag) ‖ x)`, so that no two kinds of content can share a digest."""

import hashlib
from functools import cache

ZERO = bytes(32)


@cache
def _prefix(tag: str) -> bytes:
    return hashlib.sha256(tag.encode("ascii")).digest()


def tagged(tag: str, content: bytes) -> bytes:
    """Return the 32-byte digest of `content` under an ASCII tag such as `em/id/1`."""
    return hashlib.sha256(_prefix(tag) + content).digest()


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
