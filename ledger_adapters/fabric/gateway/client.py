"""Calls of one gateway peer over gRPC."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.peer import events_pb2_grpc, proposal_pb2

from .errors import CommitStatusError, EndorseError, EvaluateError, EventsError, GatewayError, SubmitError
from .events import BlocksRequest, ChaincodeEvent, ChaincodeEventsRequest
from .identity import SigningIdentity
from .message import Signed, parse
from .transaction import CommitStatus, CommitStatusRequest, Committed, PreparedTransaction, Proposal

E = TypeVar("E", bound=GatewayError)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts. `server_name`: the name in the peer's certificate where it is not the host of the address.

    `certificate` and `private_key` where the peer asks clients for one (`peer.tls.clientAuthRequired`).
    """

    root_certificates: bytes = field(repr=False)
    server_name: str | None = None
    certificate: bytes | None = field(default=None, repr=False)
    private_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("a client's TLS certificate and its private key come together")

    @property
    def certificate_hash(self) -> bytes:
        """SHA-256 of the client's certificate (DER), as `BlocksRequest` carries it; empty without one."""
        if self.certificate is None:
            return b""
        return hashlib.sha256(x509.load_pem_x509_certificate(self.certificate).public_bytes(Encoding.DER)).digest()


@dataclass(frozen=True, slots=True)
class Target:
    """A peer and how to reach it. `address`: host:port. Without `tls` nothing is encrypted.

    Durations are in seconds. `keepalive`: pause between pings, which notice a connection gone silent; a peer closes
    connections that ping more often than its `peer.keepalive.minInterval` (60 by default). `keepalive_timeout`: how
    long a ping may stay unanswered. `reconnect`: longest pause between attempts to connect; gRPC's own 120 would leave
    a client waiting long after the peer is back. `concurrency`: calls under way at once, further ones wait; a peer
    refuses more than its `peer.limits.concurrency.gatewayService` (500 by default) from all clients together, and an
    open event stream counts. `message_size`: bytes, as in Fabric's own servers (internal/pkg/comm/config.go).
    """

    address: str
    tls: Tls | None = None
    keepalive: float = 60
    keepalive_timeout: float = 20
    reconnect: float = 10
    concurrency: int = 400
    message_size: int = 100 * 1024 * 1024

    def open(self) -> grpc.aio.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", self.message_size),
            ("grpc.max_receive_message_length", self.message_size),
            ("grpc.keepalive_time_ms", int(self.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout * 1000)),
            # gRPC's core never starts the timeout above and waits for this one, a minute by default (grpc/grpc#39239).
            ("grpc.http2.ping_timeout_ms", int(self.keepalive_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 200),
            # How long one attempt to connect may take: 5 s as between Fabric's own nodes; gRPC would wait for 20.
            ("grpc.min_reconnect_backoff_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", int(self.reconnect * 1000)),
        ]
        if self.tls is None:
            return grpc.aio.insecure_channel(self.address, options)
        if self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        credentials = grpc.ssl_channel_credentials(
            self.tls.root_certificates, self.tls.private_key, self.tls.certificate
        )
        return grpc.aio.secure_channel(self.address, credentials, options)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a call may take, the wait for its turn included. Defaults as in Hyperledger's samples."""

    evaluate: float = 5
    endorse: float = 15
    submit: float = 5
    commit_status: float = 60


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """`height`: number of blocks, thus the number of the next one."""

    height: int
    current_block_hash: bytes
    previous_block_hash: bytes


