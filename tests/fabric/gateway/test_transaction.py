"""Messages, without a network: what is in them, what is signed, and that they survive storage."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, transaction_pb2

from ledger_adapters.fabric.gateway import (
    BlocksRequest,
    ChaincodeEventsRequest,
    Checkpoint,
    CommitStatusRequest,
    MalformedMessage,
    Message,
    PreparedTransaction,
    Proposal,
    Signed,
    SigningIdentity,
    ValidationCode,
)
from ledger_adapters.fabric.gateway.identity import P256_ORDER, Identity
from tests.fabric.gateway.peer import CHAINCODE, CHANNEL, certificate, envelope

TIME = datetime(2026, 11, 21, 12, 30, 15, 250_000, tzinfo=UTC)


def build(identity: SigningIdentity) -> Proposal:
    return Proposal.build(
        identity.identity,
        CHANNEL,
        CHAINCODE,
        ["Tränsfer", b"\x00\xff"],
        transient={"price": b"\x80"},
        endorsing_organizations=["Org1MSP", "Org2MSP"],
        time=TIME,
    )


def prepare(identity: SigningIdentity) -> PreparedTransaction:
    return PreparedTransaction(envelope(build(identity).content, b"result").payload)


KINDS: dict[str, Callable[[SigningIdentity], Message]] = {
    "proposal": build,
    "prepared transaction": prepare,
    "commit status": lambda identity: CommitStatusRequest.build(identity.identity, CHANNEL, "aa"),
    "events": lambda identity: ChaincodeEventsRequest.build(identity.identity, CHANNEL, CHAINCODE, Checkpoint(7, "aa")),
    "blocks": lambda identity: BlocksRequest.build(identity.identity, CHANNEL, 3, 5),
}


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def message(request: pytest.FixtureRequest, identity: SigningIdentity) -> Message:
    built: Message = request.param(identity)
    return built


def test_a_proposal_is_laid_out_as_the_official_clients_do(identity: SigningIdentity) -> None:
    proposal = proposal_pb2.Proposal.FromString(build(identity).content)
    header = common_pb2.Header.FromString(proposal.header)
    channel = common_pb2.ChannelHeader.FromString(header.channel_header)
    assert (channel.type, channel.version, channel.epoch, channel.channel_id) == (3, 0, 0, CHANNEL)
    assert channel.timestamp.ToDatetime(tzinfo=UTC) == TIME
    extension = proposal_pb2.ChaincodeHeaderExtension.FromString(channel.extension)
    assert extension == proposal_pb2.ChaincodeHeaderExtension(chaincode_id=chaincode_pb2.ChaincodeID(name=CHAINCODE))
    payload = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
    assert dict(payload.TransientMap) == {"price": b"\x80"}
    spec = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input).chaincode_spec
    assert (spec.type, spec.chaincode_id.name) == (2, CHAINCODE)
    assert list(spec.input.args) == ["Tränsfer".encode(), b"\x00\xff"]


def test_the_transaction_id_is_the_hash_of_nonce_and_creator(identity: SigningIdentity) -> None:
    proposal = build(identity)
    header = common_pb2.Header.FromString(proposal_pb2.Proposal.FromString(proposal.content).header)
    signature = common_pb2.SignatureHeader.FromString(header.signature_header)
    assert len(signature.nonce) == 24
    assert signature.creator == identity.identity.creator
    assert proposal.transaction_id == hashlib.sha256(signature.nonce + signature.creator).hexdigest()
    assert common_pb2.ChannelHeader.FromString(header.channel_header).tx_id == proposal.transaction_id


def test_every_proposal_is_a_transaction_of_its_own(identity: SigningIdentity) -> None:
    assert len({build(identity).transaction_id for _ in range(20)}) == 20


def test_without_a_time_a_proposal_bears_the_present(identity: SigningIdentity) -> None:
    before = datetime.now(UTC)
    assert before <= Proposal.build(identity.identity, CHANNEL, CHAINCODE, ["f"]).time <= datetime.now(UTC)


def test_a_message_is_stored_unsigned_and_restored(message: Message) -> None:
    assert type(message).from_bytes(message.to_bytes()) == message


def test_a_message_is_stored_signed_and_restored(message: Message, identity: SigningIdentity) -> None:
    signed = message.sign(identity)
    assert Signed.from_bytes(type(message), signed.to_bytes()) == signed


def test_what_is_not_signed_cannot_be_restored_as_signed(message: Message) -> None:
    with pytest.raises(MalformedMessage, match="is not signed"):
        Signed.from_bytes(type(message), message.to_bytes())


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"\x0a\x02\xff\xff"])
def test_foreign_bytes_are_no_message(message: Message, data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        type(message).from_bytes(data)


def test_a_message_is_signed_elsewhere_by_its_digest(message: Message) -> None:
    """As a browser or an HSM does it: only the digest is handed over, and the answer has high s half of the time."""
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(message.digest, ec.ECDSA(Prehashed(SHA256()))))
    signed = message.signed(encode_dss_signature(r, max(s, P256_ORDER - s)))
    assert decode_dss_signature(signed.signature) == (r, min(s, P256_ORDER - s))
    key.public_key().verify(signed.signature, message.content, ec.ECDSA(SHA256()))


def test_what_is_signed_is_what_the_peer_verifies(identity: SigningIdentity) -> None:
    """The bytes that Fabric takes out of each stored form to check the signature over."""
    proposed = gateway_pb2.ProposedTransaction.FromString(build(identity).to_bytes())
    assert Proposal.from_bytes(proposed.SerializeToString()).content == proposed.proposal.proposal_bytes
    prepared = gateway_pb2.PreparedTransaction.FromString(prepare(identity).to_bytes())
    assert PreparedTransaction.from_bytes(prepared.SerializeToString()).content == prepared.envelope.payload
    asked = CommitStatusRequest.build(identity.identity, CHANNEL, "aa")
    assert gateway_pb2.SignedCommitStatusRequest.FromString(asked.to_bytes()).request == asked.content
    assert gateway_pb2.CommitStatusRequest.FromString(asked.content) == gateway_pb2.CommitStatusRequest(
        transaction_id="aa", channel_id=CHANNEL, identity=identity.identity.creator
    )


def test_a_proposal_keeps_its_organisations_in_storage(identity: SigningIdentity) -> None:
    assert Proposal.from_bytes(build(identity).to_bytes()).endorsing_organizations == ("Org1MSP", "Org2MSP")


@pytest.mark.parametrize("kind", [Proposal, PreparedTransaction])
def test_a_transaction_stored_under_another_id_is_refused(
    kind: type[Proposal | PreparedTransaction], identity: SigningIdentity
) -> None:
    message = build(identity) if kind is Proposal else prepare(identity)
    stored = message.to_bytes().replace(message.transaction_id.encode(), b"0" * 64, 1)
    with pytest.raises(MalformedMessage, match="is stored as 000"):
        kind.from_bytes(stored)


def test_a_prepared_transaction_tells_its_result_channel_and_id(identity: SigningIdentity) -> None:
    proposal = build(identity)
    prepared = PreparedTransaction(envelope(proposal.content, b"result").payload)
    assert (prepared.result, prepared.channel) == (b"result", CHANNEL)
    assert prepared.transaction_id == proposal.transaction_id
    prepared.check_answers(proposal)


def test_a_transaction_of_another_proposal_is_no_answer(identity: SigningIdentity) -> None:
    prepared = prepare(identity)
    with pytest.raises(MalformedMessage, match="another transaction"):
        prepared.check_answers(build(identity))


def test_another_call_under_the_same_header_is_no_answer(identity: SigningIdentity) -> None:
    asked = proposal_pb2.Proposal.FromString(build(identity).content)
    other = proposal_pb2.Proposal.FromString(Proposal.build(identity.identity, CHANNEL, CHAINCODE, ["Steal"]).content)
    forged = proposal_pb2.Proposal(header=asked.header, payload=other.payload)
    prepared = PreparedTransaction(envelope(forged.SerializeToString(), b"").payload)
    with pytest.raises(MalformedMessage, match="changed the call"):
        prepared.check_answers(Proposal(asked.SerializeToString()))


def test_a_transaction_with_two_actions_has_no_result(identity: SigningIdentity) -> None:
    payload = common_pb2.Payload.FromString(prepare(identity).content)
    transaction = transaction_pb2.Transaction.FromString(payload.data)
    transaction.actions.append(transaction.actions[0])
    payload.data = transaction.SerializeToString()
    with pytest.raises(MalformedMessage, match="2 actions"):
        _ = PreparedTransaction(payload.SerializeToString()).result


@pytest.mark.parametrize(
    ("start", "position", "after"),
    [
        (None, ab_pb2.SeekPosition(next_commit=ab_pb2.SeekNextCommit()), ""),
        (Checkpoint(0), ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=0)), ""),
        (Checkpoint(7, "aa"), ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=7)), "aa"),
    ],
)
def test_events_are_asked_for_from_a_checkpoint(
    identity: SigningIdentity, start: Checkpoint | None, position: object, after: str
) -> None:
    built = ChaincodeEventsRequest.build(identity.identity, CHANNEL, CHAINCODE, start)
    request = gateway_pb2.ChaincodeEventsRequest.FromString(built.content)
    assert (request.start_position, request.after_transaction_id) == (position, after)
    assert (request.channel_id, request.chaincode_id) == (CHANNEL, CHAINCODE)
    assert request.identity == identity.identity.creator


def test_blocks_are_asked_for_by_a_seek_envelope(identity: SigningIdentity) -> None:
    built = BlocksRequest.build(identity.identity, CHANNEL, 3, 5, tls_certificate_hash=b"h" * 32)
    payload = common_pb2.Payload.FromString(built.content)
    header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
    assert (header.type, header.channel_id, header.tls_cert_hash) == (5, CHANNEL, b"h" * 32)
    creator = common_pb2.SignatureHeader.FromString(payload.header.signature_header).creator
    assert creator == identity.identity.creator
    seek = ab_pb2.SeekInfo.FromString(payload.data)
    assert (seek.start.specified.number, seek.stop.specified.number) == (3, 5)
    assert seek.behavior == ab_pb2.SeekInfo.SeekBehavior.BLOCK_UNTIL_READY


def test_validation_codes_are_those_of_fabric() -> None:
    assert {code.name: code.value for code in ValidationCode} == dict(transaction_pb2.TxValidationCode.items())


def test_a_public_identity_is_enough_to_build_every_message() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    identity = Identity("Org1MSP", certificate(key, "user1"))
    assert Proposal.build(identity, CHANNEL, CHAINCODE, ["f"]).channel == CHANNEL


def test_transient_data_is_not_in_what_is_logged(identity: SigningIdentity) -> None:
    proposal = Proposal.build(identity.identity, CHANNEL, CHAINCODE, ["f"], transient={"price": b"secret"})
    assert b"secret" in proposal.content
    assert "secret" not in repr(proposal.sign(identity))
