"""The synchronous gateway: threads, its one event loop, closing and forking. The peer is a stand-in (see peer.py)."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from ledger_adapters.fabric.gateway import (
    BlockingGateway,
    BlocksRequest,
    ChaincodeEventsRequest,
    Checkpoint,
    Deadlines,
    EvaluateError,
    EventsError,
    Proposal,
    Retry,
    Signed,
    SigningIdentity,
    Target,
)
from tests.fabric.gateway.peer import CHAINCODE, CHANNEL, Peer, Refusal, private_pem

Code = grpc.StatusCode
START = Checkpoint(0)


@pytest.fixture
def gateway(peer: Peer) -> Iterator[BlockingGateway]:
    with BlockingGateway(Target(peer.address, reconnect=0.2)) as gateway:
        yield gateway


def propose(identity: SigningIdentity, *args: bytes | str) -> Signed[Proposal]:
    return Proposal.build(identity.identity, CHANNEL, CHAINCODE, args or ["Set"]).sign(identity)


def loops() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fabric-gateway"]


def test_many_threads_have_transactions_in_flight_on_one_loop(
    peer: Peer, gateway: BlockingGateway, identity: SigningIdentity
) -> None:
    peer.faults["Endorse"] = [0.2] * 20

    def one(number: int) -> bytes:
        return gateway.execute(propose(identity, "Set", str(number)), identity).result

    with BlockingGateway(Target(peer.address)) as other, ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(20))) == [f"Set|{n}".encode() for n in range(20)]
        assert other.evaluate(propose(identity, "Read")) == b"Read"
        assert len(loops()) == 1
    assert peer.most_running > 10


def test_one_thread_has_many_transactions_in_flight(
    peer: Peer, gateway: BlockingGateway, identity: SigningIdentity
) -> None:
    peer.faults["Endorse"] = [0.2] * 20
    proposals = [propose(identity, "Set", str(number)) for number in range(20)]
    futures = [gateway.start(lambda g, p=proposal: g.execute(p, identity)) for proposal in proposals]  # type: ignore[misc]
    assert [future.result(10).result for future in futures] == [f"Set|{n}".encode() for n in range(20)]
    assert peer.most_running > 10


def test_errors_and_deadlines_are_those_of_the_gateway(peer: Peer, identity: SigningIdentity) -> None:
    peer.faults["Evaluate"] = [60.0, Refusal(Code.UNKNOWN, "too many requests")]
    with BlockingGateway(Target(peer.address), Deadlines(evaluate=0.2)) as gateway:
        for code in (Code.DEADLINE_EXCEEDED, Code.UNKNOWN):
            with pytest.raises(EvaluateError) as failed:
                gateway.evaluate(propose(identity))
            assert (failed.value.code, failed.value.retry) == (code, Retry.SAME_TRANSACTION)


def test_the_loop_ends_with_the_last_gateway(peer: Peer, identity: SigningIdentity) -> None:
    with BlockingGateway(Target(peer.address)) as first:
        first.evaluate(propose(identity))
        with BlockingGateway(Target(peer.address)) as second:
            second.evaluate(propose(identity))
        assert len(loops()) == 1
        first.evaluate(propose(identity))
    assert loops() == []
    first.close()
    with pytest.raises(RuntimeError, match="closed"):
        first.evaluate(propose(identity))


def test_closing_ends_calls_of_other_threads(peer: Peer, gateway: BlockingGateway, identity: SigningIdentity) -> None:
    peer.faults["Evaluate"] = [60.0]
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.evaluate, propose(identity), 30)
        wait_until(lambda: "Evaluate" in peer.calls)
        gateway.close()
        with pytest.raises(EvaluateError) as failed:
            call.result(5)
    assert (failed.value.code, failed.value.retry) == (Code.CANCELLED, Retry.SAME_TRANSACTION)


def test_events_are_waited_for_no_longer_than_asked(
    peer: Peer, gateway: BlockingGateway, identity: SigningIdentity
) -> None:
    peer.commit(("a", b"1"))
    with gateway.follow_chaincode_events(identity, CHANNEL, CHAINCODE, START) as events:
        first = events.next(5)
        assert first is not None
        assert first.checkpoint == Checkpoint(1, "a")
        assert events.next(0.1) is None
        assert events.next(0) is None
        peer.commit(("b", b"2"))
        second = events.next(5)
        assert second is not None
        assert second.checkpoint == Checkpoint(2, "b")


def test_a_stream_is_iterated_until_another_thread_closes_it(
    peer: Peer, gateway: BlockingGateway, identity: SigningIdentity
) -> None:
    peer.commit(("a", b"1"))
    events = gateway.follow_chaincode_events(identity, CHANNEL, CHAINCODE, START)
    seen: list[str] = []

    def listen() -> None:
        seen.extend(event.transaction_id for event in events)

    with ThreadPoolExecutor(1) as pool:
        listener = pool.submit(listen)
        wait_until(lambda: "ChaincodeEvents" in peer.calls)
        time.sleep(0.2)
        events.close()
        listener.result(5)
    assert seen == ["a"]
    assert events.next() is None


def test_a_stream_ends_with_its_gateway(peer: Peer, gateway: BlockingGateway, identity: SigningIdentity) -> None:
    blocks = gateway.follow_blocks(identity, CHANNEL, 1)
    with ThreadPoolExecutor(1) as pool:
        listener = pool.submit(blocks.next)
        wait_until(lambda: "Deliver" in peer.calls)
        gateway.close()
        with pytest.raises(EventsError) as failed:
            listener.result(5)
    assert failed.value.code is Code.CANCELLED
    blocks.close()


def test_the_height_is_known_and_blocks_come(peer: Peer, gateway: BlockingGateway, identity: SigningIdentity) -> None:
    peer.commit()
    assert gateway.chain_info(identity, CHANNEL).height == 2
    with gateway.follow_blocks(identity, CHANNEL, 0) as blocks:
        numbers = [block.header.number for block in (blocks.next(5), blocks.next(5)) if block is not None]
    assert numbers == [0, 1]


def test_a_failed_stream_stays_failed(peer: Peer, gateway: BlockingGateway, identity: SigningIdentity) -> None:
    peer.faults["ChaincodeEvents"] = [Refusal(Code.PERMISSION_DENIED, "no")]
    events = gateway.follow_chaincode_events(identity, CHANNEL, CHAINCODE, START)
    for _ in range(2):
        with pytest.raises(EventsError, match="PERMISSION_DENIED"):
            events.next(1)


def test_streams_of_stored_requests_end_where_they_were_told_to(
    peer: Peer, gateway: BlockingGateway, identity: SigningIdentity
) -> None:
    peer.commit(("a", b"1"))
    peer.cuts = [(-1, None), (1, None)]
    blocks = gateway.blocks(BlocksRequest.build(identity.identity, CHANNEL, 0, 1).sign(identity))
    assert [block.header.number for block in blocks] == [0, 1]
    request = ChaincodeEventsRequest.build(identity.identity, CHANNEL, CHAINCODE, START)
    assert [event.transaction_id for event in gateway.chaincode_events(request.sign(identity))] == ["a"]


def test_a_process_ends_although_a_gateway_was_left_open(peer: Peer, identity: SigningIdentity, tmp_path: Path) -> None:
    left = FORKING[: FORKING.index("    try:")] + '    print(read("hello").decode())'
    assert run_script(left, peer, identity, tmp_path) == ["hello"]


FORKING = """
    import gc, os, sys, threading, time
    from pathlib import Path
    from ledger_adapters.fabric.gateway import *

    gc.disable()  # Reference counts alone must set gRPC's threads free before a fork.

    address, folder = sys.argv[1], Path(sys.argv[2])
    identity = SigningIdentity.from_files("Org1MSP", folder / "cert.pem", folder / "key.pem")
    gateway = BlockingGateway(Target(address))

    def read(what):
        return gateway.evaluate(Proposal.build(identity.identity, "mychannel", "basic", [what]).sign(identity), 20)

    try:
        read("refused")
    except EvaluateError as error:
        kept = error
    events = gateway.follow_chaincode_events(identity, "mychannel", "basic", Checkpoint(0))
    assert events.next(5).transaction_id == "a"
    ended = []

    def hang():
        try:
            read("hangs")
        except EvaluateError as error:
            ended.append((error.code.name, error.retry.name))

    thread = threading.Thread(target=hang)
    thread.start()
    time.sleep(0.5)
    child = os.fork()
    answers = [read("after")]
    try:
        events.next(5)
    except EventsError as error:
        answers.append(error.code.name)
    events = gateway.follow_chaincode_events(identity, "mychannel", "basic", Checkpoint(0))
    answers.append(events.next(5).transaction_id)
    if child:
        thread.join()
        answers += ended
        os.waitpid(child, 0)
    print("parent" if child else "child", answers, flush=True)
    gateway.close()
    os._exit(0)
"""


def test_parent_and_child_go_on_after_a_fork(peer: Peer, identity: SigningIdentity, tmp_path: Path) -> None:
    """In a process of its own: that of the tests has threads of its own that a fork would not copy."""
    peer.commit(("a", b"1"))
    peer.faults["Evaluate"] = [Refusal(Code.ABORTED, "no"), 60.0]
    assert sorted(run_script(FORKING, peer, identity, tmp_path)) == [
        "child [b'after', 'CANCELLED', 'a']",
        "parent [b'after', 'CANCELLED', 'a', ('CANCELLED', 'SAME_TRANSACTION')]",
    ]


def run_script(script: str, peer: Peer, identity: SigningIdentity, folder: Path) -> list[str]:
    """Lines that it prints, when it ends well and complains about nothing."""
    (folder / "cert.pem").write_bytes(identity.identity.certificate)
    (folder / "key.pem").write_bytes(private_pem(identity.signer._key))  # type: ignore[attr-defined]
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), peer.address, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
