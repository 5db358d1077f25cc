"""The log of a market's contract on a chain of QBFT or IBFT blocks: sealed headers, and receipts under them."""

from evidence.bundle import QuorumLog
from evidence.commands import Command, CommandError
from evidence.ethereum.headers import SealedHeader, quorum
from evidence.ethereum.proof import ProvenBlock
from evidence.ethereum.receipts import Outcome, origin_of, outcome_of, read_logs
from evidence.ethereum.rlps import EthereumError
from evidence.ethereum.trie import read_items
from evidence.trust import QuorumTrust
from evidence.verify.proven import Proven
from evidence.verify.report import Check, VerificationError

APPLIED = 0


def read_log(log: QuorumLog, trust: QuorumTrust) -> tuple[list[Proven], Check]:
    proven: list[Proven] = []
    numbers: list[int] = []
    sizes: set[int] = set()
    for i, block in enumerate(log.blocks):
        place = f"ledger.blocks[{i}]"
        header = _read_header(f"{place}.header", block.header, trust)
        # One block per height, so that the order in which they stand is that of the ledger.
        if numbers and header.number <= numbers[-1]:
            raise VerificationError(f"{place}.header", "the blocks are not in the chain's order, each once")
        numbers.append(header.number)
        sizes.add(len(trust.validators_of(header.number)))
        for at, outcome, origin in _read_outcomes(place, block, header, trust):
            proven.append(Proven(at, _applied(at, outcome), len(proven), origin))
    if not proven:
        raise VerificationError("ledger.blocks", "there is no command")
    seals = " or ".join(f"{quorum(size)} of {size}" for size in sorted(sizes, reverse=True))
    where = f"{len(numbers)} blocks, {numbers[0]} to {numbers[-1]}"
    return proven, Check("ledger", f"{len(proven)} commands are in {where}, sealed by at least {seals} validators")


def _read_header(place: str, content: bytes, trust: QuorumTrust) -> SealedHeader:
    try:
        header = SealedHeader.decode(content)
        header.check_seals(trust.validators_of(header.number))
    except EthereumError as error:
        raise VerificationError(place, str(error)) from None
    return header


def _read_outcomes(
    place: str, block: ProvenBlock, header: SealedHeader, trust: QuorumTrust
) -> list[tuple[str, Outcome, bytes]]:
    """The block's outcomes in their order, with their places in the bundle and the ledgers they come from."""
    if not block.logs or sorted(set(block.logs)) != list(block.logs):
        raise VerificationError(f"{place}.logs", "the logs are not there in the block's order, each once")
    transactions = sorted({log.transaction for log in block.logs})
    try:
        receipts = read_items(header.receipts_root, block.nodes, transactions)
        logs = {number: read_logs(receipt) for number, receipt in zip(transactions, receipts, strict=True)}
    except EthereumError as error:
        raise VerificationError(f"{place}.nodes", str(error)) from None
    found = []
    for i, log in enumerate(block.logs):
        at, logged = f"{place}.logs[{i}]", logs[log.transaction]
        if log.index >= len(logged):
            raise VerificationError(at, f"the receipt has {len(logged)} logs")
        try:
            found.append((at, outcome_of(logged[log.index], trust.contract), origin_of(logged[log.index])))
        except EthereumError as error:
            raise VerificationError(at, str(error)) from None
    return found


def _applied(place: str, outcome: Outcome) -> Command:
    if outcome.code != APPLIED:
        raise VerificationError(place, f"the command was refused with code {outcome.code}")
    try:
        return Command.from_bytes(outcome.envelope)
    except CommandError as error:
        raise VerificationError(place, str(error)) from None