class Gateway:
    """A connection to a gateway peer, for one event loop; make it, use it and close it there.

    It takes messages that are signed already, so it needs no key. Every call raises the error of its phase.
    """

    def __init__(self, target: Target, deadlines: Deadlines | None = None) -> None:
        self.deadlines = deadlines or Deadlines()
        self.tls_certificate_hash = target.tls.certificate_hash if target.tls else b""
        self._slots = asyncio.Semaphore(target.concurrency)
        self._channel = target.open()
        stub = gateway_pb2_grpc.GatewayStub(self._channel)
        self._rpcs: dict[str, Any] = {
            "Evaluate": stub.Evaluate,
            "Endorse": stub.Endorse,
            "Submit": stub.Submit,
            "CommitStatus": stub.CommitStatus,
            "ChaincodeEvents": stub.ChaincodeEvents,
            "Deliver": events_pb2_grpc.DeliverStub(self._channel).Deliver,
        }

    async def __aenter__(self) -> Gateway:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def closed(self) -> bool:
        return not self._rpcs

    async def close(self) -> None:
        """End calls and streams under way: they fail with the status CANCELLED."""
        if not self.closed:
            self._rpcs.clear()
            await self._channel.close()
            del self._channel

    async def evaluate(self, proposal: Signed[Proposal], deadline: float | None = None) -> bytes:
        """Ask one endorser for a result, without recording anything. Raises `EvaluateError`."""
        request = gateway_pb2.EvaluateRequest(
            transaction_id=proposal.message.transaction_id,
            channel_id=proposal.message.channel,
            proposed_transaction=_signed_proposal(proposal),
            target_organizations=proposal.message.endorsing_organizations,
        )
        seconds = self.deadlines.evaluate if deadline is None else deadline
        answer = await self._call("Evaluate", request, seconds, EvaluateError, proposal.message.transaction_id)
        result: bytes = answer.result.payload
        return result

    async def endorse(self, proposal: Signed[Proposal], deadline: float | None = None) -> PreparedTransaction:
        """Collect endorsements. Raises `EndorseError`, and `MalformedMessage` for an answer to another question."""
        request = gateway_pb2.EndorseRequest(
            transaction_id=proposal.message.transaction_id,
            channel_id=proposal.message.channel,
            proposed_transaction=_signed_proposal(proposal),
            endorsing_organizations=proposal.message.endorsing_organizations,
        )
        seconds = self.deadlines.endorse if deadline is None else deadline
        answer = await self._call("Endorse", request, seconds, EndorseError, proposal.message.transaction_id)
        prepared = PreparedTransaction(answer.prepared_transaction.payload)
        prepared.check_answers(proposal.message)
        return prepared

    async def submit(self, transaction: Signed[PreparedTransaction], deadline: float | None = None) -> None:
        """Have the transaction ordered. Returns when an orderer has taken it. Raises `SubmitError`."""
        request = gateway_pb2.SubmitRequest(
            transaction_id=transaction.message.transaction_id,
            channel_id=transaction.message.channel,
            prepared_transaction=common_pb2.Envelope(
                payload=transaction.message.content, signature=transaction.signature
            ),
        )
        seconds = self.deadlines.submit if deadline is None else deadline
        await self._call("Submit", request, seconds, SubmitError, transaction.message.transaction_id)

    async def commit_status(self, request: Signed[CommitStatusRequest], deadline: float | None = None) -> CommitStatus:
        """Wait until the transaction is in a block. Raises `CommitStatusError`; an invalid one is no error here."""
        seconds = self.deadlines.commit_status if deadline is None else deadline
        transaction_id = request.message.transaction_id
        message = gateway_pb2.SignedCommitStatusRequest(request=request.message.content, signature=request.signature)
        answer = await self._call("CommitStatus", message, seconds, CommitStatusError, transaction_id)
        return CommitStatus(transaction_id, answer.result, answer.block_number)

    async def execute(self, proposal: Signed[Proposal], identity: SigningIdentity) -> Committed:
        """Endorse, submit and wait, for callers that store nothing in between.

        Raises the error of the phase that failed, `CommitError` when the transaction is invalid.
        """
        prepared = await self.endorse(proposal)
        await self.submit(prepared.sign(identity))
        question = CommitStatusRequest.build(identity.identity, prepared.channel, prepared.transaction_id)
        status = await self.commit_status(question.sign(identity))
        status.raise_if_invalid()
        return Committed(prepared.result, status)

    async def chain_info(self, identity: SigningIdentity, channel: str) -> ChainInfo:
        """Height and newest hashes of a peer's copy of the channel, from `qscc`. Raises `EvaluateError`."""
        proposal = Proposal.build(identity.identity, channel, "qscc", ["GetChainInfo", channel])
        info = parse(ledger_pb2.BlockchainInfo, await self.evaluate(proposal.sign(identity)))
        return ChainInfo(info.height, info.currentBlockHash, info.previousBlockHash)

    async def chaincode_events(self, request: Signed[ChaincodeEventsRequest]) -> AsyncGenerator[ChaincodeEvent, None]:
        """Events of valid transactions, in order. Ends when the peer ends the stream; raises `EventsError`."""
        message = gateway_pb2.SignedChaincodeEventsRequest(request=request.message.content, signature=request.signature)
        async with aclosing(self._stream("ChaincodeEvents", message)) as responses:
            async for response in responses:
                for event in response.events:
                    yield ChaincodeEvent(
                        response.block_number, event.tx_id, event.chaincode_id, event.event_name, event.payload
                    )

    async def blocks(self, request: Signed[BlocksRequest]) -> AsyncGenerator[Any, None]:
        """Blocks (`common.Block`) of valid and invalid transactions, in order. Ends after the last one asked for.

        Raises `EventsError`.
        """
        envelope = common_pb2.Envelope(payload=request.message.content, signature=request.signature)
        async with aclosing(self._stream("Deliver", iter((envelope,)))) as responses:
            async for response in responses:
                if response.WhichOneof("Type") == "block":
                    yield response.block
                elif response.status != common_pb2.Status.SUCCESS:
                    name = common_pb2.Status.Name(response.status)
                    raise EventsError(_DELIVER_STATUS.get(name, grpc.StatusCode.INTERNAL), f"the peer answers {name}")

    async def _call(self, method: str, request: Any, seconds: float, failure: type[E], transaction_id: str) -> Any:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            async with asyncio.timeout_at(end):
                await self._slots.acquire()
        except TimeoutError:
            message = f"{seconds} s passed before it was this call's turn"
            raise failure(grpc.StatusCode.DEADLINE_EXCEEDED, message, (), transaction_id) from None
        try:
            if self.closed:
                error = failure(grpc.StatusCode.CANCELLED, "the gateway is closed", (), transaction_id)
            else:
                return await self._rpcs[method](request, timeout=end - loop.time())
        except grpc.aio.AioRpcError as rpc_error:
            error = failure.from_rpc(rpc_error, transaction_id)
        except asyncio.CancelledError:
            if _task_cancelled():
                raise
            error = failure(grpc.StatusCode.CANCELLED, "the gateway was closed", (), transaction_id)
        finally:
            self._slots.release()
        # Raised out here and without a cause: the traceback of gRPC's error would keep the channel in memory, and with
        # it gRPC's threads, which must be gone when the process forks.
        raise error

    async def _stream(self, method: str, request: Any) -> AsyncGenerator[Any, None]:
        if self.closed:
            raise EventsError(grpc.StatusCode.CANCELLED, "the gateway is closed")
        call = self._rpcs[method](request)
        try:
            async for response in call:
                yield response
            return
        except grpc.aio.AioRpcError as rpc_error:
            error = EventsError.from_rpc(rpc_error)
        except asyncio.CancelledError:
            if _task_cancelled():
                raise
            error = EventsError(grpc.StatusCode.CANCELLED, "the gateway was closed")
        finally:
            call.cancel()
            del call
        raise error


_DELIVER_STATUS = {
    "BAD_REQUEST": grpc.StatusCode.INVALID_ARGUMENT,
    "FORBIDDEN": grpc.StatusCode.PERMISSION_DENIED,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "REQUEST_ENTITY_TOO_LARGE": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "SERVICE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
}


def _signed_proposal(proposal: Signed[Proposal]) -> Any:
    return proposal_pb2.SignedProposal(proposal_bytes=proposal.message.content, signature=proposal.signature)


def _task_cancelled() -> bool:
    """Whether the caller gave up, rather than gRPC: a closed channel cancels its calls by the same exception."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
