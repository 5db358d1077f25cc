"""Streams that outlive their connection: nothing is lost and nothing comes twice, however often it breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from .client import Gateway
from .errors import GatewayError, Retry
from .events import BlocksRequest, ChaincodeEvent, ChaincodeEventsRequest, Checkpoint
from .identity import SigningIdentity

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between attempts to open a stream again."""

T = TypeVar("T")


async def follow_chaincode_events(
    gateway: Gateway, identity: SigningIdentity, channel: str, chaincode: str, start: Checkpoint | None = None
) -> AsyncGenerator[ChaincodeEvent, None]:
    """Events after `start`, for ever; without it, those of blocks not yet committed when the peer is first reached.

    Raises `EventsError` or `EvaluateError` when trying again is of no use, or the gateway was closed.
    """
    position = start

    async def open_stream() -> AsyncGenerator[ChaincodeEvent, None]:
        nonlocal position
        if position is None:
            # A stream from "the next commit" that breaks before its first event would leave a gap.
            position = Checkpoint((await gateway.chain_info(identity, channel)).height)
        request = ChaincodeEventsRequest.build(identity.identity, channel, chaincode, position)
        return gateway.chaincode_events(request.sign(identity))

    async with aclosing(_reopening(gateway, open_stream, f"events of {chaincode} on {channel}")) as events:
        async for event in events:
            position = event.checkpoint
            yield event


async def follow_blocks(
    gateway: Gateway, identity: SigningIdentity, channel: str, start: int | None = None
) -> AsyncGenerator[Any, None]:
    """Blocks (`common.Block`) from number `start`, for ever; without it and errors as in `follow_chaincode_events`."""
    position = start

    async def open_stream() -> AsyncGenerator[Any, None]:
        nonlocal position
        if position is None:
            position = (await gateway.chain_info(identity, channel)).height
        request = BlocksRequest.build(
            identity.identity, channel, position, tls_certificate_hash=gateway.tls_certificate_hash
        )
        return gateway.blocks(request.sign(identity))

    async with aclosing(_reopening(gateway, open_stream, f"blocks of {channel}")) as blocks:
        async for block in blocks:
            position = block.header.number + 1
            yield block


async def _reopening(
    gateway: Gateway, open_stream: Callable[[], Awaitable[AsyncGenerator[T, None]]], what: str
) -> AsyncGenerator[T, None]:
    pause = FIRST_PAUSE
    while True:
        reason = "the peer ended the stream"
        try:
            async with aclosing(await open_stream()) as stream:
                async for item in stream:
                    pause = FIRST_PAUSE
                    yield item
        except GatewayError as error:
            if gateway.closed or error.retry is Retry.NONE:
                raise
            reason = str(error)
        # Loud once; while the peer stays away the same line every few seconds tells nothing more.
        level = logging.WARNING if pause == FIRST_PAUSE else logging.DEBUG
        logger.log(level, "No more %s (%s); trying again in %.1f s", what, reason, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
