"""A client of the Hyperledger Fabric Gateway service (Fabric 2.4 and later), which peers offer to applications.

    identity = SigningIdentity.from_files("Org1MSP", Path("cert.pem"), Path("key.pem"))
    with BlockingGateway(Target("peer.example.org:7051", Tls(Path("ca.pem").read_bytes()))) as gateway:
        proposal = Proposal.build(identity.identity, "mychannel", "basic", ["Transfer", "asset1", "alice"])
        gateway.execute(proposal.sign(identity), identity)

Step by step, so that each message can be stored before it is sent, or signed elsewhere:

    signed = proposal.sign(identity)            # or proposal.signed(signature over proposal.digest)
    prepared = gateway.endorse(signed)          # EndorseError
    transaction = prepared.sign(identity)
    gateway.submit(transaction)                 # SubmitError
    question = CommitStatusRequest.build(identity.identity, prepared.channel, prepared.transaction_id)
    gateway.commit_status(question.sign(identity)).raise_if_invalid()   # CommitStatusError, CommitError

Every error says by `retry` what may be sent again. `Gateway` is the same for asyncio. This package needs grpcio,
cryptography and hyperledger-fabric-protos, and nothing of the project around it.
"""

from .blocking import BlockingGateway, Stream
from .client import ChainInfo, Deadlines, Gateway, Target, Tls
from .errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    EventsError,
    GatewayError,
    Retry,
    SubmitError,
    ValidationCode,
)
from .events import BlocksRequest, ChaincodeEvent, ChaincodeEventsRequest, Checkpoint
from .files import IdentityFiles
from .follow import follow_blocks, follow_chaincode_events
from .identity import Identity, PrivateKeySigner, Signer, SigningIdentity, low_s
from .message import MalformedMessage, Message, Signed
from .transaction import (
    CommitStatus,
    CommitStatusRequest,
    Committed,
    PreparedTransaction,
    Proposal,
    transaction_id,
)

__all__ = [
    "BlockingGateway",
    "BlocksRequest",
    "ChainInfo",
    "ChaincodeEvent",
    "ChaincodeEventsRequest",
    "Checkpoint",
    "CommitError",
    "CommitStatus",
    "CommitStatusError",
    "CommitStatusRequest",
    "Committed",
    "Deadlines",
    "EndorseError",
    "ErrorDetail",
    "EvaluateError",
    "EventsError",
    "Gateway",
    "GatewayError",
    "Identity",
    "IdentityFiles",
    "MalformedMessage",
    "Message",
    "PreparedTransaction",
    "PrivateKeySigner",
    "Proposal",
    "Retry",
    "Signed",
    "Signer",
    "SigningIdentity",
    "Stream",
    "SubmitError",
    "Target",
    "Tls",
    "ValidationCode",
    "follow_blocks",
    "follow_chaincode_events",
    "low_s",
    "transaction_id",
]
