"""A small REST API on the box, for whoever stands in the same network and holds its token. HTTP/1.1 without TLS.

    GET  /status      what waits, what was sent, what was told last
    GET  /readings    the newest running sums per point and register
    POST /sign        {"text": "..."} -> {"digest", "signature", "key"}: over a tag of its own

Every request wants `Authorization: Bearer <token>`; the token stands in a file that only its owner can read.
"""

import asyncio
import hmac
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11

from evidence.boxes import text_digest
from evidence.canonical import encode_bytes
from evidence.keys import Signer
from meter_agent.control import ApiSettings
from meter_agent.faults import Fault
from meter_agent.keys import KeyFault, read_private_file

log = logging.getLogger(__name__)

LARGEST_BODY = 8_192
LARGEST_TEXT = 4_096  # bytes
MOST_CONNECTIONS = 8
REQUEST_SECONDS = 10.0
READ = 4_096
RETRY_SECONDS = 60.0


class Problem(Exception):
    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes


Answer = Callable[[Request], Any]


def read_token(settings: ApiSettings) -> bytes:
    """The token, made on the first call. Raises `KeyFileError`."""
    path = settings.token_file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return read_private_file(path).strip()


def sign_text(key: Signer, request: Request) -> dict[str, str]:
    try:
        content = json.loads(request.body)
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is no JSON") from None
    if not isinstance(content, dict) or content.keys() != {"text"} or not isinstance(content["text"], str):
        raise Problem(HTTPStatus.BAD_REQUEST, "an object with a text is expected")
    try:
        text = content["text"].encode()
    except UnicodeEncodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, "the text has characters that are none") from None
    if len(text) > LARGEST_TEXT:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the text is longer than {LARGEST_TEXT} bytes")
    digest = text_digest(text)
    try:
        signature, key_id = key.sign(digest), key.public_key.id
    except KeyFault as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
    return {
        "digest": encode_bytes(digest),
        "signature": encode_bytes(signature),
        "key": encode_bytes(key_id),
    }


class LocalApi:
    """Answers by (method, path). One request per connection, a few connections at a time."""

    def __init__(self, settings: ApiSettings, token: bytes, answers: Mapping[tuple[str, str], Answer]) -> None:
        self.settings = settings
        self.token = token
        self.answers = answers
        self.port = settings.port
        self._open = 0

    async def run(self) -> None:
        """For ever; while its address cannot be had, the rest of the box goes on without it."""
        fault = Fault("local API")
        while True:
            try:
                server = await asyncio.start_server(self._serve, self.settings.host, self.settings.port, limit=READ)
                break
            except OSError as error:
                fault.failed(error)
                await asyncio.sleep(RETRY_SECONDS)
        fault.cleared()
        self.port = server.sockets[0].getsockname()[1]
        log.info("local API on %s:%d", self.settings.host, self.port)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MOST_CONNECTIONS:
            writer.close()
            return
        self._open += 1
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_BODY)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                status, content = await self._answer(connection, reader)
                writer.write(_response(connection, status, content))
                await writer.drain()
        except (ConnectionError, TimeoutError, h11.ProtocolError) as error:
            log.debug("local API: %r", error)
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[HTTPStatus, Any]:
        try:
            request = await _receive(connection, reader)
            self._authenticate(request)
            return HTTPStatus.OK, self._find(request)(request)
        except Problem as problem:
            return problem.status, {"status": int(problem.status), "detail": problem.detail}
        except h11.RemoteProtocolError as error:
            return HTTPStatus(error.error_status_hint), {"status": error.error_status_hint, "detail": str(error)}

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self.token):
            raise Problem(HTTPStatus.UNAUTHORIZED, "the token is wrong or missing")

    def _find(self, request: Request) -> Answer:
        answer = self.answers.get((request.method, request.path))
        if answer is not None:
            return answer
        if any(path == request.path for _, path in self.answers):
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "not with this method")
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such address")


async def _receive(connection: h11.Connection, reader: asyncio.StreamReader) -> Request:
    """Raises `Problem` and `h11.RemoteProtocolError`."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST_BODY:
                raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_BODY} bytes")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path = head.target.partition(b"?")[0].decode("ascii", "replace")
            return Request(head.method.decode("ascii"), path, dict(head.headers), bytes(body))
        else:
            raise ConnectionError("closed")


def _response(connection: h11.Connection, status: HTTPStatus, content: Any) -> bytes:
    body = json.dumps(content).encode()
    headers = [
        ("Content-Type", "application/json" if status == HTTPStatus.OK else "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    parts = (h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage())
    return b"".join(connection.send(part) or b"" for part in parts)
