"""The conversation with one peer: many transactions at once on a single stream of messages.

We open with REGISTER, the peer answers REGISTERED and READY; its TRANSACTIONs are answered with COMPLETED. In between a
transaction asks for state, one request at a time, each answered by RESPONSE or ERROR.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
from fabric_protos.common.common_pb2 import ChannelHeader, Header
from fabric_protos.peer.chaincode_event_pb2 import ChaincodeEvent
from fabric_protos.peer.chaincode_pb2 import ChaincodeID, ChaincodeInput
from fabric_protos.peer.chaincode_shim_pb2 import (
    ChaincodeMessage,
    GetState,
    GetStateMultiple,
    GetStateMultipleResult,
    PutState,
    WriteBatchState,
    WriteRecord,
)
from fabric_protos.peer.proposal_pb2 import Proposal
from fabric_protos.peer.proposal_response_pb2 import Response
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-not-found]

from ledger_adapters.fabric.chaincode.functions import Call, Refused, invoke

log = logging.getLogger(__name__)

SUCCESS = 200
FAILURE = 500


class PeerError(Exception):
    """The peer answered a request with an error, or with something that is no answer to it."""


class MessageStream(Protocol):
    """As grpc.aio gives it to a servicer."""

    async def read(self) -> Any: ...

    async def write(self, message: ChaincodeMessage) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How many keys the peer takes in one request, 0 where it has only requests for single keys."""

    reads: int = 0
    writes: int = 0

    @classmethod
    def from_ready(cls, payload: bytes) -> "Limits":
        """From the payload of READY, empty before Fabric 3.1.

        The bindings do not have its message. Fields: 1 and 2 use and size of batched writes, 3 and 4 of batched reads.
        """
        fields = {field.field_number: field.data for field in UnknownFieldSet(Empty.FromString(payload))}
        return cls(
            reads=fields.get(4, 0) if fields.get(3) else 0,
            writes=fields.get(2, 0) if fields.get(1) else 0,
        )


class PeerStream:
    """`clock` and `genesis_file` are those of `invoke`."""

    def __init__(
        self, package_id: str, stream: MessageStream, clock: Callable[[], float], genesis_file: Path | None = None
    ) -> None:
        self._package_id = package_id
        self._stream = stream
        self._clock = clock
        self._genesis_file = genesis_file
        self._writing = asyncio.Lock()
        self._waiting: dict[tuple[str, str], asyncio.Future[ChaincodeMessage]] = {}
        self._transactions: set[asyncio.Task[None]] = set()
        self.limits = Limits()

    @property
    def is_busy(self) -> bool:
        """Whether a transaction is in progress."""
        return bool(self._transactions)

    async def serve(self) -> None:
        """Answer transactions until the peer ends the stream."""
        await self.send(ChaincodeMessage.REGISTER, ChaincodeID(name=self._package_id).SerializeToString())
        try:
            while (message := await self._stream.read()) is not grpc.aio.EOF:
                if message.type in (ChaincodeMessage.TRANSACTION, ChaincodeMessage.INIT):
                    task = asyncio.create_task(self._transact(message))
                    self._transactions.add(task)
                    task.add_done_callback(self._transactions.discard)
                else:
                    self._take(message)
        finally:
            for task in self._transactions:
                task.cancel()

    def _take(self, message: ChaincodeMessage) -> None:
        match message.type:
            case ChaincodeMessage.READY:
                self.limits = Limits.from_ready(message.payload)
                log.info("ready: %s", self.limits)
            case ChaincodeMessage.RESPONSE | ChaincodeMessage.ERROR:
                waiting = self._waiting.pop((message.channel_id, message.txid), None)
                if waiting is None:
                    log.warning("%s that nobody waits for", ChaincodeMessage.Type.Name(message.type))
                elif not waiting.done():
                    waiting.set_result(message)
            case ChaincodeMessage.REGISTERED | ChaincodeMessage.KEEPALIVE:
                pass
            case other:
                log.warning("unexpected message of type %s", other)

    async def send(self, type: int, payload: bytes, channel: str = "", txid: str = "", **more: Any) -> None:
        message = ChaincodeMessage(type=type, payload=payload, channel_id=channel, txid=txid, **more)
        # gRPC takes one write at a time; concurrent ones would be lost.
        async with self._writing:
            await self._stream.write(message)

    async def request(self, type: int, payload: bytes, channel: str, txid: str) -> bytes:
        """Ask the peer on behalf of a transaction, which may have one request at a time. Raises `PeerError`."""
        answer = self._waiting[channel, txid] = asyncio.get_running_loop().create_future()
        await self.send(type, payload, channel, txid)
        message = await answer
        if message.type == ChaincodeMessage.ERROR:
            raise PeerError(message.payload.decode(errors="replace"))
        content: bytes = message.payload
        return content

    async def _transact(self, message: ChaincodeMessage) -> None:
        event = None
        try:
            if message.type == ChaincodeMessage.INIT:
                raise Refused("the chaincode has no initialisation: define it without one")
            state = TransactionState(self, message)
            answer = await invoke(_call(message), state, self._clock, self._genesis_file)
            response = Response(status=SUCCESS, payload=answer.payload)
            if answer.event:
                event = ChaincodeEvent(event_name=answer.event_name, payload=answer.event)
        except (Refused, PeerError) as error:
            log.warning("transaction %.8s refused: %s", message.txid, error)
            response = Response(status=FAILURE, message=str(error))
        except Exception as error:
            # Neither the exception's text nor its trace: both may quote the payload.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            name = type(error).__name__
            log.error("transaction %.8s failed: %s at %s:%s", message.txid, name, frame.filename, frame.lineno)
            response = Response(status=FAILURE, message=f"the chaincode failed: {name}")
        await self.send(
            ChaincodeMessage.COMPLETED,
            response.SerializeToString(),
            message.channel_id,
            message.txid,
            chaincode_event=event,
        )


