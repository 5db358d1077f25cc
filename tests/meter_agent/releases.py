"""Archives of releases, the release key, and a server with TLS that gives them out in parts."""

import datetime as dt
import ipaddress
import ssl
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from evidence.keys import SoftwareKey

RELEASE_KEY = SoftwareKey.generate()

# Programs in the place of the real one: the launcher knows them by what they do alone.
CRASHES = "raise SystemExit(3)"
HANGS = "import time; time.sleep(600)"
WORKS = """
import os, pathlib, time
folder = pathlib.Path(os.environ["PYTHONPATH"]).parents[1]
folder.joinpath("healthy").write_text(os.environ["METER_AGENT_RELEASE"])
time.sleep(600)
"""


def archive_of(**files: str) -> bytes:
    """A tar.gz of files by path, `__` standing for `/`."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            add(tar, name.replace("__", "/"), content)
    return buffer.getvalue()


def program(code: str) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        add(tar, "meter_agent/__init__.py", "")
        add(tar, "meter_agent/__main__.py", code)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, content: str = "", **change: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content.encode())
    for key, value in change.items():
        setattr(member, key, value)
    tar.addfile(member, BytesIO(content.encode()) if content else None)


@dataclass
class Archives:
    """`script`: what to do with the next requests: ("cut", bytes), ("status", code), "whole"."""

    files: dict[str, bytes] = field(default_factory=dict)
    script: list[Any] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    address: str = ""
    ca_file: Path = Path()


class Handler(BaseHTTPRequestHandler):
    archives: Archives
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        content = self.archives.files.get(self.path)
        wanted = self.headers["Range"]
        self.archives.ranges.append(wanted)
        order = self.archives.script.pop(0) if self.archives.script else None
        if content is None:
            self.give(404, b"")
        elif order == "whole":
            self.give(200, content)
        elif isinstance(order, tuple) and order[0] == "status":
            self.give(order[1], b"")
        else:
            first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
            part = content[first : last + 1]
            cut = order[1] if order else len(part)
            self.give(206, part, cut)

    def give(self, status: int, content: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut])
        if cut is not None and cut < len(content):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "updates")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "tls.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "ca.pem", folder / "tls.pem"


@contextmanager
def running_archives(folder: Path) -> Iterator[Archives]:
    certificate, key = make_certificate(folder)
    archives = Archives(ca_file=certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"archives": archives})) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        archives.address = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield archives
        finally:
            server.shutdown()
            thread.join()
