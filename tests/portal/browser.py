"""A Chromium that is told what to do over its DevTools protocol."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One page; a call waits for its answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=30))
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def open(self, url: str, cookies: dict[str, str]) -> None:
        for name, value in cookies.items():
            self.call("Network.setCookie", name=name, value=value, url=url)
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def until(self, expression: str, seconds: float = 20) -> float:
        """Wait until it holds; gives the seconds that it took."""
        begun = time.monotonic()
        while self.value(expression) is not True:
            assert time.monotonic() < begun + seconds, self.value("document.body.innerText")
            time.sleep(0.02)
        return time.monotonic() - begun


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Skips the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("there is no Chromium")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-proxy-server"]
    command = [program, *flags, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_page_of(folder / "DevToolsActivePort"), max_size=None, proxy=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(30)


def _page_of(file: Path) -> str:
    deadline = time.monotonic() + 60
    while not file.exists() or "\n" not in file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    port = file.read_text().splitlines()[0]
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        if pages:
            return str(pages[0]["webSocketDebuggerUrl"])
        assert time.monotonic() < deadline
        time.sleep(0.1)
