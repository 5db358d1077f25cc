"""What one ledger takes over from another: each of its entries, with the outcome and the time recorded there."""

from dataclasses import dataclass

from evidence.abi import U32, U64, Bytes, Bytes32, Struct
from evidence.hashing import tagged


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
