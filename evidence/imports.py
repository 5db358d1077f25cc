"""What one ledger takes over from another: each of its entries, with the outcome and the time recorded there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from evidence.abi import U32, U64, Bytes, Bytes32, DynamicBytes, ListOf, Struct
from evidence.commands.envelope import MOST_COMMANDS
from evidence.hashing import tagged
from evidence.keys import Signer


@dataclass(frozen=True, slots=True)
class ImportedEntry(Struct):
    """An entry of the ledger `ledger`. One that was rejected there only enters a chain, by its digest."""

    ledger: Bytes32
    code: U32
    time: U64
    envelope: Bytes

    @property
    def digest(self) -> bytes:
        return tagged("em/import/1", self.encode())


@dataclass(frozen=True, slots=True)
class ImportBatch(Struct):
    """Entries in their order, the first of them behind `start` others, with the operator's signature over them."""

    start: U64
    entries: Annotated[tuple[bytes, ...], ListOf(DynamicBytes(), MOST_COMMANDS)]
    signature: Bytes


def import_digest(ledger: bytes, start: int, entries: Sequence[bytes]) -> bytes:
    """What the operator signs once for a batch of entries, given in their encoding."""
    digests = b"".join(tagged("em/import/1", entry) for entry in entries)
    return tagged("em/import-batch/1", ledger + start.to_bytes(32, "big") + digests)


def signed_import(ledger: bytes, start: int, entries: Sequence[bytes], operator: Signer) -> ImportBatch:
    return ImportBatch(start, tuple(entries), operator.sign(import_digest(ledger, start, entries)))
