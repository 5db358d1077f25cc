"""The API on the box, over real sockets: who gets what, and what is no request."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence.boxes import text_digest
from evidence.canonical import decode_bytes
from evidence.hashing import tagged
from meter_agent.control import ApiSettings
from meter_agent.keys import KeyFileError
from meter_agent.local_api import LARGEST_BODY, LARGEST_TEXT, MOST_CONNECTIONS, LocalApi, read_token, sign_text
from tests.meter_agent.support import KEY

ANSWERS: Any = {
    ("GET", "/status"): lambda request: {"well": True},
    ("POST", "/sign"): lambda request: sign_text(KEY, request),
}


def with_api(work: Callable[[str, LocalApi], Any], tmp_path: Path) -> Any:
    """Do `work` in a thread, with the address of a running API whose token is `secret`."""

    async def run() -> Any:
        api = LocalApi(ApiSettings("127.0.0.1", 0, tmp_path / "token"), b"secret", ANSWERS)
        task = asyncio.create_task(api.run())
        while not api.port:
            await asyncio.sleep(0.01)
        try:
            return await asyncio.to_thread(work, f"http://127.0.0.1:{api.port}", api)
        finally:
            task.cancel()

    return asyncio.run(run())


def ask(tmp_path: Path, method: str, path: str, token: str | None = "secret", **request: Any) -> httpx.Response:
    headers: dict[bytes, bytes] = {} if token is None else {b"Authorization": f"Bearer {token}".encode()}
    answer: httpx.Response = with_api(
        lambda address, api: httpx.request(method, address + path, headers=headers, **request), tmp_path
    )
    return answer


def test_whoever_holds_the_token_is_answered(tmp_path: Path) -> None:
    answer = ask(tmp_path, "GET", "/status?x=1")
    assert (answer.status_code, answer.json()) == (200, {"well": True})
    assert (answer.headers["Connection"], answer.headers["Cache-Control"]) == ("close", "no-store")


@pytest.mark.parametrize("token", [None, "x", "secre", "secrets", "\u00e9"])
def test_strangers_are_not(tmp_path: Path, token: str | None) -> None:
    for method, path in (("GET", "/status"), ("POST", "/sign"), ("GET", "/nothing")):
        answer = ask(tmp_path, method, path, token)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_addresses_and_methods_that_are_not_there(tmp_path: Path) -> None:
    assert ask(tmp_path, "GET", "/nothing").status_code == 404
    assert ask(tmp_path, "DELETE", "/status").status_code == 405


def test_a_text_is_signed_so_that_it_is_nothing_else(tmp_path: Path) -> None:
    answer = ask(tmp_path, "POST", "/sign", json={"text": "Zähler 7"}).json()
    digest = decode_bytes(answer["digest"])
    assert digest == tagged("em/device-text/1", "Zähler 7".encode()) == text_digest("Zähler 7".encode())
    assert KEY.public_key.verifies(digest, decode_bytes(answer["signature"]))
    assert decode_bytes(answer["key"]) == KEY.public_key.id


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"text": 5}', b'{"text": "a", "digest": "b"}', b"\xff", b'{"text": "\\ud800"}', b"{}"]
)
def test_what_is_no_text(tmp_path: Path, body: bytes) -> None:
    assert ask(tmp_path, "POST", "/sign", content=body).status_code == 400


def test_what_is_too_long(tmp_path: Path) -> None:
    assert ask(tmp_path, "POST", "/sign", json={"text": "x" * (LARGEST_TEXT + 1)}).status_code == 400
    assert ask(tmp_path, "POST", "/sign", content=b"x" * (LARGEST_BODY + 1)).status_code == 413


def talk(address: str, content: bytes) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(content)
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return answer


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /status HTTP/1.1\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_request_is_told_so_and_ended(tmp_path: Path, content: bytes) -> None:
    answer = with_api(lambda address, api: talk(address, content), tmp_path)
    assert answer.startswith(b"HTTP/1.1 4"), answer


def test_a_few_connections_at_a_time(tmp_path: Path) -> None:
    def work(address: str, api: LocalApi) -> tuple[bytes, int]:
        host, port = address.removeprefix("http://").split(":")
        held = [socket.create_connection((host, int(port))) for _ in range(MOST_CONNECTIONS)]
        for connection in held:
            connection.sendall(b"GET")
        while api._open < MOST_CONNECTIONS:
            pass
        refused = talk(address, b"")
        for connection in held:
            connection.close()
        while api._open:
            pass
        return refused, httpx.get(address + "/status", headers={"Authorization": "bearer secret"}).status_code

    assert with_api(work, tmp_path) == (b"", 200)


def test_an_address_in_use_stops_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_agent.local_api.RETRY_SECONDS", 0.05)

    async def run() -> int:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            api = LocalApi(ApiSettings("127.0.0.1", port, tmp_path / "token"), b"secret", ANSWERS)
            task = asyncio.create_task(api.run())
            await asyncio.sleep(0.1)
            assert not task.done()
        await asyncio.sleep(0.2)
        answer = await asyncio.to_thread(talk, f"http://127.0.0.1:{port}", b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n")
        task.cancel()
        return int(answer.split()[1])

    assert asyncio.run(run()) == 401


def test_a_token_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    settings = ApiSettings("127.0.0.1", 0, tmp_path / "made" / "token")
    token = read_token(settings)
    assert len(token) == 43
    assert settings.token_file.stat().st_mode & 0o777 == 0o600
    assert read_token(settings) == token
    settings.token_file.chmod(0o644)
    with pytest.raises(KeyFileError, match="mode 0644"):
        read_token(settings)
