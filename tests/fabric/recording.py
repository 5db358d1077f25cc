"""Records what a real network proves: `python -m tests.fabric.recording` writes tests/vectors/recorded/."""

import json
import secrets
import tempfile
from collections.abc import Sequence
from concurrent.futures import wait
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from deploy.fabric.network import Network
from evidence.bundle import Bundle, FabricLog, dump
from evidence.commands import Batch, Command, batch_digest
from evidence.commands.kinds import RegisterParticipant
from evidence.fabric.block import OrderedBlock, OutcomePlace, envelopes
from evidence.fabric.transaction import Transaction
from evidence.hashing import ZERO
from evidence.keys import PublicKey, SoftwareKey
from ledger_adapters.exceptions import NotAgreed
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.fabric.gateway import CommitStatusRequest, Gateway, Proposal, Signed
from tests.vectors.read import FOLDER

STORED = FOLDER / "recorded" / "fabric_block.json"
NO_ROLE = 99


def ledger_on(network: Network, keys: Path) -> FabricLedger:
    """The network as a ledger, which may have no market yet."""
    return FabricLedger.from_options("fabric", {**network.description.options("utility"), "KEYS": keys})


def found(network: Network, ledger: FabricLedger, community: PublicKey, ids: tuple[bytes, bytes] | None = None) -> None:
    """With a record that both organisations agree to; `ids` are the ledger's and the market's."""
    first, market = ids or (secrets.token_bytes(32), secrets.token_bytes(32))
    try:
        ledger.found(first, market, community)
    except NotAgreed as error:
        network.agree(error.digest)
        ledger.found(first, market, community)


def registration(ledger: FabricLedger, role: int = 3) -> Command:
    key = SoftwareKey.generate().public_key
    fields = RegisterParticipant(secrets.token_bytes(32), role, key.algorithm, key.x, key.y, 1, ZERO)
    return Command(ledger.genesis().market, secrets.token_bytes(32), fields)


def endorsed(ledger: FabricLedger, commands: Sequence[Command], by: Sequence[str] = ()) -> Any:
    """A signed transaction that nobody has sent yet, endorsed by some organisations or by all."""
    assert ledger.operator is not None
    signature = ledger.operator.sign(batch_digest(ledger.genesis().ledger, commands))
    batch = Batch(tuple(command.envelope.encode() for command in commands), signature)
    options, identity = ledger.options, ledger.identity
    arguments = (b"submit", batch.encode())
    proposal = Proposal.build(
        identity.identity, options.channel, options.chaincode, arguments, endorsing_organizations=by
    )
    return ledger.gateway.endorse(proposal.sign(identity)).sign(identity)


def in_one_block(ledger: FabricLedger, transactions: Sequence[Signed[Any]]) -> int | None:
    """The number of the block that took all transactions, if one did."""
    sent = [ledger.gateway.start(partial(Gateway.submit, transaction=each)) for each in transactions]
    wait(sent)
    numbers = set()
    for each in transactions:
        message = each.message
        question = CommitStatusRequest.build(ledger.identity.identity, message.channel, message.transaction_id)
        numbers.add(ledger.gateway.commit_status(question.sign(ledger.identity)).block_number)
    return numbers.pop() if len(numbers) == 1 else None


def record(ledger: FabricLedger) -> dict[str, Any]:
    """A block of three transactions, as a bundle shows it, and what readers trust.

    `ids`: three commands that two of them applied, which the block shows. `rejected`: the place of one that was
    refused. `alone`: that of a command that one organisation endorsed by itself.
    """
    for _ in range(10):
        applied, rejected = [registration(ledger) for _ in range(3)], registration(ledger, NO_ROLE)
        alone = registration(ledger)
        transactions = [
            endorsed(ledger, applied[:2]),
            endorsed(ledger, [applied[2], rejected]),
            endorsed(ledger, [alone], ["UtilityMSP"]),
        ]
        if in_one_block(ledger, transactions) is not None:
            break
    else:
        raise TimeoutError("no block took all transactions")
    (block,) = ledger.prove([command.id for command in applied]).blocks
    places = places_of(block)
    return {
        "trust": json.loads(ledger.trust().encode()),
        "block": written(block),
        "ids": [id.hex() for id, place in places.items() if place in block.outcomes],
        "rejected": _place(places[rejected.id]),
        "alone": _place(places[alone.id]),
    }


def places_of(block: OrderedBlock) -> dict[bytes, OutcomePlace]:
    """All outcomes in a block, in their order."""
    return {
        id: OutcomePlace(number, index)
        for number, envelope in enumerate(envelopes(block.data))
        for index, id in enumerate(Transaction.decode(envelope).outcomes.ids)
    }


def _place(place: OutcomePlace) -> list[int]:
    return [place.transaction, place.index]


def written(block: OrderedBlock) -> dict[str, Any]:
    """As a bundle holds it."""
    found: dict[str, Any] = json.loads(dump(Bundle({}, ZERO, FabricLog((block,)), (), ())))["ledger"]["blocks"][0]
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        network = Network(Path(folder) / "network")
        network.start()
        try:
            ledger = ledger_on(network, Path(folder) / "keys")
            with closing(ledger.gateway):
                found(network, ledger, SoftwareKey.generate().public_key)
                content = record(ledger)
        finally:
            network.stop()
    STORED.write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
