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


def envelope_digest(envelope: bytes) -> bytes:
    return tagged("em/envelope/1", envelope)
