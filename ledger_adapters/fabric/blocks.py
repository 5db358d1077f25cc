"""What blocks and their transactions say about commands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)

from ledger_adapters.contract import Outcome
from ledger_adapters.fabric.chaincode.messages import ANNOUNCED

# The index of the validity flags among a block's metadata, and the flag of a valid transaction.
_FLAGS = common_pb2.BlockMetadataIndex.TRANSACTIONS_FILTER
_VALID = transaction_pb2.TxValidationCode.VALID


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction on the ledger: its validation code, and what the chaincode returned."""

    code: int
    result: bytes


def committed_transaction(processed: bytes) -> Committed:
    """Read a `ProcessedTransaction` as `qscc` gives it."""
    found = transaction_pb2.ProcessedTransaction.FromString(processed)
    action = _action(common_pb2.Payload.FromString(found.transactionEnvelope.payload))
    return Committed(found.validationCode, bytes(action.response.payload))


def outcomes_of_block(block: Any, chaincode: str) -> Iterator[tuple[bytes, Outcome]]:
    """The outcomes that a chaincode announced in a block's valid transactions, each with its transaction's id."""
    flags = block.metadata.metadata[_FLAGS]
    for flag, data in zip(flags, block.data.data, strict=True):
        if flag != _VALID:
            continue
        payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(data).payload)
        header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
        if header.type != common_pb2.HeaderType.ENDORSER_TRANSACTION:
            continue
        event = chaincode_event_pb2.ChaincodeEvent.FromString(_action(payload).events)
        announced = ANNOUNCED.get(event.event_name)
        if announced is not None and event.chaincode_id == chaincode:
            transaction = bytes.fromhex(header.tx_id)
            for outcome in announced.decode(event.payload).outcomes:
                yield transaction, outcome


def _action(payload: Any) -> Any:
    """The `ChaincodeAction` that was endorsed; a transaction has one."""
    transaction = transaction_pb2.Transaction.FromString(payload.data)
    action = transaction_pb2.ChaincodeActionPayload.FromString(transaction.actions[0].payload).action
    response = proposal_response_pb2.ProposalResponsePayload.FromString(action.proposal_response_payload)
    return proposal_pb2.ChaincodeAction.FromString(response.extension)
