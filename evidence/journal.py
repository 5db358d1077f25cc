"""An entry of the embedded ledger's journal, as its Merkle log commits to it."""

from dataclasses import dataclass

from evidence import merkle
from evidence.abi import U32, U64, Bytes32, Struct
from evidence.hashing import tagged


@dataclass(frozen=True, slots=True)
class Entry(Struct):
    """What became of a command: `code` zero is applied, any other the rule it broke. `time` in UTC seconds."""

    index: U64
    time: U64
    code: U32
    id: Bytes32
    envelope: Bytes32

    @property
    def leaf_hash(self) -> bytes:
        return merkle.leaf_hash(self.encode())


@dataclass(frozen=True, slots=True)
class OldEntry(Struct):
    """An entry that was taken over from the ledger `ledger`, with its outcome and time there."""

    index: U64
    time: U64
    code: U32
    id: Bytes32
    envelope: Bytes32
    ledger: Bytes32

    @property
    def leaf_hash(self) -> bytes:
        return merkle.leaf_hash(self.encode())


def leaf_hash(index: int, time: int, code: int, command: bytes, envelope: bytes, origin: bytes = b"") -> bytes:
    """The leaf of an entry of this ledger, or of one that was taken over from the ledger `origin`."""
    digest = envelope_digest(envelope)
    if origin:
        return OldEntry(index, time, code, command, digest, origin).leaf_hash
    return Entry(index, time, code, command, digest).leaf_hash


def envelope_digest(envelope: bytes) -> bytes:
    return tagged("em/envelope/1", envelope)
