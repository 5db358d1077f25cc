"""What the keys of a box can be asked for, wherever they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from evidence.keys import PublicKey, Signer
from meter_agent.keys.errors import KeyUnavailable


class Place(StrEnum):
    """The old key stands beside the current one for as long as earlier days may need it."""

    CURRENT = "current"
    NEXT = "next"
    OLD = "old"


@dataclass(frozen=True, slots=True)
class Attestation:
    """What shows where a key was made: its TPMT_PUBLIC, that of the endorsement key, and its certificate as DER."""

    ek_certificate: bytes
    ek_public: bytes
    key_public: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """The public keys, and for the places whose key cannot be used why not."""

    keys: Mapping[Place, PublicKey]
    faults: Mapping[Place, str] = field(default_factory=dict)


class Keys(Protocol):
    """The keys of one box; `key` is the id of one. Everything can be asked for again: what is done stays done.

    Everything raises `KeyFault`.
    """

    def held(self) -> Held: ...

    def sign(self, key: bytes, digest: bytes) -> bytes:
        """64 bytes over a digest of 32 bytes."""

    def make(self) -> PublicKey:
        """The current key, made where there is no key at all."""

    def make_next(self) -> PublicKey:
        """The key that is to follow, made where there is none."""

    def promote(self, key: bytes) -> None:
        """The next key becomes the current one, and that one the old one."""

    def forget(self, place: Place) -> None:
        """Give up the next or the old key for ever."""

    def attest(self, key: bytes) -> Attestation: ...

    def activate(self, key: bytes, credential: bytes) -> bytes:
        """The secret in a credential made for this key in this TPM: TPM2B_ID_OBJECT ‖ TPM2B_ENCRYPTED_SECRET."""


@runtime_checkable
class AttestableKey(Signer, Protocol):
    """A key that can show where it was made."""

    def attest(self) -> Attestation: ...

    def activate(self, credential: bytes) -> bytes: ...


class Origin(Protocol):
    """Makes keys, as what is to be kept in a file, and loads them again."""

    def make(self) -> bytes: ...

    def load(self, content: bytes) -> Signer:
        """Raises ValueError with what the content is not."""


class AwaitedKey:
    """A key that `open_key` cannot open yet. Once it can, it is that one."""

    def __init__(self, open_key: Callable[[], Signer]) -> None:
        self._open = open_key
        self._key: Signer | None = None

    def _opened(self) -> Signer:
        if self._key is None:
            self._key = self._open()
        return self._key

    @property
    def public_key(self) -> PublicKey:
        """Raises `KeyFault`."""
        return self._opened().public_key

    def sign(self, digest: bytes) -> bytes:
        """Raises `KeyFault`."""
        return self._opened().sign(digest)


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One of the keys, as something that signs. It stays the same when the current key is exchanged."""

    keys: Keys
    public_key: PublicKey

    def sign(self, digest: bytes) -> bytes:
        """Raises `KeyFault`."""
        signature = self.keys.sign(self.public_key.id, digest)
        if not self.public_key.verifies(digest, signature):
            raise KeyUnavailable("a signature came back that does not fit the key")
        return signature
