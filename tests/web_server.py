"""The web server as it is shipped, on the database of the tests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).parents[1]
STOPS_WITHIN = 30  # seconds


@contextmanager
def web_server(folder: Path, **environment: str) -> Iterator[str]:
    """Gives its address. Sessions of the test client are known to it, and what the tests sealed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    about = connection.get_connection_params()
    url = f"postgresql://{about['user']}:{about.get('password', '')}@/{about['dbname']}?host={about['host']}"
    given = {
        "DATABASE_URL": url + (f"&port={about['port']}" if about.get("port") else ""),
        "ENERGYMARKET_HTTPS": "false",
        "ENERGYMARKET_SECRET_KEY": settings.SECRET_KEY,
        "ENERGYMARKET_CUSTODY_KEY": settings.CUSTODY_KEY,
        "ENERGYMARKET_DATA_DIR": str(folder),
        "ENERGYMARKET_ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "energymarket.settings.base",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:energymarket.gunicorn", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | given | environment, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(address):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(STOPS_WITHIN)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False
