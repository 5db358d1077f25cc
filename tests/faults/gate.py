"""What stands in front of a node's RPC: it ends TLS and lets in whoever brings a JWT that it can check."""

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

HEADER = {"alg": "HS256", "typ": "JWT"}
KIND = {"Content-Type": "application/json"}


class Gate:
    """`url` leads to the node. `let_in` counts requests that were passed on."""

    def __init__(self, rpc: str) -> None:
        self._rpc = rpc
        self._key = secrets.token_bytes(32)
        self.url = ""
        self.let_in = 0

    def token(self, lifetime: float = 3600.0) -> str:
        """A JWT that ends so many seconds from now."""
        parts = [
            _part(json.dumps(each).encode()) for each in (HEADER, {"sub": "market", "exp": time.time() + lifetime})
        ]
        return ".".join([*parts, self._signature(parts)])

    def complaint(self, authorization: str | None) -> str | None:
        """What is wrong with a request's credentials, as RFC 6750 wants it in the answer; None when nothing is."""
        if authorization is None or not authorization.startswith("Bearer "):
            return "Bearer"
        *parts, signature = authorization.removeprefix("Bearer ").split(".")
        if len(parts) != 2 or not hmac.compare_digest(signature, self._signature(parts)):
            return 'Bearer error="invalid_token", error_description="The signature is not ours"'
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
        if claims["exp"] <= time.time():
            return 'Bearer error="invalid_token", error_description="The token expired"'
        return None

    def pass_on(self, body: bytes) -> bytes:
        self.let_in += 1
        return httpx.post(self._rpc, content=body, headers=KIND, timeout=60, trust_env=False).content

    def _signature(self, parts: list[str]) -> str:
        return _part(hmac.digest(self._key, ".".join(parts).encode(), hashlib.sha256))


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def gate_to(rpc: str, certificates: Path | None = None) -> Iterator[Gate]:
    """Speaks TLS where there is a folder with `server.pem` and `server-key.pem`."""
    gate = Gate(rpc)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            complaint = gate.complaint(self.headers["Authorization"])
            answer = b"" if complaint else gate.pass_on(body)
            self.send_response(401 if complaint else 200)
            if complaint:
                self.send_header("WWW-Authenticate", complaint)
            self.send_header("Content-Type", KIND["Content-Type"])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not trust us says so by ending the connection."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    gate.url = f"http{'s' if certificates else ''}://127.0.0.1:{server.server_port}"
    try:
        yield gate
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
