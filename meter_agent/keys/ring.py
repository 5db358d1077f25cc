"""The keys of a box in files beside each other: `device.pem`, `device.pem.next`, `device.pem.old`.

Each step is one link or one rename, after which the files say where things stand. A power cut on the way to a promotion
leaves the current key in the place of the old one too, and the promotion can be asked for again.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from evidence.keys import PublicKey, Signer
from meter_agent.durable import sync_folder
from meter_agent.keys.base import AttestableKey, Attestation, Held, Origin, Place
from meter_agent.keys.errors import KeyFileError, KeyRefused
from meter_agent.keys.files import check_folder, link, make_private_file, read_private_file


class KeyRing:
    """See `Keys`. A key that was loaded once signs on when its file is damaged later."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self.path = path
        self.origin = origin
        self._loaded: dict[bytes, Signer] = {}

    def file(self, place: Place) -> Path:
        return self.path if place is Place.CURRENT else self.path.with_name(f"{self.path.name}.{place}")

    def held(self) -> Held:
        keys: dict[Place, PublicKey] = {}
        faults: dict[Place, str] = {}
        for place in Place:
            try:
                signer = self._read(place)
            except KeyFileError as error:
                faults[place] = str(error)
                continue
            if signer is not None and signer.public_key not in keys.values():
                keys[place] = signer.public_key
        return Held(keys, faults)

    def _read(self, place: Place) -> Signer | None:
        path = self.file(place)
        if not self._is_there(place):
            return None
        try:
            signer = self.origin.load(read_private_file(path))
        except ValueError as error:
            raise KeyFileError(f"{path} {error}") from None
        return self._loaded.setdefault(signer.public_key.id, signer)

    def _is_there(self, place: Place) -> bool:
        path = self.file(place)
        try:
            if not path.parent.exists():
                return False
            check_folder(path.parent)
            return path.exists()
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None

    def _signer(self, key: bytes) -> Signer:
        if key not in self._loaded:
            faults = self.held().faults
            if key not in self._loaded:
                raise KeyRefused("; ".join([f"there is no key {key.hex()}", *faults.values()]))
        return self._loaded[key]

    def sign(self, key: bytes, digest: bytes) -> bytes:
        if len(digest) != 32:
            raise KeyRefused(f"only digests of 32 bytes are signed, not of {len(digest)}")
        return self._signer(key).sign(digest)

    def make(self) -> PublicKey:
        there = [place for place in Place if self._is_there(place)]
        if there and Place.CURRENT not in there:
            raise KeyFileError(f"{self.path} is missing, though the {there[0]} key is there: the box had one before")
        return self._make(Place.CURRENT)

    def make_next(self) -> PublicKey:
        if not self._is_there(Place.CURRENT):
            raise KeyRefused(f"{self.path} does not exist: there is no key to follow")
        return self._make(Place.NEXT)

    def _make(self, place: Place) -> PublicKey:
        path = self.file(place)
        if not self._is_there(place):
            make_private_file(path, self.origin.make())
        signer = self._read(place)
        if signer is None:
            raise KeyFileError(f"{path} has vanished")
        return signer.public_key

    def promote(self, key: bytes) -> None:
        held = self.held()
        if Place.CURRENT in held.keys and held.keys[Place.CURRENT].id == key:
            return
        if Place.NEXT not in held.keys or held.keys[Place.NEXT].id != key:
            raise KeyRefused(f"{key.hex()} is not the next key")
        if Place.OLD in held.keys or Place.OLD in held.faults:
            raise KeyRefused("the old key is still there: forget it once no report needs it")
        with self._changing():
            # The file of the old key is missing, or another name of the current one's.
            if self.path.exists():
                link(self.path, self.file(Place.OLD))
            self.file(Place.NEXT).replace(self.path)

    def forget(self, place: Place) -> None:
        if place is Place.CURRENT:
            raise KeyRefused("the current key is not forgotten: make the next one and promote it")
        keys = self.held().keys
        with self._changing():
            self.file(place).unlink(missing_ok=True)
        if place in keys:
            del self._loaded[keys[place].id]

    @contextmanager
    def _changing(self) -> Generator[None, None, None]:
        try:
            yield
            sync_folder(self.path.parent)
        except OSError as error:
            raise KeyFileError(f"{self.path.parent} cannot be changed: {error.strerror}") from None

    def attest(self, key: bytes) -> Attestation:
        return self._attestable(key).attest()

    def activate(self, key: bytes, credential: bytes) -> bytes:
        return self._attestable(key).activate(credential)

    def _attestable(self, key: bytes) -> AttestableKey:
        signer = self._signer(key)
        if not isinstance(signer, AttestableKey):
            raise KeyRefused("a key in a file cannot show where it was made")
        return signer
