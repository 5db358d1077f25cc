"""Streams over connections that break, against a stand-in for a peer (see peer.py): nothing lost, nothing twice."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
import pytest

from ledger_adapters.fabric.gateway import (
    BlocksRequest,
    ChaincodeEvent,
    ChaincodeEventsRequest,
    Checkpoint,
    EventsError,
    Gateway,
    Retry,
    SigningIdentity,
    Target,
    follow_blocks,
    follow_chaincode_events,
)
from tests.fabric.gateway.peer import CHAINCODE, CHANNEL, Peer, Refusal, Wire

Code = grpc.StatusCode
GONE = Refusal(Code.UNAVAILABLE, "the peer is stopping")
T = TypeVar("T")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger_adapters.fabric.gateway.follow.FIRST_PAUSE", 0.01)


def take(peer: Peer, open_stream: Callable[[Gateway], AsyncGenerator[T, None]], count: int) -> list[T]:
    """The first `count` items, or fewer when the stream ends."""

    async def taken() -> list[T]:
        items: list[T] = []
        async with asyncio.timeout(10), Gateway(Target(peer.address, reconnect=0.2)) as gateway:
            async with aclosing(open_stream(gateway)) as stream:
                async for item in stream:
                    items.append(item)
                    if len(items) == count:
                        break
        return items

    return asyncio.run(taken())


def follow(
    identity: SigningIdentity, start: Checkpoint | None = None
) -> Callable[[Gateway], AsyncGenerator[ChaincodeEvent, None]]:
    return lambda gateway: follow_chaincode_events(gateway, identity, CHANNEL, CHAINCODE, start)


def fill(peer: Peer) -> list[str]:
    """Five blocks: several events, none, one."""
    peer.commit(("a", b"1"), ("b", b"2"), ("c", b"3"))
    peer.commit()
    peer.commit(("d", b"4"))
    peer.commit(("e", b"5"), ("f", b"6"))
    return ["a", "b", "c", "d", "e", "f"]


def ids(events: list[ChaincodeEvent]) -> list[str]:
    return [event.transaction_id for event in events]


def test_events_come_in_order_with_their_block(peer: Peer, identity: SigningIdentity) -> None:
    fill(peer)
    events = take(peer, follow(identity, Checkpoint(0)), 6)
    assert [(event.block_number, event.transaction_id, event.payload) for event in events] == [
        (1, "a", b"1"),
        (1, "b", b"2"),
        (1, "c", b"3"),
        (3, "d", b"4"),
        (4, "e", b"5"),
        (4, "f", b"6"),
    ]
    assert {(event.chaincode, event.name) for event in events} == {(CHAINCODE, "set")}


@pytest.mark.parametrize("seen", range(6))
def test_a_listener_goes_on_after_any_event(seen: int, peer: Peer, identity: SigningIdentity) -> None:
    known = fill(peer)
    events = take(peer, follow(identity, Checkpoint(0)), 6)
    peer.commit(("g", b"7"))
    after = take(peer, follow(identity, events[seen].checkpoint), 6 - seen)
    assert ids(after) == [*known[seen + 1 :], "g"]


@pytest.mark.parametrize("reason", [GONE, Refusal(Code.ABORTED, "iterator closed"), None], ids=["gone", "abort", "end"])
def test_a_stream_that_keeps_breaking_loses_and_repeats_nothing(
    reason: Refusal | None, peer: Peer, identity: SigningIdentity
) -> None:
    """Each connection brings one block with events at most."""
    known = fill(peer)
    peer.cuts = [(0, reason), (1, reason), (0, reason), (1, reason), (0, reason)]
    assert ids(take(peer, follow(identity, Checkpoint(0)), 6)) == known
    assert len(peer.calls) == 6


def test_a_peer_that_is_restarted_loses_and_repeats_nothing(identity: SigningIdentity) -> None:
    first = Peer.start()
    known = fill(first)

    async def restarted() -> list[str]:
        async with asyncio.timeout(20), Gateway(Target(first.address, reconnect=0.2)) as gateway:
            events = follow_chaincode_events(gateway, identity, CHANNEL, CHAINCODE, Checkpoint(0))
            got = [(await anext(events)).transaction_id for _ in range(4)]
            await asyncio.to_thread(first.stop)
            second = await asyncio.to_thread(Peer.start, None, first.port)
            second.blocks = [*first.blocks, [("g", b"7")]]
            try:
                got += [(await anext(events)).transaction_id for _ in range(3)]
                await events.aclose()
            finally:
                await asyncio.to_thread(second.stop)
            return got

    assert asyncio.run(restarted()) == [*known, "g"]


def test_without_a_start_only_what_is_committed_later_comes(peer: Peer, identity: SigningIdentity) -> None:
    fill(peer)

    async def later(gateway: Gateway) -> AsyncGenerator[ChaincodeEvent, None]:
        events = follow_chaincode_events(gateway, identity, CHANNEL, CHAINCODE)
        first = asyncio.ensure_future(anext(events))
        while "ChaincodeEvents" not in peer.calls:
            await asyncio.sleep(0.01)
        peer.commit(("g", b"7"))
        yield await first
        await events.aclose()

    assert ids(take(peer, later, 1)) == ["g"]


def test_a_break_before_the_first_event_leaves_no_gap(peer: Peer, identity: SigningIdentity) -> None:
    """What is committed while the stream is down comes as well, although the listener named no start."""
    fill(peer)
    peer.faults["ChaincodeEvents"] = [GONE]
    peer.on_fault = lambda: peer.commit(("g", b"7"))
    assert ids(take(peer, follow(identity), 1)) == ["g"]
    assert peer.calls == ["Evaluate", "ChaincodeEvents", "ChaincodeEvents"]


def test_a_refused_listener_is_told_so(peer: Peer, identity: SigningIdentity) -> None:
    peer.faults["ChaincodeEvents"] = [GONE, Refusal(Code.PERMISSION_DENIED, "not in the channel's readers")]
    with pytest.raises(EventsError, match="not in the channel's readers") as failed:
        take(peer, follow(identity, Checkpoint(0)), 1)
    assert (failed.value.code, failed.value.retry) == (Code.PERMISSION_DENIED, Retry.NONE)


def test_a_closed_gateway_ends_its_streams(peer: Peer, identity: SigningIdentity) -> None:
    async def close(gateway: Gateway) -> AsyncGenerator[Any, None]:
        events = follow_chaincode_events(gateway, identity, CHANNEL, CHAINCODE, Checkpoint(0))
        waiting = asyncio.ensure_future(anext(events))
        while "ChaincodeEvents" not in peer.calls:
            await asyncio.sleep(0.01)
        await gateway.close()
        yield await waiting

    with pytest.raises(EventsError) as failed:
        take(peer, close, 1)
    assert failed.value.code is Code.CANCELLED


def test_a_stream_of_a_stored_request_ends_with_its_connection(peer: Peer, identity: SigningIdentity) -> None:
    """Signed elsewhere: there is no key to ask again with, so the caller is told."""
    fill(peer)
    peer.cuts = [(1, GONE)]
    request = ChaincodeEventsRequest.build(identity.identity, CHANNEL, CHAINCODE, Checkpoint(0)).sign(identity)
    got: list[str] = []

    async def collect(gateway: Gateway) -> AsyncGenerator[Any, None]:
        async for event in gateway.chaincode_events(request):
            got.append(event.transaction_id)
        yield

    with pytest.raises(EventsError) as failed:
        take(peer, collect, 1)
    assert got == ["a", "b", "c"]
    assert failed.value.retry is Retry.SAME_TRANSACTION


def test_a_broken_stream_is_logged_once_while_the_peer_is_away(
    peer: Peer, identity: SigningIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    fill(peer)
    peer.faults["ChaincodeEvents"] = [GONE, GONE, GONE]
    with caplog.at_level(logging.INFO, "ledger_adapters.fabric.gateway"):
        take(peer, follow(identity, Checkpoint(0)), 1)
    assert [record.getMessage() for record in caplog.records] == [
        "No more events of basic on mychannel (event stream failed: UNAVAILABLE: the peer is stopping); "
        "trying again in 0.0 s"
    ]


def test_blocks_are_delivered_as_far_as_asked(peer: Peer, identity: SigningIdentity) -> None:
    fill(peer)
    request = BlocksRequest.build(identity.identity, CHANNEL, 1, 3).sign(identity)
    blocks = take(peer, lambda gateway: gateway.blocks(request), 9)
    assert [block.header.number for block in blocks] == [1, 2, 3]


def test_blocks_are_followed_over_breaks(peer: Peer, identity: SigningIdentity) -> None:
    fill(peer)
    peer.cuts = [(2, GONE), (0, None), (1, GONE)]
    blocks = take(peer, lambda gateway: follow_blocks(gateway, identity, CHANNEL, 0), 5)
    assert [block.header.number for block in blocks] == [0, 1, 2, 3, 4]


def test_a_channel_that_the_peer_does_not_know_is_an_error(peer: Peer, identity: SigningIdentity) -> None:
    request = BlocksRequest.build(identity.identity, "other", 0).sign(identity)
    with pytest.raises(EventsError, match="the peer answers NOT_FOUND") as failed:
        take(peer, lambda gateway: gateway.blocks(request), 1)
    assert (failed.value.code, failed.value.retry) == (Code.NOT_FOUND, Retry.NONE)


def test_a_connection_gone_silent_is_noticed_and_replaced(peer: Peer, identity: SigningIdentity) -> None:
    """As behind a firewall that forgets: nothing is refused, nothing arrives."""
    fill(peer)
    wire = Wire(peer.port)
    target = Target(wire.address, keepalive=0.5, keepalive_timeout=0.5, reconnect=0.5)

    async def listen() -> list[str]:
        async with asyncio.timeout(30), Gateway(target) as gateway:
            events = follow_chaincode_events(gateway, identity, CHANNEL, CHAINCODE, Checkpoint(0))
            heard = [(await anext(events)).transaction_id for _ in range(6)]
            wire.cut()
            peer.commit(("g", b"7"))
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(2)
            assert not waiting.done()
            wire.mend()
            heard.append((await waiting).transaction_id)
            await events.aclose()
            return heard

    try:
        assert asyncio.run(listen()) == ["a", "b", "c", "d", "e", "f", "g"]
    finally:
        wire.close()
