"""Requests for the two streams a peer offers - chaincode events, whole blocks - and what comes out of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2

from .identity import Identity
from .message import Message, parse

LAST_BLOCK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a listener is: events after this transaction, or all of the block and later without one.

    Store it in one database transaction with what the event caused. `transaction_id` must be of an event that was
    delivered: after a transaction without one the peer waits for ever (chaincodeevents.go, chaincodeEventMatcher).
    """

    block_number: int
    transaction_id: str = ""


@dataclass(frozen=True, slots=True)
class ChaincodeEvent:
    """Set by a valid transaction, which has one at most."""

    block_number: int
    transaction_id: str
    chaincode: str
    name: str
    payload: bytes

    @property
    def checkpoint(self) -> Checkpoint:
        """Where to go on once this event is dealt with."""
        return Checkpoint(self.block_number, self.transaction_id)


@dataclass(frozen=True)
class ChaincodeEventsRequest(Message):
    """`content`: bytes of `gateway.ChaincodeEventsRequest`."""

    @classmethod
    def build(
        cls, identity: Identity, channel: str, chaincode: str, start: Checkpoint | None = None
    ) -> ChaincodeEventsRequest:
        """Without `start`, from the next block to be committed."""
        request = gateway_pb2.ChaincodeEventsRequest(
            channel_id=channel,
            chaincode_id=chaincode,
            identity=identity.creator,
            start_position=_next_commit() if start is None else _block(start.block_number),
            after_transaction_id="" if start is None else start.transaction_id,
        )
        return cls(request.SerializeToString())

    @cached_property
    def _request(self) -> Any:
        return parse(gateway_pb2.ChaincodeEventsRequest, self.content)

    @property
    def channel(self) -> str:
        return str(self._request.channel_id)

    def pack(self, signature: bytes) -> bytes:
        packed: bytes = gateway_pb2.SignedChaincodeEventsRequest(
            request=self.content, signature=signature
        ).SerializeToString()
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> tuple[ChaincodeEventsRequest, bytes]:
        stored = parse(gateway_pb2.SignedChaincodeEventsRequest, data)
        message = cls(stored.request)
        _ = message.channel
        return message, stored.signature


@dataclass(frozen=True)
class BlocksRequest(Message):
    """`content`: bytes of the `common.Payload` of a seek envelope.

    Peers refuse one whose timestamp is more than `peer.authentication.timewindow` (15 minutes) off their clock.
    """

    @classmethod
    def build(
        cls,
        identity: Identity,
        channel: str,
        start: int | None = None,
        stop: int = LAST_BLOCK,
        *,
        tls_certificate_hash: bytes = b"",
    ) -> BlocksRequest:
        """Blocks `start` to `stop`, both included, waiting for those that are not there yet.

        Without `start`, from the next block to be committed. `tls_certificate_hash`: `Tls.certificate_hash` where the
        client has a TLS certificate of its own; a peer that asks for one wants it here, too.
        """
        channel_header = common_pb2.ChannelHeader(
            type=common_pb2.HeaderType.DELIVER_SEEK_INFO, channel_id=channel, tls_cert_hash=tls_certificate_hash
        )
        channel_header.timestamp.FromDatetime(datetime.now(UTC))
        payload = common_pb2.Payload(
            header=common_pb2.Header(
                channel_header=channel_header.SerializeToString(),
                signature_header=common_pb2.SignatureHeader(creator=identity.creator).SerializeToString(),
            ),
            data=ab_pb2.SeekInfo(
                start=_next_commit() if start is None else _block(start), stop=_block(stop)
            ).SerializeToString(),
        )
        return cls(payload.SerializeToString())

    def pack(self, signature: bytes) -> bytes:
        packed: bytes = common_pb2.Envelope(payload=self.content, signature=signature).SerializeToString()
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> tuple[BlocksRequest, bytes]:
        stored = parse(common_pb2.Envelope, data)
        parse(ab_pb2.SeekInfo, parse(common_pb2.Payload, stored.payload).data)
        return cls(stored.payload), stored.signature


def _next_commit() -> Any:
    return ab_pb2.SeekPosition(next_commit=ab_pb2.SeekNextCommit())


def _block(number: int) -> Any:
    return ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=number))
