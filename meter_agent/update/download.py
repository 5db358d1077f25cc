"""Fetches an archive in pieces, going on where it stopped, within what the line may cost."""

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from meter_agent.channel.orders import Failure
from meter_agent.link import Allowance, CountingTransport, cost_of_exchange
from meter_agent.update.release import Offer
from meter_agent.uplink import pause

log = logging.getLogger(__name__)

PIECE = 256 * 1024
SMALL_PIECE = 16 * 1024  # where bytes are counted: what breaks off should not cost much
MOST_FAILURES = 100  # in a row: more than eight hours
SHORTEST_PAUSE = 1.0


def open_download(allowance: Allowance, ca_file: Path | None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=ca_file)
    transport = CountingTransport(allowance, httpx.AsyncHTTPTransport(verify=context))
    return httpx.AsyncClient(transport=transport, timeout=60, headers={"User-Agent": "meter-agent"})


async def download(
    offer: Offer,
    path: Path,
    client: httpx.AsyncClient,
    allowance: Allowance,
    *,
    most_failures: int = MOST_FAILURES,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Fill `path`, going on at its end, until it is what `offer` names. Raises `Failure`."""
    piece = PIECE if allowance.per_day is None else SMALL_PIECE
    failures = 0
    while (have := path.stat().st_size if path.exists() else 0) < offer.size:
        while (seconds := allowance.pause_before(cost_of_exchange(piece, offer.url))) > 0:
            await sleep(seconds)
        try:
            content = await _fetch(offer, client, have, min(have + piece, offer.size))
        except httpx.HTTPError as error:
            failures += 1
            log.log(logging.WARNING if failures == 1 else logging.DEBUG, "%s: %r at byte %d", offer.url, error, have)
            if failures >= most_failures:
                raise Failure("download", message=f"{type(error).__name__} {error}", bytes=have) from None
            await sleep(pause(failures, None, SHORTEST_PAUSE))
            continue
        failures = 0
        with path.open("ab") as file:
            file.write(content)
    if not _is(offer, path):
        path.unlink()
        raise Failure("damaged", message="the archive is not the one that was signed")


async def _fetch(offer: Offer, client: httpx.AsyncClient, start: int, end: int) -> bytes:
    """Bytes from `start` until `end`. Raises `httpx.HTTPError` for what may pass, `Failure` for what will not."""
    answer = await client.get(offer.url, headers={"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"})
    if answer.status_code == 206 and len(answer.content) == end - start:
        return answer.content
    if answer.status_code == 200 and len(answer.content) == offer.size:
        # It gives no parts, but all of it.
        return answer.content[start:]
    if answer.is_server_error or answer.status_code in (408, 425, 429):
        raise httpx.HTTPStatusError(f"answered {answer.status_code}", request=answer.request, response=answer)
    raise Failure("download", message=f"answered {answer.status_code} with {len(answer.content)} bytes", bytes=start)


def _is(offer: Offer, path: Path) -> bool:
    with path.open("rb") as file:
        return path.stat().st_size == offer.size and hashlib.file_digest(file, "sha256").digest() == offer.archive
