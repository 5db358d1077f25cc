"""Transaction receipts and the market's event in them, as IMarket.sol declares it."""

from dataclasses import dataclass
from typing import Any

from evidence.abi import U8, U64, Bytes, EncodingError, Struct
from evidence.eip712 import keccak256
from evidence.ethereum import rlps
from evidence.ethereum.rlps import EthereumError

OUTCOME_TOPIC = keccak256(b"Outcome(uint8,uint64,bytes32,bytes)")
IMPORTED_TOPIC = keccak256(b"Imported(uint8,uint64,bytes32,bytes32,bytes)")
MEMBERS = 4  # status, gas used so far, bloom filter, logs
LEGACY = 0xC0  # other receipts have their transaction's type before the list


@dataclass(frozen=True, slots=True)
class Outcome(Struct):
    """What became of a command. `code` zero is applied, any other the rule it broke. `time` in UTC seconds."""

    code: U8
    time: U64
    envelope: Bytes


def read_logs(receipt: bytes) -> list[Any]:
    """The logs in a receipt's own encoding. Raises `EthereumError`."""
    content = receipt if receipt[:1] >= bytes([LEGACY]) else receipt[1:]
    members = rlps.decode(content, "receipt")
    if not isinstance(members, list) or len(members) != MEMBERS or not isinstance(members[-1], list):
        raise EthereumError("the receipt does not have the members of one")
    return members[-1]


def outcome_of(log: Any, contract: bytes) -> Outcome:
    """The outcome that the market at `contract` logged, of its own or taken over. Raises `EthereumError`."""
    if not isinstance(log, list) or len(log) != 3 or not isinstance(log[2], bytes):
        raise EthereumError("a log has an address, topics and data")
    address, topics, data = log
    if address != contract:
        raise EthereumError("the log is of another contract")
    if not isinstance(topics, list) or (len(topics), topics[:1]) not in ((2, [OUTCOME_TOPIC]), (3, [IMPORTED_TOPIC])):
        raise EthereumError("the log is about something else than a command")
    try:
        return Outcome.decode(data)
    except EncodingError as error:
        raise EthereumError(f"the log's data cannot be read: {error}") from None


def origin_of(log: Any) -> bytes:
    """The ledger that the outcome in a log was taken over from, empty for one of its own. Only after `outcome_of`."""
    _, topics, _ = log
    origin: bytes = topics[2] if topics[0] == IMPORTED_TOPIC else b""
    return origin
