"""The key process: signs for other processes over a Unix domain socket, and gives no private key to anybody.

One question per connection. A client that sends garbage, too much or too slowly is cut off and holds up nobody.
"""

import asyncio
import fcntl
import logging
import os
import socket
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meter_agent.keys.base import Keys, Place
from meter_agent.keys.errors import KeyFault, KeyRefused
from meter_agent.keys.messages import MOST_BYTES, decode, encode, encode_key, error_message
from meter_agent.keys.settings import ProcessSettings
from meter_agent.tables import ConfigError, Table, bytes32, text

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
MOST_CLIENTS = 32
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class KeyProcess:
    """Answers whom `settings` allow, with `keys` that it alone uses."""

    def __init__(self, settings: ProcessSettings, keys: Keys, patience: float = PATIENCE_SECONDS) -> None:
        self.settings = settings
        self.keys = keys
        self.patience = patience
        self._clients = 0
        self._strangers: set[int] = set()
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Answer for ever. Raises `KeyRefused` where another process answers already."""
        path = self.settings.socket
        with _locked(path.with_name(path.name + ".lock")):
            with _socket(path, shared=len(self.settings.users) > 1) as listening:
                async with await asyncio.start_unix_server(self._serve, sock=listening, limit=MOST_BYTES):
                    for place, fault in self.keys.held().faults.items():
                        log.error("the %s key cannot be used: %s", place, fault)
                    log.info("signing at %s", path)
                    await asyncio.Event().wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._may_ask(writer.get_extra_info("socket")):
                self._clients += 1
                try:
                    await self._converse(reader, writer)
                finally:
                    self._clients -= 1
        finally:
            writer.close()

    def _may_ask(self, connection: socket.socket) -> bool:
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, user, _ = _CREDENTIALS.unpack(peer)
        if user not in self.settings.users:
            if user not in self._strangers:
                log.error("user %d may not ask for signatures", user)
            self._strangers.add(user)
            return False
        return self._clients < MOST_CLIENTS

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self.patience):
                line = await reader.readline()
            if line.endswith(b"\n"):
                writer.write(encode(await self._answer(line)))
                await writer.drain()
        except (TimeoutError, ValueError, ConnectionError) as error:
            log.warning("a client is cut off: %s", error or "it sends nothing")

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            table = Table(decode(line), "")
            verb = table.take("verb", _verb)
            # A TPM takes its time, during which garbage is still turned away; it does one thing at a time.
            async with self._one_at_a_time:
                return await asyncio.to_thread(verb, self.keys, table)
        except (ConfigError, ValueError) as error:
            return error_message(KeyRefused(f"the question {error}"))
        except KeyFault as error:
            log.warning("refused: %s", error)
            return error_message(error)


def _held(keys: Keys, table: Table) -> dict[str, Any]:
    held = keys.held()
    return {
        "keys": {place: encode_key(key) for place, key in held.keys.items()},
        "faults": dict(held.faults),
    }


def _sign(keys: Keys, table: Table) -> dict[str, Any]:
    return {"signature": keys.sign(table.take("key", bytes32), table.take("digest", bytes32)).hex()}


def _make(keys: Keys, table: Table) -> dict[str, Any]:
    return {"key": encode_key(keys.make())}


def _make_next(keys: Keys, table: Table) -> dict[str, Any]:
    return {"key": encode_key(keys.make_next())}


def _promote(keys: Keys, table: Table) -> dict[str, Any]:
    keys.promote(table.take("key", bytes32))
    return {}


def _forget(keys: Keys, table: Table) -> dict[str, Any]:
    keys.forget(table.take("place", lambda value: Place(text(value))))
    return {}


def _attest(keys: Keys, table: Table) -> dict[str, Any]:
    attestation = keys.attest(table.take("key", bytes32))
    return {
        "ek_certificate": attestation.ek_certificate.hex(),
        "ek_public": attestation.ek_public.hex(),
        "key_public": attestation.key_public.hex(),
    }


def _activate(keys: Keys, table: Table) -> dict[str, Any]:
    credential = table.take("credential", lambda value: bytes.fromhex(text(value)))
    return {"secret": keys.activate(table.take("key", bytes32), credential).hex()}


VERBS: dict[str, Callable[[Keys, Table], dict[str, Any]]] = {
    "held": _held,
    "sign": _sign,
    "make": _make,
    "make_next": _make_next,
    "promote": _promote,
    "forget": _forget,
    "attest": _attest,
    "activate": _activate,
}


def _verb(value: object) -> Callable[[Keys, Table], dict[str, Any]]:
    if not isinstance(value, str) or value not in VERBS:
        raise ValueError(f"must be one of {', '.join(VERBS)}")
    return VERBS[value]


@contextmanager
def _locked(path: Path) -> Generator[None, None, None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise KeyRefused(f"{path} is held: another key process answers there") from None


@contextmanager
def _socket(path: Path, *, shared: bool) -> Generator[socket.socket, None, None]:
    """A socket at `path`. Where other users may ask all can connect, and the kernel tells who they are."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        mask = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        if shared:
            path.chmod(0o666)
        listening.listen(MOST_CLIENTS)
        listening.setblocking(False)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)
