"""The messages of one transaction: proposal, prepared transaction, question for its status.

What is built here follows fabric-gateway (node/src/transactioncontext.ts, proposalbuilder.ts, transactionparser.ts).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from .errors import CommitError, ValidationCode
from .identity import Identity
from .message import MalformedMessage, Message, parse

NONCE_BYTES = 24


def transaction_id(nonce: bytes, creator: bytes) -> str:
    """SHA-256 of nonce ‖ creator in hex. Peers recompute it, so an id belongs to its creator."""
    return hashlib.sha256(nonce + creator).hexdigest()


@dataclass(frozen=True)
class Proposal(Message):
    """A call of a chaincode. `content`: bytes of `protos.Proposal`.

    `endorsing_organizations`: MSP ids that alone may see the proposal; empty lets the gateway choose by the
    endorsement policy. Not covered by the signature.
    """

    endorsing_organizations: tuple[str, ...] = ()

    @classmethod
    def build(
        cls,
        identity: Identity,
        channel: str,
        chaincode: str,
        args: Sequence[bytes | str],
        *,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
        time: datetime | None = None,
    ) -> Proposal:
        """A new transaction, with a nonce and thus an id of its own.

        `args`: function name first. `transient`: shown to endorsers, never recorded; with it the gateway asks no
        organisation outside the collection's unless `endorsing_organizations` says so. `time`: the transaction's
        timestamp, by default now; chaincode sees it.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        name = chaincode_pb2.ChaincodeID(name=chaincode)
        channel_header = common_pb2.ChannelHeader(
            type=common_pb2.HeaderType.ENDORSER_TRANSACTION,
            channel_id=channel,
            tx_id=transaction_id(nonce, identity.creator),
            extension=proposal_pb2.ChaincodeHeaderExtension(chaincode_id=name).SerializeToString(),
        )
        channel_header.timestamp.FromDatetime(time or datetime.now(UTC))
        spec = chaincode_pb2.ChaincodeSpec(
            # Peers do not look at the type; the official client for Node sends this one for chaincode of any language.
            type=chaincode_pb2.ChaincodeSpec.Type.NODE,
            chaincode_id=name,
            input=chaincode_pb2.ChaincodeInput(args=[a.encode() if isinstance(a, str) else a for a in args]),
        )
        proposal = proposal_pb2.Proposal(
            header=common_pb2.Header(
                channel_header=channel_header.SerializeToString(),
                signature_header=common_pb2.SignatureHeader(creator=identity.creator, nonce=nonce).SerializeToString(),
            ).SerializeToString(),
            payload=proposal_pb2.ChaincodeProposalPayload(
                input=chaincode_pb2.ChaincodeInvocationSpec(chaincode_spec=spec).SerializeToString(),
                TransientMap=transient or {},
            ).SerializeToString(),
        )
        return cls(proposal.SerializeToString(), tuple(endorsing_organizations))

    @cached_property
    def _proposal(self) -> Any:
        return parse(proposal_pb2.Proposal, self.content)

    @cached_property
    def header(self) -> Any:
        """`common.Header`"""
        return parse(common_pb2.Header, self._proposal.header)

    @cached_property
    def chaincode_input(self) -> bytes:
        """Bytes of the `ChaincodeInvocationSpec`."""
        payload = parse(proposal_pb2.ChaincodeProposalPayload, self._proposal.payload)
        found: bytes = payload.input
        return found

    @cached_property
    def _channel_header(self) -> Any:
        return parse(common_pb2.ChannelHeader, self.header.channel_header)

    @property
    def transaction_id(self) -> str:
        return str(self._channel_header.tx_id)

    @property
    def channel(self) -> str:
        return str(self._channel_header.channel_id)

    @property
    def creator(self) -> bytes:
        """`SerializedIdentity` of who signs the proposal, and later the transaction."""
        found: bytes = parse(common_pb2.SignatureHeader, self.header.signature_header).creator
        return found

    @property
    def time(self) -> datetime:
        found: datetime = self._channel_header.timestamp.ToDatetime(tzinfo=UTC)
        return found

    def pack(self, signature: bytes) -> bytes:
        packed: bytes = gateway_pb2.ProposedTransaction(
            transaction_id=self.transaction_id,
            proposal=proposal_pb2.SignedProposal(proposal_bytes=self.content, signature=signature),
            endorsing_organizations=self.endorsing_organizations,
        ).SerializeToString()
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> tuple[Proposal, bytes]:
        stored = parse(gateway_pb2.ProposedTransaction, data)
        message = cls(stored.proposal.proposal_bytes, tuple(stored.endorsing_organizations))
        if message.transaction_id != stored.transaction_id:
            raise MalformedMessage(f"the proposal of {message.transaction_id} is stored as {stored.transaction_id}")
        return message, stored.proposal.signature


