"""The border between client and network: real gRPC calls of a stand-in for a peer (see peer.py)."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger_adapters.fabric.gateway import (
    CommitError,
    CommitStatusError,
    CommitStatusRequest,
    Deadlines,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    Gateway,
    GatewayError,
    MalformedMessage,
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
from tests.fabric.gateway.peer import CHAINCODE, CHANNEL, Peer, Refusal, certificate, envelope, private_pem

Code = grpc.StatusCode
T = TypeVar("T")


def propose(identity: SigningIdentity, *args: bytes | str) -> Signed[Proposal]:
    return Proposal.build(identity.identity, CHANNEL, CHAINCODE, args or ["Set", b"\x00"]).sign(identity)


def prepare(identity: SigningIdentity, proposal: Signed[Proposal]) -> Signed[PreparedTransaction]:
    return PreparedTransaction(envelope(proposal.message.content, b"").payload).sign(identity)


def call(identity: SigningIdentity, phase: type[GatewayError]) -> tuple[str, Callable[[Gateway], Awaitable[Any]], str]:
    """Name of the RPC, the call that ends in an error of `phase`, and its transaction id."""
    proposal = propose(identity)
    id = proposal.message.transaction_id
    transaction = prepare(identity, proposal)
    question = CommitStatusRequest.build(identity.identity, CHANNEL, id).sign(identity)
    return {
        EvaluateError: ("Evaluate", lambda gateway: gateway.evaluate(proposal), id),
        EndorseError: ("Endorse", lambda gateway: gateway.endorse(proposal), id),
        SubmitError: ("Submit", lambda gateway: gateway.submit(transaction), id),
        CommitStatusError: ("CommitStatus", lambda gateway: gateway.commit_status(question), id),
    }[phase]


each_phase = pytest.mark.parametrize("phase", [EvaluateError, EndorseError, SubmitError, CommitStatusError])


def run(target: Target | Peer, work: Callable[[Gateway], Awaitable[T]], deadlines: Deadlines | None = None) -> T:
    async def connected() -> T:
        chosen = target if isinstance(target, Target) else Target(target.address)
        async with Gateway(chosen, deadlines) as gateway:
            return await work(gateway)

    return asyncio.run(connected())


def test_a_query_returns_what_the_chaincode_answers(peer: Peer, identity: SigningIdentity) -> None:
    assert run(peer, lambda gateway: gateway.evaluate(propose(identity, "Read", b"\xff"))) == b"Read|\xff"


def test_a_transaction_goes_through_all_phases(peer: Peer, identity: SigningIdentity) -> None:
    committed = run(peer, lambda gateway: gateway.execute(propose(identity), identity))
    assert committed.result == b"Set|\x00"
    assert (committed.status.valid, committed.status.block_number) == (True, 7)
    assert peer.calls == ["Endorse", "Submit", "CommitStatus"]


def test_each_message_can_be_stored_and_sent_by_another_process(peer: Peer, identity: SigningIdentity) -> None:
    """Every step starts from bytes alone, and the key is only used on digests."""

    def sign_elsewhere(digest: bytes) -> bytes:
        return identity.signer.sign(digest)

    proposal = Proposal.build(identity.identity, CHANNEL, CHAINCODE, ["Set"])
    stored = proposal.signed(sign_elsewhere(proposal.digest)).to_bytes()
    prepared = run(peer, lambda gateway: gateway.endorse(Signed.from_bytes(Proposal, stored)))
    stored = prepared.signed(sign_elsewhere(prepared.digest)).to_bytes()
    run(peer, lambda gateway: gateway.submit(Signed.from_bytes(PreparedTransaction, stored)))
    question = CommitStatusRequest.build(identity.identity, CHANNEL, proposal.transaction_id)
    stored = question.signed(sign_elsewhere(question.digest)).to_bytes()
    status = run(peer, lambda gateway: gateway.commit_status(Signed.from_bytes(CommitStatusRequest, stored)))
    assert (status.transaction_id, status.valid) == (proposal.transaction_id, True)


def test_the_same_transaction_is_sent_again_byte_for_byte(peer: Peer, identity: SigningIdentity) -> None:
    transaction = prepare(identity, propose(identity))
    peer.faults["Submit"] = [Refusal(Code.UNAVAILABLE, "no orderers could successfully process transaction")]
    with pytest.raises(SubmitError) as failed:
        run(peer, lambda gateway: gateway.submit(transaction))
    assert (failed.value.retry, failed.value.outcome_unknown) == (Retry.SAME_TRANSACTION, True)
    for _ in range(2):
        run(peer, lambda gateway: gateway.submit(Signed.from_bytes(PreparedTransaction, transaction.to_bytes())))
    assert len(peer.submitted) == 2
    assert peer.submitted[0] == peer.submitted[1]


def test_an_invalid_transaction_is_an_error_of_its_own(peer: Peer, identity: SigningIdentity) -> None:
    proposal = propose(identity)
    peer.codes[proposal.message.transaction_id] = ValidationCode.MVCC_READ_CONFLICT
    with pytest.raises(CommitError) as failed:
        run(peer, lambda gateway: gateway.execute(proposal, identity))
    assert failed.value.transaction_id == proposal.message.transaction_id
    assert (failed.value.code, failed.value.block_number) == (ValidationCode.MVCC_READ_CONFLICT, 7)
    assert failed.value.retry is Retry.NEW_TRANSACTION


@each_phase
def test_what_the_peers_said_is_in_the_error(phase: type[GatewayError], peer: Peer, identity: SigningIdentity) -> None:
    method, work, id = call(identity, phase)
    said = [("peer0:7051", "Org1MSP", "chaincode response 500, nö"), ("peer0:9051", "Org2MSP", "x" * 300)]
    peer.faults[method] = [Refusal(Code.ABORTED, "failed to endorse transaction, see attached details", *said)]
    with pytest.raises(phase, match="failed to endorse transaction") as failed:
        run(peer, work)
    assert failed.value.code is Code.ABORTED
    assert failed.value.transaction_id == id
    assert failed.value.details == tuple(ErrorDetail(*detail) for detail in said)


@each_phase
def test_a_peer_that_is_not_there_is_unavailable(
    phase: type[GatewayError], peer: Peer, identity: SigningIdentity
) -> None:
    peer.stop()
    _, work, id = call(identity, phase)
    with pytest.raises(phase) as failed:
        run(peer, work)
    assert (failed.value.code, failed.value.retry) == (Code.UNAVAILABLE, Retry.SAME_TRANSACTION)
    assert (failed.value.transaction_id, failed.value.details) == (id, ())


@each_phase
def test_a_peer_that_hangs_is_given_up_at_the_deadline(
    phase: type[GatewayError], peer: Peer, identity: SigningIdentity
) -> None:
    method, work, _ = call(identity, phase)
    peer.faults[method] = [60.0]
    started = time.monotonic()
    with pytest.raises(phase) as failed:
        run(peer, work, Deadlines(0.3, 0.3, 0.3, 0.3))
    assert (failed.value.code, failed.value.retry) == (Code.DEADLINE_EXCEEDED, Retry.SAME_TRANSACTION)
    assert 0.3 <= time.monotonic() - started < 3


@each_phase
def test_a_connection_cut_during_a_call_is_an_error_of_its_phase(
    phase: type[GatewayError], peer: Peer, identity: SigningIdentity
) -> None:
    method, work, _ = call(identity, phase)
    peer.faults[method] = [60.0]

    async def cut(gateway: Gateway) -> None:
        under_way = asyncio.ensure_future(work(gateway))
        await until(lambda: method in peer.calls)
        await asyncio.to_thread(peer.stop)
        await under_way

    with pytest.raises(phase) as failed:
        run(peer, cut)
    assert failed.value.retry is Retry.SAME_TRANSACTION


def test_a_status_that_does_not_come_is_not_known(peer: Peer, identity: SigningIdentity) -> None:
    question = CommitStatusRequest.build(identity.identity, CHANNEL, "ab").sign(identity)
    with pytest.raises(CommitStatusError) as failed:
        run(peer, lambda gateway: gateway.commit_status(question, deadline=0.2))
    assert failed.value.code is Code.DEADLINE_EXCEEDED


def test_a_wrong_signature_is_refused_for_good(peer: Peer, identity: SigningIdentity) -> None:
    proposal = propose(identity)
    other = propose(identity, "Other")
    with pytest.raises(EndorseError) as failed:
        run(peer, lambda gateway: gateway.endorse(Signed(proposal.message, other.signature)))
    assert (failed.value.code, failed.value.retry) == (Code.PERMISSION_DENIED, Retry.NONE)


def test_a_peer_that_prepares_another_call_gets_no_signature(peer: Peer, identity: SigningIdentity) -> None:
    peer.prepares = propose(identity, "Steal").message.content
    with pytest.raises(MalformedMessage, match="another transaction"):
        run(peer, lambda gateway: gateway.execute(propose(identity), identity))
    assert peer.calls == ["Endorse"]


def test_garbled_details_leave_code_and_message(peer: Peer, identity: SigningIdentity) -> None:
    method, work, _ = call(identity, EndorseError)
    peer.faults[method] = [Refusal(Code.ABORTED, "see details", packed=b"\xff\xff")]
    with pytest.raises(EndorseError, match="see details") as failed:
        run(peer, work)
    assert (failed.value.code, failed.value.details) == (Code.ABORTED, ())


def test_no_more_calls_are_under_way_than_the_peer_takes(peer: Peer, identity: SigningIdentity) -> None:
    peer.faults["Evaluate"] = [0.1] * 12

    async def many(gateway: Gateway) -> list[bytes]:
        return await asyncio.gather(*(gateway.evaluate(propose(identity, str(n))) for n in range(12)))

    assert run(Target(peer.address, concurrency=3), many) == [str(n).encode() for n in range(12)]
    assert peer.most_running == 3


def test_the_wait_for_a_turn_counts(peer: Peer, identity: SigningIdentity) -> None:
    peer.faults["Evaluate"] = [5.0]

    async def two(gateway: Gateway) -> list[bytes | BaseException]:
        calls = (gateway.evaluate(propose(identity), deadline=0.3) for _ in range(2))
        return await asyncio.gather(*calls, return_exceptions=True)

    failed = run(Target(peer.address, concurrency=1), two)
    assert [error.code for error in failed if isinstance(error, EvaluateError)] == [Code.DEADLINE_EXCEEDED] * 2
    assert peer.calls == ["Evaluate"]


@each_phase
def test_closing_ends_calls_under_way_with_an_error(
    phase: type[GatewayError], peer: Peer, identity: SigningIdentity
) -> None:
    method, work, _ = call(identity, phase)
    peer.faults[method] = [60.0]

    async def close(gateway: Gateway) -> None:
        under_way = asyncio.ensure_future(work(gateway))
        await until(lambda: method in peer.calls)
        await gateway.close()
        await under_way

    with pytest.raises(phase) as failed:
        run(peer, close)
    assert (failed.value.code, failed.value.retry) == (Code.CANCELLED, Retry.SAME_TRANSACTION)


def test_a_closed_gateway_sends_nothing(peer: Peer, identity: SigningIdentity) -> None:
    async def late(gateway: Gateway) -> None:
        await gateway.close()
        await gateway.evaluate(propose(identity))

    with pytest.raises(EvaluateError, match="the gateway is closed"):
        run(peer, late)
    assert peer.calls == []


def test_a_cancelled_task_stays_cancelled(peer: Peer, identity: SigningIdentity) -> None:
    peer.faults["Evaluate"] = [60.0]

    async def cancel(gateway: Gateway) -> None:
        under_way = asyncio.ensure_future(gateway.evaluate(propose(identity)))
        await until(lambda: "Evaluate" in peer.calls)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way

    run(peer, cancel)


def test_an_error_keeps_no_channel_alive(peer: Peer, identity: SigningIdentity) -> None:
    """Or a process could not fork any more: gRPC's threads end with the last channel."""
    peer.faults["Evaluate"] = [Refusal(Code.ABORTED, "no")]
    with pytest.raises(EvaluateError) as kept:
        run(peer, lambda gateway: gateway.evaluate(propose(identity)))
    gc.collect()
    assert kept.value.__cause__ is kept.value.__context__ is None
    assert not [thing for thing in gc.get_objects() if isinstance(thing, grpc.aio.Channel)]


