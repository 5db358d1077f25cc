"""The gateway for threads: synchronous verbs in front of one event loop per process.

One loop, because gRPC keeps one completion queue per process, and every further loop is woken for the others' answers
(grpc/grpc#25364). It runs in a daemon thread that starts with the first call and ends with the last gateway.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, Self, TypeVar
from weakref import WeakSet

import grpc

from .client import ChainInfo, Deadlines, Gateway, Target
from .errors import EventsError, GatewayError
from .events import BlocksRequest, ChaincodeEvent, ChaincodeEventsRequest, Checkpoint
from .follow import follow_blocks, follow_chaincode_events
from .identity import SigningIdentity
from .message import Signed
from .transaction import CommitStatus, CommitStatusRequest, Committed, PreparedTransaction, Proposal

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PATIENCE = 10.0
"""Seconds that an answer may come after its deadline, before the event loop is taken for dead."""


class _LoopThread:
    """A daemon thread that runs an event loop until `stop`."""

    def __init__(self) -> None:
        ready = threading.Event()
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)), name="fabric-gateway", daemon=True
        )
        self.thread.start()
        ready.wait()

    async def _main(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        ready.set()
        await self._stop.wait()
        # Closed gateways have cancelled their calls; let those hand their errors over before the loop ends.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=1)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        # gRPC's own shutdown can hang (grpc/grpc#40989); a daemon thread left behind is better than a caller that is.
        self.thread.join(_PATIENCE)
        if self.thread.is_alive():
            logger.warning("The gateway's event loop did not end within %d s", _PATIENCE)


class BlockingGateway:
    """A `Gateway` for any number of threads. Connects with the first call; errors are those of `Gateway`.

    Around `os.fork` the connections of the process are closed, since gRPC's threads do not survive in the child: calls
    under way in other threads fail with CANCELLED, which may be tried again, and parent and child connect anew with
    their next call. That needs every grpc.aio channel of the process to be one of these.
    """

    def __init__(self, target: Target, deadlines: Deadlines | None = None) -> None:
        self.target = target
        self.deadlines = deadlines or Deadlines()
        self._gateway: Gateway | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def evaluate(self, proposal: Signed[Proposal], deadline: float | None = None) -> bytes:
        seconds = self.deadlines.evaluate if deadline is None else deadline
        return self._wait(lambda gateway: gateway.evaluate(proposal, seconds), seconds)

    def endorse(self, proposal: Signed[Proposal], deadline: float | None = None) -> PreparedTransaction:
        seconds = self.deadlines.endorse if deadline is None else deadline
        return self._wait(lambda gateway: gateway.endorse(proposal, seconds), seconds)

    def submit(self, transaction: Signed[PreparedTransaction], deadline: float | None = None) -> None:
        seconds = self.deadlines.submit if deadline is None else deadline
        return self._wait(lambda gateway: gateway.submit(transaction, seconds), seconds)

    def commit_status(self, request: Signed[CommitStatusRequest], deadline: float | None = None) -> CommitStatus:
        seconds = self.deadlines.commit_status if deadline is None else deadline
        return self._wait(lambda gateway: gateway.commit_status(request, seconds), seconds)

    def execute(self, proposal: Signed[Proposal], identity: SigningIdentity) -> Committed:
        seconds = self.deadlines.endorse + self.deadlines.submit + self.deadlines.commit_status
        return self._wait(lambda gateway: gateway.execute(proposal, identity), seconds)

    def chain_info(self, identity: SigningIdentity, channel: str) -> ChainInfo:
        return self._wait(lambda gateway: gateway.chain_info(identity, channel), self.deadlines.evaluate)

    def chaincode_events(self, request: Signed[ChaincodeEventsRequest]) -> Stream[ChaincodeEvent]:
        return Stream(self, lambda gateway: gateway.chaincode_events(request))

    def blocks(self, request: Signed[BlocksRequest]) -> Stream[Any]:
        return Stream(self, lambda gateway: gateway.blocks(request))

    def follow_chaincode_events(
        self, identity: SigningIdentity, channel: str, chaincode: str, start: Checkpoint | None = None
    ) -> Stream[ChaincodeEvent]:
        return Stream(self, lambda gateway: follow_chaincode_events(gateway, identity, channel, chaincode, start))

    def follow_blocks(self, identity: SigningIdentity, channel: str, start: int | None = None) -> Stream[Any]:
        return Stream(self, lambda gateway: follow_blocks(gateway, identity, channel, start))

    def start(self, work: Callable[[Gateway], Awaitable[T]]) -> Future[T]:
        """Run `work` on the event loop and return at once: how one thread has many transactions in flight."""
        with _lock:
            if self._closed:
                raise RuntimeError("the gateway is closed")
            _opened.add(self)
            return asyncio.run_coroutine_threadsafe(self._on_loop(work), _loop_thread().loop)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """End calls and streams under way in any thread: they fail with CANCELLED. Closing twice does no harm."""
        with _lock:
            self._closed = True
            _disconnect([self])
            _opened.discard(self)
            if not _opened:
                _stop_loop_thread()

    def _wait(self, work: Callable[[Gateway], Awaitable[T]], seconds: float) -> T:
        future = self.start(work)
        try:
            return future.result(seconds + _PATIENCE)
        except TimeoutError:
            raise RuntimeError(
                "the gateway's event loop does not answer; was another grpc.aio channel open when this process forked?"
            ) from None
        finally:
            future.cancel()

    async def _on_loop(self, work: Callable[[Gateway], Awaitable[T]]) -> T:
        if self._gateway is None:
            self._gateway = Gateway(self.target, self.deadlines)
        return await work(self._gateway)

    async def _disconnect(self) -> None:
        if self._gateway is not None:
            gateway, self._gateway = self._gateway, None
            await gateway.close()


class Stream(Generic[T]):
    """A stream for one thread at a time: iterate over it, or ask for the `next` item. Opens with the first question.

    Iteration ends with the stream; of one that never ends, when another thread closes it.
    """

    def __init__(self, gateway: BlockingGateway, source: Callable[[Gateway], AsyncGenerator[T, None]]) -> None:
        self._gateway = gateway
        self._open = source
        self._source: AsyncGenerator[T, None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: asyncio.Future[T | None] | None = None
        self._failure: GatewayError | None = None
        self._closed = False

    def __iter__(self) -> Iterator[T]:
        while (item := self.next()) is not None:
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self, timeout: float | None = None) -> T | None:
        """The next item, or None when none came within `timeout` seconds or the stream was closed.

        Raises `EventsError`, and `EvaluateError` while the start is looked up; from then on the same again.
        """
        if self._closed:
            return None
        future = self._gateway.start(lambda gateway: self._take(gateway, timeout))
        try:
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """From any thread; `next` returns None from then on. A closed gateway has ended its streams already."""
        if not self._closed and not self._gateway.closed:
            self._gateway.start(lambda _: self._end()).result()
        self._closed = True

    async def _take(self, gateway: Gateway, timeout: float | None) -> T | None:
        loop = asyncio.get_running_loop()
        if self._failure is not None:
            raise self._failure
        if self._source is None:
            self._source, self._loop = self._open(gateway), loop
        if self._loop is not loop:
            raise EventsError(grpc.StatusCode.CANCELLED, "the process forked; follow again from the last checkpoint")
        if self._pending is None:
            self._pending = asyncio.ensure_future(anext(self._source, None))
        pending = self._pending
        await asyncio.wait({pending}, timeout=timeout)
        if not pending.done():
            return None
        self._pending = None
        if pending.cancelled():
            return None
        try:
            return pending.result()
        except GatewayError as error:
            self._failure = error
            raise

    async def _end(self) -> None:
        self._closed = True
        if self._source is None or self._loop is not asyncio.get_running_loop():
            return
        if self._pending is not None:
            self._pending.cancel()
            await asyncio.wait({self._pending})
        await self._source.aclose()


# Guards what follows. The loop's own thread never takes it, so it may be held while waiting for the loop.
_lock = threading.Lock()
_running: _LoopThread | None = None
_opened: WeakSet[BlockingGateway] = WeakSet()


def _loop_thread() -> _LoopThread:
    global _running
    if _running is None:
        _running = _LoopThread()
    return _running


def _disconnect(gateways: Iterable[BlockingGateway]) -> None:
    if _running is not None:
        for gateway in gateways:
            asyncio.run_coroutine_threadsafe(gateway._disconnect(), _running.loop).result(_PATIENCE)


def _stop_loop_thread() -> None:
    global _running
    if _running is not None:
        _running.stop()
        _running = None


def _disconnect_all() -> None:
    _disconnect(list(_opened))
    _stop_loop_thread()


def _before_fork() -> None:
    _lock.acquire()
    _disconnect_all()


os.register_at_fork(before=_before_fork, after_in_parent=_lock.release, after_in_child=_lock.release)
atexit.register(_disconnect_all)
