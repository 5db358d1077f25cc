"""The identity of a command, what is signed over it, and the bytes in which it travels and is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from evidence import eip712
from evidence.abi import U8, U32, U64, Bytes, Bytes32, DynamicBytes, EncodingError, FixedBytes, ListOf, Struct
from evidence.commands.kinds import KINDS, Fields
from evidence.hashing import ZERO, tagged
from evidence.keys import Signer

VERSION = 1
MOST_SIGNERS = 4
MOST_COMMANDS = 10_000

_Words = Annotated[tuple[bytes, ...], ListOf(FixedBytes(), MOST_SIGNERS)]


class CommandError(ValueError):
    """The bytes are not a command of a known version and kind."""


@dataclass(frozen=True, slots=True)
class _Header(Struct):
    version: U8
    kind: U32
    market: Bytes32
    nonce: Bytes32


@dataclass(frozen=True, slots=True)
class _Signing(Struct):
    ledger: Bytes32
    id: Bytes32
    after: Bytes32
    valid_until: U64


@dataclass(frozen=True, slots=True)
class Envelope(Struct):
    """A command on the wire. `signers`, `r` and `s` hold one entry per signature of a person or device."""

    version: U8
    kind: U32
    market: Bytes32
    nonce: Bytes32
    fields: Bytes
    after: Bytes32
    valid_until: U64
    signers: _Words
    r: _Words
    s: _Words

    @property
    def id(self) -> bytes:
        return tagged("em/id/1", _Header(self.version, self.kind, self.market, self.nonce).encode() + self.fields)


@dataclass(frozen=True)
class Command:
    """A command with its fields read. `signatures` are (key id, 64 bytes) in the order of the kind's signers."""

    market: bytes
    nonce: bytes
    fields: Fields
    after: bytes = ZERO
    valid_until: int = 0
    signatures: tuple[tuple[bytes, bytes], ...] = ()

    @cached_property
    def id(self) -> bytes:
        header = _Header(VERSION, self.fields.KIND, self.market, self.nonce)
        return tagged("em/id/1", header.encode() + self.fields.encode())

    def signed_by(self, ledger: bytes, *signers: Signer) -> "Command":
        """The same command with signatures of devices or custodial keys in the form of `sign_digest`."""
        digest = sign_digest(ledger, self)
        signatures = tuple((signer.public_key.id, signer.sign(digest)) for signer in signers)
        return Command(self.market, self.nonce, self.fields, self.after, self.valid_until, signatures)

    @property
    def envelope(self) -> Envelope:
        return Envelope(
            VERSION,
            self.fields.KIND,
            self.market,
            self.nonce,
            self.fields.encode(),
            self.after,
            self.valid_until,
            tuple(key for key, _ in self.signatures),
            tuple(signature[:32] for _, signature in self.signatures),
            tuple(signature[32:] for _, signature in self.signatures),
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "Command":
        """Raises `CommandError` unless the bytes are the one encoding of a command of a known version and kind."""
        try:
            envelope = Envelope.decode(content)
            if envelope.version != VERSION or envelope.kind not in KINDS:
                raise CommandError(f"unknown version {envelope.version} or kind {envelope.kind}")
            fields = KINDS[envelope.kind].decode(envelope.fields)
        except EncodingError as error:
            raise CommandError(str(error)) from None
        if not len(envelope.signers) == len(envelope.r) == len(envelope.s):
            raise CommandError("signers and signatures differ in number")
        signatures = tuple((key, r + s) for key, r, s in zip(envelope.signers, envelope.r, envelope.s, strict=True))
        return cls(envelope.market, envelope.nonce, fields, envelope.after, envelope.valid_until, signatures)


def parse(content: bytes) -> Command | None:
    """The command on the wire, None for bytes that are none."""
    try:
        return Command.from_bytes(content)
    except CommandError:
        return None


@dataclass(frozen=True, slots=True)
class Batch(Struct):
    """Commands in their order with the operator's signature over their ids; without one when it is empty."""

    envelopes: Annotated[tuple[bytes, ...], ListOf(DynamicBytes(), MOST_COMMANDS)]
    signature: Bytes


def signed_batch(ledger: bytes, envelopes: Sequence[bytes], operator: Signer | None) -> Batch:
    """A batch with the operator's signature, without one where there is no operator."""
    if operator is None:
        return Batch(tuple(envelopes), b"")
    commands = [parse(envelope) for envelope in envelopes]
    return Batch(tuple(envelopes), operator.sign(batch_digest(ledger, commands)))


def sign_digest(ledger: bytes, command: Command) -> bytes:
    """What a device or a key kept by the platform signs."""
    return tagged("em/sign/1", _Signing(ledger, command.id, command.after, command.valid_until).encode())


def wallet_digest(domain: eip712.Domain, command: Command) -> bytes:
    """What a person's own wallet signs."""
    return eip712.digest(domain, command.fields, command.nonce, command.after, command.valid_until)


def batch_digest(ledger: bytes, commands: Sequence[Command | None]) -> bytes:
    """What the operator signs once per batch: every command as its own signer would, zero for bytes that are none."""
    digests = [sign_digest(ledger, command) if command else ZERO for command in commands]
    return tagged("em/batch/1", ledger + b"".join(digests))