def test_the_height_of_the_chain_is_known(peer: Peer, identity: SigningIdentity) -> None:
    peer.commit(("aa", b""))
    info = run(peer, lambda gateway: gateway.chain_info(identity, CHANNEL))
    assert (info.height, info.current_block_hash) == (2, b"c")


def test_tls_checks_the_peers_name_and_shows_the_clients_certificate(identity: SigningIdentity) -> None:
    server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    server_certificate = certificate(server_key, "peer.example")
    client_certificate = certificate(client_key, "app.example")
    credentials = grpc.ssl_server_credentials(
        [(private_pem(server_key), server_certificate)], client_certificate, require_client_auth=True
    )
    peer = Peer.start(credentials)
    mine = {"certificate": client_certificate, "private_key": private_pem(client_key)}
    try:

        def ask(tls: Tls) -> bytes:
            return run(Target(peer.address, tls), lambda gateway: gateway.evaluate(propose(identity, "Read"), 2))

        assert ask(Tls(server_certificate, "peer.example", **mine)) == b"Read"
        for wrong in (
            Tls(server_certificate, "other.example", **mine),
            Tls(client_certificate, "peer.example", **mine),
            Tls(server_certificate, "peer.example"),
        ):
            with pytest.raises(EvaluateError) as failed:
                ask(wrong)
            assert failed.value.code is Code.UNAVAILABLE
    finally:
        peer.stop()


def test_half_a_client_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="come together"):
        Tls(b"", certificate=b"")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
