"""Secrets at rest: sealed with the installation's custody key, which is in no database."""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet
from django.conf import settings

from evidence.hashing import tagged


@lru_cache(maxsize=1)
def _fernet_of(key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(tagged("em/custody/1", key.encode())))


def _fernet() -> Fernet:
    return _fernet_of(settings.CUSTODY_KEY)


def seal(secret: bytes) -> bytes:
    return _fernet().encrypt(secret)


def open_secret(sealed: bytes) -> bytes:
    """Raises `cryptography.fernet.InvalidToken` when it was sealed with another custody key."""
    return _fernet().decrypt(sealed)
