"""An identity kept in two files, which somebody replaces while it is in use."""

import logging
import threading
from pathlib import Path

from .identity import SigningIdentity

logger = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


class IdentityFiles:
    """The identity in a certificate and a private key (PEM), read again when the files change. For any thread.

    Both may change one after the other: while they do not fit together, or cannot be read, the one before is in use.
    What that one signed can still be signed for: see `of`. Raises as `SigningIdentity.from_files` when made.
    """

    def __init__(self, msp_id: str, certificate: Path, private_key: Path) -> None:
        self._msp_id = msp_id
        self._files = (certificate, private_key)
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._current = self._before = SigningIdentity.from_files(msp_id, *self._files)

    def current(self) -> SigningIdentity:
        """The newest. What one message is built for and signed by has to be one answer of this."""
        with self._lock:
            self._refresh()
            return self._current

    def of(self, creator: bytes) -> SigningIdentity | None:
        """The newest or the one before, whose `creator` that is; None when it is neither."""
        with self._lock:
            self._refresh()
            return next((each for each in (self._current, self._before) if each.identity.creator == creator), None)

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp and stamp != self._stamp:
            # Looked at before they are read: a file that changes in between is read again.
            self._stamp = stamp
            self._read()

    def _look(self) -> Stamp:
        """Empty while a file is missing."""
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return ()
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)

    def _read(self) -> None:
        certificate, private_key = self._files
        try:
            new = SigningIdentity.from_files(self._msp_id, certificate, private_key)
        except (OSError, ValueError, TypeError) as error:
            logger.warning("The identity in %s and %s stays as it was: %s", certificate, private_key, error)
            return
        if new.identity != self._current.identity:
            logger.info("A new identity is in use from %s, valid until %s", certificate, new.identity.expires)
            self._before, self._current = self._current, new
