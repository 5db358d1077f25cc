"""What can go wrong in each phase of a transaction, and whether trying again is right.

Statuses and texts are those of Fabric 3.1, internal/pkg/gateway/*.go and core/endorser/endorser.go. Texts are looked at
where one gRPC status stands for both a passing and a lasting fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache
from typing import Any, Self

import grpc
import grpc.aio
from fabric_protos.gateway import gateway_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_DETAILS = "grpc-status-details-bin"


class Retry(Enum):
    """What may be sent again. How often and how soon is the caller's business."""

    NONE = "none"
    """Nothing: it would fail again, or has been done already."""
    SAME_TRANSACTION = "same transaction"
    """The same signed bytes; an id takes effect once at most. After a `SubmitError` ask for the status first."""
    NEW_TRANSACTION = "new transaction"
    """A new proposal with a new id: what was read, or the policy, has changed. The old one can never take effect."""


class ValidationCode(IntEnum):
    """`TxValidationCode` (peer/transaction.proto): how the committing peers judged a transaction."""

    VALID = 0
    NIL_ENVELOPE = 1
    BAD_PAYLOAD = 2
    BAD_COMMON_HEADER = 3
    BAD_CREATOR_SIGNATURE = 4
    INVALID_ENDORSER_TRANSACTION = 5
    INVALID_CONFIG_TRANSACTION = 6
    UNSUPPORTED_TX_PAYLOAD = 7
    BAD_PROPOSAL_TXID = 8
    DUPLICATE_TXID = 9
    ENDORSEMENT_POLICY_FAILURE = 10
    MVCC_READ_CONFLICT = 11
    PHANTOM_READ_CONFLICT = 12
    UNKNOWN_TX_TYPE = 13
    TARGET_CHAIN_NOT_FOUND = 14
    MARSHAL_TX_ERROR = 15
    NIL_TXACTION = 16
    EXPIRED_CHAINCODE = 17
    CHAINCODE_VERSION_CONFLICT = 18
    BAD_HEADER_EXTENSION = 19
    BAD_CHANNEL_HEADER = 20
    BAD_RESPONSE_PAYLOAD = 21
    BAD_RWSET = 22
    ILLEGAL_WRITESET = 23
    INVALID_WRITESET = 24
    INVALID_CHAINCODE = 25
    NOT_VALIDATED = 254
    INVALID_OTHER_REASON = 255


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """What one peer or orderer said. `address` as the gateway peer knows it."""

    address: str
    msp_id: str
    message: str

    @property
    def chaincode_response(self) -> tuple[int, str] | None:
        """Status and message, if it was the chaincode that refused."""
        return _chaincode_response(self.message)


class GatewayError(Exception):
    """A call of the gateway peer failed.

    `code`, `message`: gRPC status. `details`: what the peers behind it said. `transaction_id`: empty for events.
    """

    phase = "gateway call"

    def __init__(
        self, code: grpc.StatusCode, message: str, details: tuple[ErrorDetail, ...] = (), transaction_id: str = ""
    ) -> None:
        super().__init__(code, message, details, transaction_id)
        self.code = code
        self.message = message
        self.details = details
        self.transaction_id = transaction_id

    def __str__(self) -> str:
        said = "".join(f"; {detail.msp_id} ({detail.address}): {detail.message}" for detail in self.details)
        of = f" of {self.transaction_id}" if self.transaction_id else ""
        return f"{self.phase}{of} failed: {self.code.name}: {self.message}{said}"

    @classmethod
    def from_rpc(cls, error: grpc.aio.AioRpcError, transaction_id: str = "") -> Self:
        return cls(error.code(), error.details() or "", error_details(error), transaction_id)

    @property
    def retry(self) -> Retry:
        if self.code in _PASSING or (self.code is grpc.StatusCode.FAILED_PRECONDITION and _lacks_peers(self.message)):
            return Retry.SAME_TRANSACTION
        return Retry.NONE


_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    # A connection that breaks in the middle of an answer.
    grpc.StatusCode.INTERNAL,
    # So reports a peer that more calls are running than its `peer.limits.concurrency` allows, and gRPC a stream that
    # was removed. A chaincode's refusal has this status, too: `EvaluateError` tells it apart.
    grpc.StatusCode.UNKNOWN,
    # The peer or its ledger is stopping.
    grpc.StatusCode.ABORTED,
}


class EvaluateError(GatewayError):
    """No answer to a query. Nothing was changed."""

    phase = "evaluation"

    @property
    def chaincode_response(self) -> tuple[int, str] | None:
        """Status and message, if it was the chaincode that refused."""
        return _first_response(self.details)

    @property
    def retry(self) -> Retry:
        return _endorser_retry(self) or super().retry


class EndorseError(GatewayError):
    """The proposal did not get the endorsements that the policy asks for. Nothing was ordered."""

    phase = "endorsement"

    @property
    def chaincode_response(self) -> tuple[int, str] | None:
        """Status and message, if it was a chaincode that refused."""
        return _first_response(self.details)

    @property
    def duplicate(self) -> bool:
        """A transaction of this id is on the ledger already, perhaps as invalid: its status tells the outcome."""
        return any("duplicate transaction found" in detail.message for detail in self.details)

    @property
    def retry(self) -> Retry:
        return _endorser_retry(self) or super().retry