@dataclass(frozen=True)
class PreparedTransaction(Message):
    """An endorsed call, to be signed and ordered. `content`: bytes of `common.Payload`."""

    @cached_property
    def _payload(self) -> Any:
        return parse(common_pb2.Payload, self.content)

    @cached_property
    def _channel_header(self) -> Any:
        return parse(common_pb2.ChannelHeader, self._payload.header.channel_header)

    @cached_property
    def _action(self) -> Any:
        transaction = parse(transaction_pb2.Transaction, self._payload.data)
        # An endorser transaction has one action: Fabric's validator refuses any other number.
        if len(transaction.actions) != 1:
            raise MalformedMessage(f"a transaction with {len(transaction.actions)} actions")
        return parse(transaction_pb2.ChaincodeActionPayload, transaction.actions[0].payload)

    @property
    def transaction_id(self) -> str:
        return str(self._channel_header.tx_id)

    @property
    def channel(self) -> str:
        return str(self._channel_header.channel_id)

    @property
    def result(self) -> bytes:
        """What the chaincode returned to the endorsers. It counts once the transaction is committed as valid."""
        endorsed = parse(
            proposal_response_pb2.ProposalResponsePayload, self._action.action.proposal_response_payload
        ).extension
        found: bytes = parse(proposal_pb2.ChaincodeAction, endorsed).response.payload
        return found

    def check_answers(self, proposal: Proposal) -> None:
        """Raises `MalformedMessage` unless this is the transaction that `proposal` asked for.

        A gateway peer may belong to somebody else; without this check it could have anything signed.
        """
        header = self._payload.header
        if (header.channel_header, header.signature_header) != (
            proposal.header.channel_header,
            proposal.header.signature_header,
        ):
            raise MalformedMessage(f"the peer prepared another transaction than {proposal.transaction_id}")
        called = parse(proposal_pb2.ChaincodeProposalPayload, self._action.chaincode_proposal_payload).input
        if called != proposal.chaincode_input:
            raise MalformedMessage(f"the peer changed the call in transaction {proposal.transaction_id}")

    def pack(self, signature: bytes) -> bytes:
        packed: bytes = gateway_pb2.PreparedTransaction(
            transaction_id=self.transaction_id,
            envelope=common_pb2.Envelope(payload=self.content, signature=signature),
        ).SerializeToString()
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> tuple[PreparedTransaction, bytes]:
        stored = parse(gateway_pb2.PreparedTransaction, data)
        message = cls(stored.envelope.payload)
        if message.transaction_id != stored.transaction_id:
            raise MalformedMessage(f"transaction {message.transaction_id} is stored as {stored.transaction_id}")
        return message, stored.envelope.signature


@dataclass(frozen=True)
class CommitStatusRequest(Message):
    """The question what became of a transaction. `content`: bytes of `gateway.CommitStatusRequest`."""

    @classmethod
    def build(cls, identity: Identity, channel: str, transaction_id: str) -> CommitStatusRequest:
        request = gateway_pb2.CommitStatusRequest(
            transaction_id=transaction_id, channel_id=channel, identity=identity.creator
        )
        return cls(request.SerializeToString())

    @cached_property
    def _request(self) -> Any:
        return parse(gateway_pb2.CommitStatusRequest, self.content)

    @property
    def transaction_id(self) -> str:
        return str(self._request.transaction_id)

    @property
    def channel(self) -> str:
        return str(self._request.channel_id)

    def pack(self, signature: bytes) -> bytes:
        packed: bytes = gateway_pb2.SignedCommitStatusRequest(
            request=self.content, signature=signature
        ).SerializeToString()
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> tuple[CommitStatusRequest, bytes]:
        stored = parse(gateway_pb2.SignedCommitStatusRequest, data)
        message = cls(stored.request)
        _ = message.transaction_id
        return message, stored.signature


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """What the committing peers decided. `code`: a `ValidationCode`, or a newer Fabric's number."""

    transaction_id: str
    code: int
    block_number: int

    @property
    def valid(self) -> bool:
        return self.code == ValidationCode.VALID

    def raise_if_invalid(self) -> None:
        """Raises `CommitError` unless the transaction is valid."""
        if not self.valid:
            raise CommitError(self.transaction_id, self.code, self.block_number)


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction that took effect, and what its chaincode returned."""

    result: bytes
    status: CommitStatus
