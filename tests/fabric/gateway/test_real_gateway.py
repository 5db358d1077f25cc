"""The client on a real network of two organisations: what Fabric itself accepts, refuses and answers."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fabric_protos.common import common_pb2

from deploy.fabric.network import Network
from ledger_adapters.fabric.gateway import (
    BlockingGateway,
    ChaincodeEvent,
    Checkpoint,
    CommitError,
    CommitStatusError,
    CommitStatusRequest,
    Committed,
    Deadlines,
    EndorseError,
    EvaluateError,
    EventsError,
    GatewayError,
    PreparedTransaction,
    Proposal,
    Retry,
    Signed,
    SigningIdentity,
    SubmitError,
    Target,
    Tls,
    ValidationCode,
)
from ledger_adapters.fabric.gateway.identity import P256_ORDER
from tests.fabric.conftest import Client, Market
from tests.fabric.gateway.peer import certificate, private_pem

pytestmark = pytest.mark.fabric

Code = grpc.StatusCode
T = TypeVar("T")


def batch(market: Market, size: int = 1) -> bytes:
    """An argument of `submit` that writes where nothing else does."""
    return market.anchors(*range(size), area=secrets.randbits(200)).encode()


def ask(client: Client, transaction_id: str, channel: str) -> Signed[CommitStatusRequest]:
    return CommitStatusRequest.build(client.identity.identity, channel, transaction_id).sign(client.identity)


def high_s(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, max(s, P256_ORDER - s))


def test_each_step_starts_from_stored_bytes(founded: Market, utility: Client, community: Client) -> None:
    """Signed off-line, and each step sent through another peer than the one before."""
    proposal = Proposal.from_bytes(utility.propose(b"submit", batch(founded)).message.to_bytes())
    signature = utility.identity.signer.sign(proposal.digest)
    prepared = utility.gateway.endorse(Signed.from_bytes(Proposal, proposal.signed(signature).to_bytes()))
    prepared = PreparedTransaction.from_bytes(prepared.to_bytes())
    stored = prepared.signed(utility.identity.signer.sign(prepared.digest)).to_bytes()
    community.gateway.submit(Signed.from_bytes(PreparedTransaction, stored))
    question = CommitStatusRequest.build(utility.identity.identity, prepared.channel, proposal.transaction_id)
    stored = question.signed(utility.identity.signer.sign(question.digest)).to_bytes()
    for client in (utility, community):
        status = client.gateway.commit_status(Signed.from_bytes(CommitStatusRequest, stored))
        assert (status.transaction_id, status.valid) == (proposal.transaction_id, True)


@pytest.mark.parametrize("signature", ["high s", "of something else"])
def test_fabric_refuses_a_proposal_with_a_wrong_signature(founded: Market, utility: Client, signature: str) -> None:
    signed = utility.propose(b"genesis")
    wrong = high_s(signed.signature) if signature == "high s" else utility.propose(b"genesis").signature
    with pytest.raises(EvaluateError, match=r"access denied: channel \[market\] creator org \[UtilityMSP\]") as failed:
        utility.gateway.evaluate(replace(signed, signature=wrong))
    assert (failed.value.code, failed.value.retry) == (Code.FAILED_PRECONDITION, Retry.NONE)
    with pytest.raises(EndorseError) as refused:
        utility.gateway.endorse(replace(signed, signature=wrong))
    assert (refused.value.code, refused.value.retry) == (Code.ABORTED, Retry.NONE)
    assert refused.value.details[0].msp_id == "UtilityMSP"


def test_what_the_chaincode_refuses_can_be_read_from_the_error(founded: Market, utility: Client) -> None:
    signed = utility.propose(b"no such function")
    with pytest.raises(EndorseError) as refused:
        utility.gateway.endorse(signed)
    assert refused.value.transaction_id == signed.message.transaction_id
    assert refused.value.chaincode_response == (500, "unknown function, or not its number of arguments")
    assert {detail.msp_id for detail in refused.value.details} == {"UtilityMSP"}
    assert (refused.value.code, refused.value.retry) == (Code.ABORTED, Retry.NONE)
    with pytest.raises(EvaluateError) as failed:
        utility.gateway.evaluate(utility.propose(b"no such function"))
    assert failed.value.chaincode_response == refused.value.chaincode_response
    assert (failed.value.code, failed.value.retry) == (Code.UNKNOWN, Retry.NONE)


def test_a_transaction_sent_twice_takes_effect_once(founded: Market, utility: Client, community: Client) -> None:
    proposal = utility.propose(b"submit", batch(founded))
    transaction = utility.gateway.endorse(proposal).sign(utility.identity)
    utility.gateway.submit(transaction)
    question = ask(utility, transaction.message.transaction_id, transaction.message.channel)
    first = utility.gateway.commit_status(question)
    community.gateway.submit(transaction)
    # A later block holds the second copy by now; both peers still tell the first one's outcome.
    later = utility.submit(b"submit", batch(founded)).status
    assert later.block_number > first.block_number
    assert utility.gateway.commit_status(question) == first
    assert first.valid
    with pytest.raises(EndorseError) as refused:
        utility.gateway.endorse(proposal)
    assert (refused.value.duplicate, refused.value.retry) == (True, Retry.NONE)


def test_of_two_transactions_on_the_same_state_one_is_to_be_built_anew(founded: Market, utility: Client) -> None:
    argument = batch(founded)
    prepared = [utility.gateway.endorse(utility.propose(b"submit", argument)) for _ in range(2)]
    for each in prepared:
        utility.gateway.submit(each.sign(utility.identity))
    statuses = [utility.gateway.commit_status(ask(utility, each.transaction_id, each.channel)) for each in prepared]
    assert sorted(status.code for status in statuses) == [ValidationCode.VALID, ValidationCode.MVCC_READ_CONFLICT]
    with pytest.raises(CommitError) as conflict:
        next(status for status in statuses if not status.valid).raise_if_invalid()
    assert conflict.value.retry is Retry.NEW_TRANSACTION
    assert utility.submit(b"submit", argument).status.valid


def test_many_transactions_of_one_thread_are_in_flight(founded: Market, utility: Client) -> None:
    def start(proposal: Signed[Proposal]) -> Future[Committed]:
        return utility.gateway.start(lambda gateway: gateway.execute(proposal, utility.identity))

    futures = [start(utility.propose(b"submit", batch(founded))) for _ in range(40)]
    statuses = [future.result(60).status for future in futures]
    assert all(status.valid for status in statuses)
    assert len({status.block_number for status in statuses}) < 40


def test_the_status_of_an_unknown_transaction_does_not_come(founded: Market, utility: Client) -> None:
    with pytest.raises(CommitStatusError) as failed:
        utility.gateway.commit_status(ask(utility, "00" * 32, "market"), deadline=0.5)
    assert (failed.value.code, failed.value.retry) == (Code.DEADLINE_EXCEEDED, Retry.SAME_TRANSACTION)


def test_a_stranger_is_refused_in_every_phase(founded: Market, fabric_network: Network, utility: Client) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    stranger = SigningIdentity.from_pem("UtilityMSP", certificate(key, "stranger"), private_pem(key))
    made = fabric_network.description
    proposal = Proposal.build(stranger.identity, made.channel, made.chaincode, ["genesis"]).sign(stranger)
    question = CommitStatusRequest.build(stranger.identity, made.channel, "00" * 32).sign(stranger)
    prepared = utility.gateway.endorse(utility.propose(b"submit", batch(founded)))

    def refused(error: type[GatewayError], what: Any, *arguments: Any) -> None:
        with pytest.raises(error) as failed:
            what(*arguments)
        assert failed.value.retry is Retry.NONE, str(failed.value)

    refused(EvaluateError, utility.gateway.evaluate, proposal)
    refused(EndorseError, utility.gateway.endorse, proposal)
    refused(SubmitError, utility.gateway.submit, replace(prepared.sign(utility.identity), signature=b"0"))
    refused(CommitStatusError, utility.gateway.commit_status, question)
    for events in (
        utility.gateway.follow_chaincode_events(stranger, made.channel, made.chaincode, Checkpoint(0)),
        utility.gateway.follow_blocks(stranger, made.channel, 0),
    ):
        refused(EventsError, events.next, 10)


def test_transient_data_is_not_recorded(founded: Market, utility: Client, fabric_network: Network) -> None:
    secret = secrets.token_bytes(20)
    made = fabric_network.description
    proposal = Proposal.build(
        utility.identity.identity,
        made.channel,
        made.chaincode,
        [b"submit", batch(founded)],
        transient={"secret": secret},
        endorsing_organizations=list({each.msp_id for each in made.organisations.values()}),
    ).sign(utility.identity)
    assert secret in proposal.message.content
    prepared = utility.gateway.endorse(proposal)
    assert secret not in prepared.content
    utility.gateway.submit(prepared.sign(utility.identity))
    assert utility.gateway.commit_status(ask(utility, prepared.transaction_id, prepared.channel)).valid


def test_a_listener_goes_on_at_another_organisations_peer(founded: Market, utility: Client, community: Client) -> None:
    sent = [utility.submit(b"submit", batch(founded)).status for _ in range(3)]
    expected = [status.transaction_id for status in sent]
    with utility.events(Checkpoint(sent[0].block_number)) as events:
        seen: list[ChaincodeEvent] = []
        while not seen or seen[-1].transaction_id != expected[-1]:
            event = events.next(10)
            assert event is not None
            seen.append(event)
    ids = [event.transaction_id for event in seen]
    assert [id for id in ids if id in expected] == expected
    for at, event in enumerate(seen[:-1]):
        with community.events(event.checkpoint) as events:
            rest = [events.next(10) for _ in seen[at + 1 :]]
        assert rest == seen[at + 1 :]


def test_a_listener_without_a_start_hears_what_comes(founded: Market, utility: Client) -> None:
    utility.submit(b"submit", batch(founded))
    with utility.events() as events:
        assert events.next(1) is None
        status = utility.submit(b"submit", batch(founded)).status
        event = events.next(10)
    assert event is not None
    assert event.checkpoint == Checkpoint(status.block_number, status.transaction_id)


def test_blocks_are_whole_and_hang_together(founded: Market, utility: Client, fabric_network: Network) -> None:
    channel = fabric_network.description.channel
    committed = utility.submit(b"submit", batch(founded)).status
    info = utility.gateway.chain_info(utility.identity, channel)
    assert info.height > committed.block_number
    with utility.gateway.follow_blocks(utility.identity, channel, 0) as stream:
        blocks: list[Any] = [stream.next(10) for _ in range(info.height)]
    assert [block.header.number for block in blocks] == list(range(info.height))
    for block in blocks:
        assert block.header.data_hash == hashlib.sha256(b"".join(block.data.data)).digest()
    ids = [
        common_pb2.ChannelHeader.FromString(
            common_pb2.Payload.FromString(common_pb2.Envelope.FromString(data).payload).header.channel_header
        ).tx_id
        for data in blocks[committed.block_number].data.data
    ]
    assert committed.transaction_id in ids
    assert blocks[-1].header.previous_hash == info.previous_block_hash


def test_a_wrong_certificate_authority_is_told(founded: Market, utility: Client) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    wrong = replace(utility.gateway.target, tls=Tls(certificate(key, "localhost")))
    with (
        BlockingGateway(wrong) as gateway,
        pytest.raises(EvaluateError, match=r"(?i)certificate.verify.failed") as failed,
    ):
        gateway.evaluate(utility.propose(b"genesis"))
    assert failed.value.code is Code.UNAVAILABLE


def test_calls_beyond_the_peers_limit_are_to_be_tried_again(founded: Market, utility: Client) -> None:
    """More than `peer.limits.concurrency.gatewayService`, all waiting for a commit that does not come."""
    over = Target(utility.gateway.target.address, utility.gateway.target.tls, concurrency=1000)
    with BlockingGateway(over, Deadlines(commit_status=4)) as gateway:
        question = ask(utility, "00" * 32, "market")
        futures = [gateway.start(lambda each: each.commit_status(question)) for _ in range(520)]
        errors = [future.exception(30) for future in futures]
    assert all(isinstance(error, CommitStatusError) for error in errors)
    refused = [error for error in errors if isinstance(error, CommitStatusError) and error.code is Code.UNKNOWN]
    assert len(refused) >= 20
    assert all("too many requests" in error.message and error.retry is Retry.SAME_TRANSACTION for error in refused)


@pytest.mark.parametrize(
    ("channel", "chaincode", "organisations", "message"),
    [
        ("market", "nothing", [], "chaincode nothing"),
        ("nowhere", "market", [], "channel .?nowhere"),
        ("market", "market", ["NobodyMSP"], "NobodyMSP|no peers available"),
    ],
)
def test_a_wrong_name_is_in_the_error_but_may_only_be_not_known_yet(
    founded: Market, utility: Client, channel: str, chaincode: str, organisations: list[str], message: str
) -> None:
    proposal = Proposal.build(
        utility.identity.identity, channel, chaincode, ["genesis"], endorsing_organizations=organisations
    ).sign(utility.identity)
    for call in (utility.gateway.evaluate, utility.gateway.endorse):
        with pytest.raises(GatewayError, match=message) as failed:
            call(proposal)
        assert failed.value.retry is Retry.SAME_TRANSACTION


@pytest.fixture
def killed(fabric_network: Network, utility: Client, community: Client) -> Iterator[Callable[[str], None]]:
    """Ends a process of the network for the rest of the test."""
    names: list[str] = []

    def kill(name: str) -> None:
        names.append(name)
        fabric_network.kill(name)

    yield kill
    for name in names:
        fabric_network.restart(name)
    # Each peer pauses between attempts to reach the others and the orderer again.
    for client in (utility, community):
        again(partial(client.submit, b"read", b""))


@pytest.mark.parametrize("name", ["peer-community", "chaincode-community"])
def test_without_the_other_organisation_a_transaction_waits(
    founded: Market, utility: Client, fabric_network: Network, killed: Callable[[str], None], name: str
) -> None:
    proposal = utility.propose(b"submit", batch(founded))
    killed(name)
    with pytest.raises(EndorseError) as failed:
        utility.gateway.endorse(proposal)
    assert (failed.value.retry, failed.value.chaincode_response) == (Retry.SAME_TRANSACTION, None)
    assert failed.value.code in {Code.ABORTED, Code.FAILED_PRECONDITION}
    fabric_network.restart(name)
    prepared = again(lambda: utility.gateway.endorse(proposal))
    utility.gateway.submit(prepared.sign(utility.identity))
    assert utility.gateway.commit_status(ask(utility, prepared.transaction_id, prepared.channel)).valid


def test_without_an_orderer_the_outcome_is_unknown_and_the_same_bytes_go_through_later(
    founded: Market, utility: Client, fabric_network: Network, killed: Callable[[str], None]
) -> None:
    transaction = utility.gateway.endorse(utility.propose(b"submit", batch(founded))).sign(utility.identity)
    killed("orderer")
    with pytest.raises(SubmitError) as failed:
        utility.gateway.submit(transaction)
    assert (failed.value.code, failed.value.outcome_unknown) == (Code.UNAVAILABLE, True)
    assert [detail.msp_id for detail in failed.value.details] == ["OrdererMSP"]
    question = ask(utility, transaction.message.transaction_id, transaction.message.channel)
    with pytest.raises(CommitStatusError) as unknown:
        utility.gateway.commit_status(question, deadline=0.5)
    assert unknown.value.code is Code.DEADLINE_EXCEEDED
    fabric_network.restart("orderer")
    again(lambda: utility.gateway.submit(transaction))
    assert utility.gateway.commit_status(question).valid


def test_a_listener_outlives_the_peer(
    founded: Market, utility: Client, community: Client, fabric_network: Network, killed: Callable[[str], None]
) -> None:
    before = community.submit(b"submit", batch(founded)).status
    with utility.events(Checkpoint(before.block_number, before.transaction_id)) as events:
        expected = [community.submit(b"submit", batch(founded)).status.transaction_id for _ in range(2)]
        heard = [events.next(10) for _ in expected]
        waiting = community.gateway.endorse(community.propose(b"submit", batch(founded))).sign(community.identity)
        killed("peer-utility")
        with pytest.raises(EvaluateError) as failed:
            utility.gateway.evaluate(utility.propose(b"genesis"))
        assert (failed.value.code, failed.value.retry) == (Code.UNAVAILABLE, Retry.SAME_TRANSACTION)
        # Ordered and committed at the other peer while the listener's is away.
        community.gateway.submit(waiting)
        expected.append(waiting.message.transaction_id)
        assert community.gateway.commit_status(ask(community, expected[-1], waiting.message.channel)).valid
        assert events.next(1) is None
        fabric_network.restart("peer-utility")
        expected.append(again(lambda: community.submit(b"submit", batch(founded))).status.transaction_id)
        heard += [events.next(30) for _ in range(2)]
        assert events.next(1) is None
    assert [event.transaction_id for event in heard if event is not None] == expected


def again(do: Callable[[], T], seconds: float = 60) -> T:
    """Try as long as the error says that it is right to."""
    end = time.monotonic() + seconds
    while True:
        try:
            return do()
        except GatewayError as error:
            if error.retry is not Retry.SAME_TRANSACTION or time.monotonic() > end:
                raise
            time.sleep(0.2)
