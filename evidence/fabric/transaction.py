"""A transaction as it stands in a block: what its creator asked for, what the peers endorsed, what the chaincode said.

The creator has no say in what is applied, so any certificate does for it; what counts is who endorsed.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from evidence.abi import DynamicBytes, EncodingError, FixedBytes, Integer, ListOf, Struct
from evidence.commands.envelope import MOST_COMMANDS
from evidence.fabric.identities import Identity, Organisation, Role
from evidence.fabric.wire import FabricError, Message

ENDORSED = 3  # the header's type of transactions that run chaincode
EVENT = "outcomes"
IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Outcomes(Struct):
    """What the market's chaincode announces in its event. The lists run in parallel; code 0 is applied."""

    ids: Annotated[tuple[bytes, ...], ListOf(FixedBytes(), MOST_COMMANDS)]
    codes: Annotated[tuple[int, ...], ListOf(Integer(32, False), MOST_COMMANDS)]
    times: Annotated[tuple[int, ...], ListOf(Integer(64, False), MOST_COMMANDS)]
    envelopes: Annotated[tuple[bytes, ...], ListOf(DynamicBytes(), MOST_COMMANDS)]

    def origin(self, index: int) -> bytes:
        """The ledger that an outcome was taken over from, empty for one of its own."""
        return b""


@dataclass(frozen=True, slots=True)
class ImportedOutcomes(Outcomes):
    """What it announces when entries of other ledgers are taken over, each with the ledger that it comes from."""

    ledgers: Annotated[tuple[bytes, ...], ListOf(FixedBytes(), MOST_COMMANDS)]

    def origin(self, index: int) -> bytes:
        return self.ledgers[index]


@dataclass(frozen=True, slots=True)
class Signed:
    """`signature` (DER) of `identity` over `content`."""

    identity: Identity
    content: bytes
    signature: bytes

    def check(self) -> None:
        """Raises `FabricError`."""
        self.identity.check_signature(self.content, self.signature)


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is signed in it. `event` is the one of the chaincode, empty where there is none of the market's kind, and
    `is_import` whether it tells of entries that were taken over.
    """

    id: str
    channel: str
    time: dt.datetime
    chaincode: str
    event: bytes
    is_import: bool
    creation: Signed
    endorsements: tuple[Signed, ...]

    @classmethod
    def decode(cls, envelope: bytes) -> "Transaction":
        """Read an envelope whose parts belong together; signatures are for `check`. Raises `FabricError`."""
        signed = Message(envelope, "envelope")
        payload = Message(signed.octets(1), "payload")
        headers = payload.message(1, "header")
        channel, signer = headers.message(1, "channel header"), headers.message(2, "signature header")
        if channel.number(1) != ENDORSED:
            raise FabricError("the transaction runs no chaincode")
        if channel.text(5) != hashlib.sha256(signer.octets(2) + signer.octets(1)).hexdigest():
            raise FabricError("the transaction's id is not made from its creator")
        body = _only_action(payload)
        endorsed = body.message(2, "endorsed action")
        response = endorsed.message(1, "proposal's response")
        proposal = headers.octets(1) + headers.octets(2) + body.octets(1)
        if response.octets(1) != hashlib.sha256(proposal).digest():
            raise FabricError("what was endorsed is not what the transaction asked for")
        action = response.message(2, "chaincode's action")
        chaincode = action.message(4, "chaincode's id").text(2)
        return cls(
            channel.text(5),
            channel.text(4),
            _time(channel.message(3, "time")),
            chaincode,
            _event(action.message(2, "event"), channel.text(5), chaincode),
            action.message(2, "event").text(3) == IMPORTED,
            Signed(Identity.decode(signer.octets(1)), signed.octets(1), signed.octets(2)),
            tuple(_endorsement(endorsed.octets(1), content) for content in endorsed.each(2)),
        )

    def check(self, channel: str, chaincode: str, endorsers: Sequence[Organisation]) -> None:
        """Raises `FabricError` unless a peer of each organisation endorsed this run of the chaincode."""
        if self.channel != channel:
            raise FabricError(f"the transaction is one of channel {self.channel!r}")
        if self.chaincode != chaincode:
            raise FabricError(f"the transaction runs chaincode {self.chaincode!r}")
        self.creation.check()
        for organisation in endorsers:
            found = [each for each in self.endorsements if each.identity.msp == organisation.msp]
            if not found:
                raise FabricError(f"{organisation.msp} has not endorsed the transaction")
            for endorsement in found:
                endorsement.check()
                endorsement.identity.check_member([organisation], Role.PEER, self.time)

    @property
    def outcomes(self) -> Outcomes:
        """Raises `FabricError` where the chaincode announced none."""
        try:
            outcomes = (ImportedOutcomes if self.is_import else Outcomes).decode(self.event)
        except EncodingError as error:
            raise FabricError(f"the transaction announces no outcomes: {error}") from None
        lists = [outcomes.ids, outcomes.codes, outcomes.times, outcomes.envelopes]
        if isinstance(outcomes, ImportedOutcomes):
            lists.append(outcomes.ledgers)
        if len({len(each) for each in lists}) != 1:
            raise FabricError("the lists of outcomes differ in length")
        return outcomes


def _only_action(payload: Message) -> Message:
    actions = payload.message(2, "transaction").each(1)
    if len(actions) != 1:
        raise FabricError(f"a transaction has one action, this one {len(actions)}")
    return Message(actions[0], "action").message(2, "action's payload")


def _time(timestamp: Message) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(timestamp.number(1), dt.UTC)
    except (OverflowError, ValueError, OSError):
        raise FabricError("the transaction's time is none") from None


def _event(event: Message, transaction: str, chaincode: str) -> bytes:
    is_ours = (event.text(1), event.text(2)) == (chaincode, transaction) and event.text(3) in (EVENT, IMPORTED)
    return event.octets(4) if is_ours else b""


def _endorsement(response: bytes, content: bytes) -> Signed:
    endorsement = Message(content, "endorsement")
    endorser = endorsement.octets(1)
    return Signed(Identity.decode(endorser), response + endorser, endorsement.octets(2))
