"""How logs of a block are proven."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class LogPlace:
    """A log's place in its block: the transaction's index, and the log's among those of this transaction."""

    transaction: int
    index: int


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """Logs in ascending order, with what leads to them.

    `header`: the block's header in RLP, with its seals. `nodes`: those of the receipts' trie that lead from the
    header's root to the logs' receipts, each once.
    """

    header: bytes
    nodes: tuple[bytes, ...]
    logs: tuple[LogPlace, ...]
