"""Messages that are signed. Each can be stored, signed elsewhere and sent later, by another process."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

from google.protobuf.message import DecodeError

from .identity import SigningIdentity, low_s


class MalformedMessage(ValueError):
    """The bytes are not the message they are taken for."""


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn protobuf's complaint, which names nothing, into `MalformedMessage`."""
    try:
        yield
    except (DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"not a {name}: {error}") from None


def parse(kind: Any, data: bytes) -> Any:
    """Decode a protobuf message. Raises `MalformedMessage`, also for an empty one."""
    with decoding(kind.DESCRIPTOR.name):
        message = kind.FromString(data)
    if not data:
        raise MalformedMessage(f"an empty {kind.DESCRIPTOR.name}")
    return message


@dataclass(frozen=True)
class Message(ABC):
    """`content` is what the signature covers, and the only truth: everything else is read from it.

    To sign off-line, hand `digest` to the key's owner and give the answer to `signed`. The stored forms are those of
    the official clients (gateway.proto: ProposedTransaction, PreparedTransaction, Signed...Request).
    """

    # Transient data is secret, and reprs end up in logs.
    content: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of `content`: what a P-256 key signs."""
        return hashlib.sha256(self.content).digest()

    def signed(self, signature: bytes) -> Signed[Self]:
        """Attach a DER signature, with s brought to the lower half. Raises `ValueError` when it is not DER."""
        return Signed(self, low_s(signature))

    def sign(self, by: SigningIdentity) -> Signed[Self]:
        return self.signed(by.signer.sign(self.digest))

    def to_bytes(self) -> bytes:
        """The unsigned form, for storage."""
        return self.pack(b"")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` gave. Raises `MalformedMessage`."""
        return cls.unpack(data)[0]

    @abstractmethod
    def pack(self, signature: bytes) -> bytes:
        """The stored form with a signature, which may be empty."""

    @classmethod
    @abstractmethod
    def unpack(cls, data: bytes) -> tuple[Self, bytes]:
        """Undo `pack`. Raises `MalformedMessage`."""


M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Signed(Generic[M]):
    """A message that can be sent. `signature`: DER, low s. Sending the same one twice is always safe."""

    message: M
    signature: bytes

    def to_bytes(self) -> bytes:
        return self.message.pack(self.signature)

    @classmethod
    def from_bytes(cls, kind: type[M], data: bytes) -> Signed[M]:
        """Read what `to_bytes` gave, a `kind`. Raises `MalformedMessage`, also when there is no signature."""
        message, signature = kind.unpack(data)
        if not signature:
            raise MalformedMessage(f"the {kind.__name__} is not signed")
        return Signed(message, signature)
