"""The log of a market's chaincode on a Fabric channel: endorsed transactions, in blocks that orderers signed."""

from evidence.bundle import FabricLog
from evidence.commands import Command, CommandError
from evidence.fabric.block import OrderedBlock, envelopes
from evidence.fabric.transaction import Outcomes, Transaction
from evidence.fabric.wire import FabricError
from evidence.trust import FabricTrust
from evidence.verify.proven import Proven
from evidence.verify.report import Check, VerificationError

APPLIED = 0


def read_log(log: FabricLog, trust: FabricTrust) -> tuple[list[Proven], Check]:
    proven: list[Proven] = []
    numbers: list[int] = []
    ids: set[bytes] = set()
    for i, block in enumerate(log.blocks):
        place = f"ledger.blocks[{i}]"
        # One block per height, so that the order in which they stand is that of the ledger.
        if numbers and block.number <= numbers[-1]:
            raise VerificationError(f"{place}.number", "the blocks are not in the channel's order, each once")
        numbers.append(block.number)
        for at, command, origin in _read_block(place, block, trust):
            # One that was endorsed twice was valid once only, which the bundle cannot show.
            if command.id in ids:
                raise VerificationError(at, "the command is there twice")
            ids.add(command.id)
            proven.append(Proven(at, command, len(proven), origin))
    if not proven:
        raise VerificationError("ledger.blocks", "there is no command")
    return proven, Check("ledger", _text(len(proven), numbers, trust))


def _text(commands: int, numbers: list[int], trust: FabricTrust) -> str:
    endorsers = " and ".join(each.msp for each in trust.endorsers)
    orderers = " or ".join(each.msp for each in trust.orderers)
    return (
        f"{commands} commands are in {len(numbers)} blocks, {numbers[0]} to {numbers[-1]}, signed by {orderers}; "
        f"{endorsers} have endorsed each; that their transactions are valid was confirmed by a node only"
    )


def _read_block(place: str, block: OrderedBlock, trust: FabricTrust) -> list[tuple[str, Command, bytes]]:
    """The block's commands in their order, with their places in the bundle and the ledgers they come from."""
    if not block.outcomes or sorted(set(block.outcomes)) != list(block.outcomes):
        raise VerificationError(f"{place}.outcomes", "the outcomes are not there in the block's order, each once")
    transactions = _read_transactions(place, block)
    try:
        block.check_signatures(trust.orderers, max(each.time for each in transactions.values()))
    except FabricError as error:
        raise VerificationError(f"{place}.signatures", str(error)) from None
    announced: dict[int, Outcomes] = {}
    for number, transaction in transactions.items():
        try:
            transaction.check(trust.channel, trust.chaincode, trust.endorsers)
            announced[number] = transaction.outcomes
        except FabricError as error:
            raise VerificationError(f"{place}.data[{number}]", str(error)) from None
    found = []
    for i, shown in enumerate(block.outcomes):
        at = f"{place}.outcomes[{i}]"
        outcomes = announced[shown.transaction]
        found.append((at, _applied(at, outcomes, shown.index), outcomes.origin(shown.index)))
    return found


def _read_transactions(place: str, block: OrderedBlock) -> dict[int, Transaction]:
    """Those that outcomes are shown of, by their index in the block."""
    try:
        held = envelopes(block.data)
    except FabricError as error:
        raise VerificationError(f"{place}.data", str(error)) from None
    found: dict[int, Transaction] = {}
    for i, shown in enumerate(block.outcomes):
        if shown.transaction >= len(held):
            raise VerificationError(f"{place}.outcomes[{i}]", f"the block has {len(held)} transactions")
        if shown.transaction not in found:
            try:
                found[shown.transaction] = Transaction.decode(held[shown.transaction])
            except FabricError as error:
                raise VerificationError(f"{place}.data[{shown.transaction}]", str(error)) from None
    return found


def _applied(place: str, outcomes: Outcomes, index: int) -> Command:
    if index >= len(outcomes.ids):
        raise VerificationError(place, f"the transaction announces {len(outcomes.ids)} outcomes")
    if outcomes.codes[index] != APPLIED:
        raise VerificationError(place, f"the command was refused with code {outcomes.codes[index]}")
    try:
        command = Command.from_bytes(outcomes.envelopes[index])
    except CommandError as error:
        raise VerificationError(place, str(error)) from None
    if command.id != outcomes.ids[index]:
        raise VerificationError(place, "the command is not the one that was applied")
    return command
