"""Transactions through Fabric's Gateway service, one after another: endorse, submit, wait for the commit."""

import hashlib
import secrets
from pathlib import Path
from typing import Any, Self

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.gateway.gateway_pb2_grpc import GatewayStub
from fabric_protos.msp.identities_pb2 import SerializedIdentity
from fabric_protos.peer import chaincode_pb2, proposal_pb2
from fabric_protos.peer.proposal_response_pb2 import ProposalResponsePayload
from fabric_protos.peer.transaction_pb2 import ChaincodeActionPayload, Transaction, TxValidationCode

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Gateway:
    """One organisation's client of its own peer. `options` are those of a Fabric ledger in `LEDGERS`."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.channel, self.chaincode = options["CHANNEL"], options["CHAINCODE"]
        certificate = Path(options["CERTIFICATE"]).read_bytes()
        self._creator = SerializedIdentity(mspid=options["MSP_ID"], id_bytes=certificate).SerializeToString()
        key = load_pem_private_key(Path(options["PRIVATE_KEY"]).read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        credentials = grpc.ssl_channel_credentials(Path(options["TLS_CA"]).read_bytes())
        self._connection = grpc.secure_channel(options["ADDRESS"], credentials)
        self._stub = GatewayStub(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def submit(self, *arguments: bytes) -> bytes:
        """What the chaincode returned, once the transaction is in a block and valid."""
        nonce = secrets.token_bytes(24)
        name = hashlib.sha256(nonce + self._creator).hexdigest()
        proposal = self._proposal(name, nonce, arguments)
        request = gateway_pb2.EndorseRequest(
            transaction_id=name,
            channel_id=self.channel,
            proposed_transaction=proposal_pb2.SignedProposal(proposal_bytes=proposal, signature=self._sign(proposal)),
        )
        prepared = self._stub.Endorse(request, timeout=30).prepared_transaction
        prepared.signature = self._sign(prepared.payload)
        transaction = gateway_pb2.SubmitRequest(
            transaction_id=name, channel_id=self.channel, prepared_transaction=prepared
        )
        self._stub.Submit(transaction, timeout=30)
        self._wait(name)
        return _result(prepared.payload)

    def _wait(self, name: str) -> None:
        question = gateway_pb2.CommitStatusRequest(
            transaction_id=name, channel_id=self.channel, identity=self._creator
        ).SerializeToString()
        signed = gateway_pb2.SignedCommitStatusRequest(request=question, signature=self._sign(question))
        status = self._stub.CommitStatus(signed, timeout=60)
        if status.result != TxValidationCode.VALID:
            raise RuntimeError(f"transaction {name} is invalid: {TxValidationCode.Name(status.result)}")

    def _proposal(self, name: str, nonce: bytes, arguments: tuple[bytes, ...]) -> bytes:
        chaincode = chaincode_pb2.ChaincodeID(name=self.chaincode)
        channel_header = common_pb2.ChannelHeader(
            type=common_pb2.HeaderType.ENDORSER_TRANSACTION,
            channel_id=self.channel,
            tx_id=name,
            extension=proposal_pb2.ChaincodeHeaderExtension(chaincode_id=chaincode).SerializeToString(),
        )
        channel_header.timestamp.GetCurrentTime()
        header = common_pb2.Header(
            channel_header=channel_header.SerializeToString(),
            signature_header=common_pb2.SignatureHeader(creator=self._creator, nonce=nonce).SerializeToString(),
        )
        spec = chaincode_pb2.ChaincodeSpec(
            type=chaincode_pb2.ChaincodeSpec.GOLANG,
            chaincode_id=chaincode,
            input=chaincode_pb2.ChaincodeInput(args=arguments),
        )
        call = chaincode_pb2.ChaincodeInvocationSpec(chaincode_spec=spec).SerializeToString()
        content = proposal_pb2.ChaincodeProposalPayload(input=call).SerializeToString()
        proposal: bytes = proposal_pb2.Proposal(header=header.SerializeToString(), payload=content).SerializeToString()
        return proposal

    def _sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(SHA256())))
        return encode_dss_signature(r, min(s, ORDER - s))


def _result(payload: bytes) -> bytes:
    transaction = Transaction.FromString(common_pb2.Payload.FromString(payload).data)
    action = ChaincodeActionPayload.FromString(transaction.actions[0].payload).action
    response = ProposalResponsePayload.FromString(action.proposal_response_payload)
    result: bytes = proposal_pb2.ChaincodeAction.FromString(response.extension).response.payload
    return result
