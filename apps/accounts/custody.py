"""Secrets at rest: sealed with the installation's custody key, which is in no database."""

import base64

from cryptography.fernet import Fernet
from django.conf import settings

from evidence.hashing import tagged


def _fernet() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(tagged("em/custody/1", settings.CUSTODY_KEY.encode())))


def seal(secret: bytes) -> bytes:
    return _fernet().encrypt(secret)


def open_secret(sealed: bytes) -> bytes:
    """Raises `cryptography.fernet.InvalidToken` when it was sealed with another custody key."""
    return _fernet().decrypt(sealed)
