"""Unbounded sets as accumulators: a head and a count stand for all that was added, in order."""

from collections.abc import Iterable

from evidence.hashing import ZERO, tagged


def chain(head: bytes, item: bytes) -> bytes:
    """The head after `item` (an id of 32 bytes) was added; the first head is 32 zero bytes."""
    return tagged("em/chain/1", head + item)


def chain_of(items: Iterable[bytes]) -> bytes:
    head = ZERO
    for item in items:
        head = chain(head, item)
    return head


def order_commitment(salt: bytes, order: bytes) -> bytes:
    """What stands for an auction's order, given as its ABI encoding, until its salt is shown."""
    return tagged("em/order/1", salt + order)
