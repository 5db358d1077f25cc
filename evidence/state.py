"""State keys and the state root."""

from collections.abc import Mapping

from evidence import merkle
from evidence.abi import FixedBytes, Integer, Type, encode_values
from evidence.hashing import sha256, tagged

_U8 = Integer(8, False)
_U64 = Integer(64, False)
_WORD = FixedBytes()


def state_key(table: int, *ids: bytes | int) -> bytes:
    """`H('em/state/1', abi(u8 table, ids))`; numbers among the ids are u64."""
    types: tuple[Type, ...] = (_U8, *(_U64 if isinstance(part, int) else _WORD for part in ids))
    return tagged("em/state/1", encode_values(types, (table, *ids)))


def state_root(entries: Mapping[bytes, bytes]) -> bytes:
    """RFC 6962 root over `key ‖ SHA-256(value)` in ascending order of keys."""
    return merkle.root([key + sha256(entries[key]) for key in sorted(entries)])