class TransactionState:
    """State as one transaction sees it, in as few requests as the peer allows. Keys are written in hexadecimal."""

    def __init__(self, peer: PeerStream, transaction: ChaincodeMessage) -> None:
        self._peer = peer
        self._channel: str = transaction.channel_id
        self._txid: str = transaction.txid

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        values: list[bytes] = []
        if most := self._peer.limits.reads:
            for at in range(0, len(keys), most):
                values += await self._read_together(keys[at : at + most])
        else:
            for key in keys:
                values.append(await self._ask(ChaincodeMessage.GET_STATE, GetState(key=key.hex())))
        # Fabric has no empty values: an empty one is none.
        return {key: value or None for key, value in zip(keys, values, strict=True)}

    async def _read_together(self, keys: Sequence[bytes]) -> Sequence[bytes]:
        query = GetStateMultiple(keys=[key.hex() for key in keys])
        answer = GetStateMultipleResult.FromString(await self._ask(ChaincodeMessage.GET_STATE_MULTIPLE, query))
        if len(answer.values) != len(keys):
            raise PeerError(f"the peer gave {len(answer.values)} values for {len(keys)} keys")
        values: Sequence[bytes] = answer.values
        return values

    async def write(self, entries: Mapping[bytes, bytes]) -> None:
        rows = [(key.hex(), value) for key, value in entries.items()]
        if most := self._peer.limits.writes:
            for at in range(0, len(rows), most):
                records = [
                    WriteRecord(key=key, value=value, type=WriteRecord.PUT_STATE) for key, value in rows[at : at + most]
                ]
                await self._ask(ChaincodeMessage.WRITE_BATCH_STATE, WriteBatchState(rec=records))
        else:
            for key, value in rows:
                await self._ask(ChaincodeMessage.PUT_STATE, PutState(key=key, value=value))

    async def _ask(self, type: int, query: Any) -> bytes:
        return await self._peer.request(type, query.SerializeToString(), self._channel, self._txid)


def _call(message: ChaincodeMessage) -> Call:
    arguments = ChaincodeInput.FromString(message.payload).args
    header = Header.FromString(Proposal.FromString(message.proposal.proposal_bytes).header)
    time: int = ChannelHeader.FromString(header.channel_header).timestamp.seconds
    return Call(arguments[0] if arguments else b"", tuple(arguments[1:]), time)
