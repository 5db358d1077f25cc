"""RLP as lists and byte strings, in its one form."""

from typing import Any

import rlp
from rlp.exceptions import RLPException

DEEPEST = 4  # lists in lists: a receipt's logs and their topics


class EthereumError(ValueError):
    """A header, a receipt or a path is malformed or does not prove what it should."""


def encode(item: Any) -> bytes:
    return bytes(rlp.encode(item))


def decode(content: bytes, what: str) -> Any:
    """Lists and byte strings. Raises `EthereumError`, for what would not re-encode to itself too."""
    try:
        item = rlp.decode(content)
    except (RLPException, RecursionError) as error:
        raise EthereumError(f"the {what} is not in RLP: {error}") from None
    # Some raise the interpreter's limit, on which the parser relies.
    if _is_deeper(item, DEEPEST):
        raise EthereumError(f"the {what} has lists too deep in lists")
    return item


def _is_deeper(item: Any, levels: int) -> bool:
    return isinstance(item, list) and (not levels or any(_is_deeper(part, levels - 1) for part in item))


def byte_strings(item: Any, what: str, sizes: tuple[int, ...] | None = None) -> list[bytes]:
    """A list of byte strings, as it was decoded; of these sizes, if they are given."""
    if not isinstance(item, list) or not all(isinstance(part, bytes) for part in item):
        raise EthereumError(f"the {what} is no list of byte strings")
    if sizes is not None and tuple(len(part) for part in item) != sizes:
        raise EthereumError(f"the parts of the {what} do not have their sizes")
    return item


def number(content: bytes, what: str) -> int:
    if content.startswith(b"\x00"):
        raise EthereumError(f"the {what} has leading zeros")
    return int.from_bytes(content, "big")
