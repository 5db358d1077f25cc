"""A block with the orderers' signatures. They cover its number, its predecessor and all its transactions.

They do not cover which transactions are valid: that is decided by each peer for itself.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from evidence.fabric.identities import Identity, Organisation, Role
from evidence.fabric.wire import LENGTH, FabricError, Message, fields

HASH = 32


@dataclass(frozen=True, slots=True, order=True)
class OutcomePlace:
    """An outcome's place in its block: the transaction's index, and the outcome's in this transaction's event."""

    transaction: int
    index: int


@dataclass(frozen=True, slots=True)
class BlockSignature:
    """`signer`: a `SignatureHeader`, which names the orderer. `signature`: DER."""

    signer: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class OrderedBlock:
    """A block, and in ascending order which outcomes in it are shown.

    `data`: the envelopes of all its transactions in their order, one behind the other, as they are hashed. `metadata`:
    what the orderers sign beside the header (`OrdererBlockMetadata`).
    """

    number: int
    previous: bytes
    data: bytes
    metadata: bytes
    signatures: tuple[BlockSignature, ...]
    outcomes: tuple[OutcomePlace, ...]

    @property
    def header(self) -> bytes:
        """As Fabric hashes it: a sequence of number, previous hash and data hash in DER."""
        number = self.number.to_bytes(self.number.bit_length() // 8 + 1, "big")
        parts = _der(2, number) + _der(4, self.previous) + _der(4, hashlib.sha256(self.data).digest())
        return _der(0x30, parts)

    def check_signatures(self, orderers: Sequence[Organisation], time: dt.datetime) -> None:
        """Raises `FabricError` unless orderers of these organisations, and nobody else, signed the block.

        A block has no time of its own: `time` is that of a transaction in it.
        """
        if not self.signatures:
            raise FabricError("no orderer has signed the block")
        if not 0 <= self.number < 1 << 64 or len(self.previous) != HASH:
            raise FabricError("the block has no number, or no predecessor")
        for signature in self.signatures:
            orderer = Identity.decode(Message(signature.signer, "signature's header").octets(1))
            orderer.check_signature(self.metadata + signature.signer + self.header, signature.signature)
            orderer.check_member(orderers, Role.ORDERER, time)


def envelopes(data: bytes) -> list[bytes]:
    """The envelopes of a block. Each begins with its payload (field 1), so there is one way only to divide them.

    Raises `FabricError`.
    """
    found = list(fields(data))
    starts = [field.start for field in found if (field.number, field.kind) == (1, LENGTH)]
    if not starts or starts[0]:
        raise FabricError("the block does not begin with a transaction")
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def _der(tag: int, content: bytes) -> bytes:
    """A DER value of less than 128 bytes."""
    return bytes([tag, len(content)]) + content