class SubmitError(GatewayError):
    """The gateway did not confirm that an orderer took the transaction."""

    phase = "submission"

    @property
    def outcome_unknown(self) -> bool:
        """It may have been ordered all the same: ask for the status before anything else is done."""
        return self.retry is not Retry.NONE

    @property
    def retry(self) -> Retry:
        # With this status the gateway passes on that an orderer looked at the transaction and refused it (4xx).
        return Retry.NONE if self.code is grpc.StatusCode.ABORTED else super().retry


class CommitStatusError(GatewayError):
    """The status is not known. The call waits for the commit, so a deadline may only mean: not yet.

    `Retry.SAME_TRANSACTION` here means to ask again.
    """

    phase = "commit status"


class EventsError(GatewayError):
    """A stream of events or blocks ended. `Retry.SAME_TRANSACTION` here means to follow again from the checkpoint."""

    phase = "event stream"


_NEW_TRANSACTION = {
    ValidationCode.MVCC_READ_CONFLICT,
    ValidationCode.PHANTOM_READ_CONFLICT,
    # Between endorsement and commit the chaincode or its policy was changed.
    ValidationCode.ENDORSEMENT_POLICY_FAILURE,
    ValidationCode.EXPIRED_CHAINCODE,
    ValidationCode.CHAINCODE_VERSION_CONFLICT,
}


class CommitError(Exception):
    """The transaction is on the ledger as invalid: it changed nothing, and its id is used up.

    `code`: a `ValidationCode`, or a newer Fabric's number.
    """

    def __init__(self, transaction_id: str, code: int, block_number: int) -> None:
        super().__init__(transaction_id, code, block_number)
        self.transaction_id = transaction_id
        self.code = code
        self.block_number = block_number

    def __str__(self) -> str:
        known = self.code in ValidationCode.__members__.values()
        name = ValidationCode(self.code).name if known else f"code {self.code}"
        return f"transaction {self.transaction_id} is invalid in block {self.block_number}: {name}"

    @property
    def retry(self) -> Retry:
        return Retry.NEW_TRANSACTION if self.code in _NEW_TRANSACTION else Retry.NONE


def _chaincode_response(message: str) -> tuple[int, str] | None:
    found = re.match(r"chaincode response (\d+), (.*)", message, re.DOTALL)
    return (int(found[1]), found[2]) if found else None


def _first_response(details: tuple[ErrorDetail, ...]) -> tuple[int, str] | None:
    return next((detail.chaincode_response for detail in details if detail.chaincode_response), None)


def _lacks_peers(message: str) -> bool:
    """No plan could be made because an organisation's peers are down, or not known yet after a start.

    An unknown chaincode looks the same: peers tell one another which chaincode they run.
    """
    return any(
        phrase in message
        for phrase in (
            "no combination of peers can be derived",
            "due to unavailability of peers",
            "no peers available to evaluate",
            "no endorsers found in the gateway's organization",
        )
    )


def _endorser_retry(error: GatewayError) -> Retry | None:
    """The gravest of what the endorsers said, if they said anything."""
    # With this status the endorser refused the proposal itself: its signature, the creator's rights, a used id.
    if not error.details or error.code is grpc.StatusCode.FAILED_PRECONDITION:
        return None
    if any(detail.chaincode_response or _refused(detail.message) for detail in error.details):
        return Retry.NONE
    # One peer is some blocks behind another, so they read different versions; or the chaincode is not deterministic.
    if any("ProposalResponsePayloads do not match" in detail.message for detail in error.details):
        return Retry.NEW_TRANSACTION
    return Retry.SAME_TRANSACTION


def _refused(message: str) -> bool:
    """The endorsing peer itself looked at the proposal and will not have it (endorser.go, preProcess)."""
    return any(
        phrase in message
        for phrase in (
            "error validating proposal",
            "access denied",
            "identity expired",
            "duplicate transaction found",
            "failed evaluating policy",
        )
    )


@cache
def _status_class() -> Any:
    """`google.rpc.Status`, field by field: its package asks for a newer protobuf than Fabric's messages allow."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="status.proto", package="status", syntax="proto3")
    detail = file.message_type.add(name="Any")
    detail.field.add(name="type_url", number=1, type=types.TYPE_STRING, label=types.LABEL_OPTIONAL)
    detail.field.add(name="value", number=2, type=types.TYPE_BYTES, label=types.LABEL_OPTIONAL)
    status = file.message_type.add(name="Status")
    status.field.add(
        name="details", number=3, type=types.TYPE_MESSAGE, label=types.LABEL_REPEATED, type_name=".status.Any"
    )
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("status.Status"))


def error_details(error: grpc.aio.AioRpcError) -> tuple[ErrorDetail, ...]:
    """The `gateway.ErrorDetail` messages among the details of a call's status."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            try:
                found = [
                    gateway_pb2.ErrorDetail.FromString(detail.value)
                    for detail in _status_class().FromString(value).details
                    if detail.type_url.endswith("/gateway.ErrorDetail")
                ]
            except DecodeError:
                # The code and message say what happened; losing them to a garbled addition would be worse.
                return ()
            return tuple(ErrorDetail(detail.address, detail.msp_id, detail.message) for detail in found)
    return ()
