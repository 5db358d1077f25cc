"""Proofs for those who have no node: the events of applied commands, their receipts, the sealed headers above them."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import MethodUnavailable, Web3RPCError
from web3.types import BlockData, FilterParams, LogReceipt, RPCEndpoint, TxReceipt

from evidence.ethereum import rlps
from evidence.ethereum.headers import SealedHeader, block_hash
from evidence.ethereum.proof import LogPlace, ProvenBlock
from evidence.ethereum.trie import Trie
from evidence.trust import ValidatorSet
from ledger_adapters.base import ChainProof
from ledger_adapters.contract import Code
from ledger_adapters.exceptions import LedgerError, Misconfigured
from ledger_adapters.quorum.market import Market

BLOCKS_AT_ONCE = 500_000
IDS_AT_ONCE = 200

Topics = list[HexBytes | list[HexBytes]]


def prove(market: Market, ids: Iterable[bytes], last: int) -> ChainProof:
    """Proof of commands that were applied up to block `last`. Raises `KeyError` for ids that were not."""
    wanted = set(ids)
    found: dict[int, list[LogReceipt]] = defaultdict(list)
    for log in _applied(market, wanted, last):
        found[log["blockNumber"]].append(log)
        wanted.discard(market.logged(log).outcome.id)
    if wanted:
        raise KeyError(f"not applied on the chain: {sorted(name.hex() for name in wanted)}")
    return ChainProof(tuple(prove_logs(market.w3, number, found[number]) for number in sorted(found)))


def validators(market: Market, last: int) -> tuple[ValidatorSet, ...]:
    """Who may seal the blocks that hold the market's outcomes up to block `last`, and who the one after it.

    Each set begins with the block whose header first names it, the first of them with the chain. Raises `Misconfigured`
    where nobody seals, `LedgerError` where a header names others than those whom the node counts by their votes.
    """
    following = _counted(market.w3, last)
    found: list[ValidatorSet] = []
    seen = 0
    for block in [*_blocks(market, last), last + 1]:
        addresses = _named(market.w3, block) if block <= last else following
        if not found or found[-1].addresses != addresses:
            if _counted(market.w3, block - 1) != addresses:
                raise LedgerError(f"the header of block {block} names others than those who may seal it")
            found.append(ValidatorSet(_first(market.w3, seen, block, addresses) if found else 0, addresses))
        seen = block
    return tuple(found)


def _first(w3: Web3, before: int, block: int, addresses: frozenset[bytes]) -> int:
    """The block from which on these may seal: behind `before`, at the latest `block`."""
    between = range(before + 1, block)
    return before + 1 + bisect_left(between, True, key=lambda number: _named(w3, number) == addresses)


def _named(w3: Web3, block: int) -> frozenset[bytes]:
    return SealedHeader.decode(_sealed_header(w3.eth.get_block(block))).validators


def _counted(w3: Web3, block: int) -> frozenset[bytes]:
    """The addresses of those who may seal what comes after a block."""
    try:
        found = w3.manager.request_blocking(RPCEndpoint("istanbul_getValidators"), [hex(block)])
    except MethodUnavailable as error:
        raise Misconfigured(f"RPC: no validators seal this chain, so nothing on it can be proven: {error}") from error
    return frozenset(_address(address) for address in found)


def prove_logs(w3: Web3, number: int, logs: Sequence[LogReceipt]) -> ProvenBlock:
    """Proof of some logs of a block. Raises `LedgerError` when the node's answers do not fit together."""
    block = w3.eth.get_block(number)
    header = _sealed_header(block)
    receipts = _receipts(w3, block)
    trie = Trie([_encoded(receipt) for receipt in receipts])
    if trie.root != block["receiptsRoot"]:
        raise LedgerError(f"the receipts of block {number} do not lead to the root in its header")
    places = sorted(_place(log, receipts[log["transactionIndex"]]) for log in logs)
    return ProvenBlock(header, trie.path([place.transaction for place in places]), tuple(places))


def _applied(market: Market, ids: Collection[bytes], last: int) -> list[LogReceipt]:
    wanted = sorted(ids)
    found = []
    for start in range(0, len(wanted), IDS_AT_ONCE):
        names = [HexBytes(name) for name in wanted[start : start + IDS_AT_ONCE]]
        for logs in _in_ranges(market, [market.topics, names], last):
            found += logs
    return [log for log in found if market.logged(log).outcome.code is Code.APPLIED]


def _blocks(market: Market, last: int) -> list[int]:
    """Those that hold an outcome, in the chain's order."""
    return sorted({log["blockNumber"] for logs in _in_ranges(market, [market.topics], last) for log in logs})


def _in_ranges(market: Market, topics: Topics, last: int) -> Iterator[list[LogReceipt]]:
    for first in range(0, last + 1, BLOCKS_AT_ONCE):
        yield _logs(market, topics, first, min(last, first + BLOCKS_AT_ONCE - 1))


def _logs(market: Market, topics: Topics, first: int, last: int) -> list[LogReceipt]:
    """The market's logs with these topics. What is too much for a node at once is asked for in halves."""
    wanted: FilterParams = {"address": market.address, "topics": topics, "fromBlock": first, "toBlock": last}
    try:
        return list(market.w3.eth.get_logs(wanted))
    except Web3RPCError:
        if first == last:
            raise
    middle = (first + last) // 2
    return _logs(market, topics, first, middle) + _logs(market, topics, middle + 1, last)


def _sealed_header(block: BlockData) -> bytes:
    """The header with its seals, from which the block's hash is made."""
    header = _header(block)
    if block_hash(header) != block["hash"]:
        raise LedgerError(f"the header of block {block['number']} is not the one that its hash is made from")
    return header


def _header(block: BlockData) -> bytes:
    return rlps.encode(
        [
            block["parentHash"],
            block["sha3Uncles"],
            _address(block["miner"]),
            block["stateRoot"],
            block["transactionsRoot"],
            block["receiptsRoot"],
            block["logsBloom"],
            block["difficulty"],
            block["number"],
            block["gasLimit"],
            block["gasUsed"],
            block["timestamp"],
            block["proofOfAuthorityData"],
            block["mixHash"],
            block["nonce"],
        ]
    )


def _receipts(w3: Web3, block: BlockData) -> list[TxReceipt]:
    try:
        return list(w3.eth.get_block_receipts(block["number"]))
    except MethodUnavailable:
        return [w3.eth.get_transaction_receipt(name) for name in block["transactions"] if isinstance(name, bytes)]


def _encoded(receipt: TxReceipt) -> bytes:
    logs = [[_address(log["address"]), list(log["topics"]), log["data"]] for log in receipt["logs"]]
    content = rlps.encode([receipt["status"], receipt["cumulativeGasUsed"], receipt["logsBloom"], logs])
    return bytes([receipt["type"]]) + content if receipt["type"] else content


def _place(log: LogReceipt, receipt: TxReceipt) -> LogPlace:
    index = [other["logIndex"] for other in receipt["logs"]].index(log["logIndex"])
    return LogPlace(log["transactionIndex"], index)


def _address(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
