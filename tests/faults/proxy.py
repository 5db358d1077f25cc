"""A network between worker and ledger that fails on request; it carries bytes, so TLS passes through it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


class Proxy:
    """Listens on a port of its own, the same for its whole life. Its modes hold for old and new connections alike."""

    def __init__(self, target: str) -> None:
        """`target`: host:port, or a URL."""
        parts = urlsplit(target if "://" in target else f"//{target}")
        self._target = (parts.hostname or LOOPBACK, parts.port or 0)
        self._passing = threading.Event()
        self._left: int | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [self._accept()]
        self._passing.set()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def refuse(self) -> None:
        """Nobody listens, and what was connected is cut off."""
        # Without it a thread that waits in accept() would keep the port.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._disconnect()

    def hang(self) -> None:
        """Connections are taken, and nothing comes through in either direction."""
        self._passing.clear()

    def cut(self, size: int) -> None:
        """Of each connection's further replies `size` bytes come through, then it ends."""
        self._left = size

    def recover(self) -> None:
        """What hung goes on where it was."""
        self._left = None
        self._passing.set()
        if self._listener.fileno() == -1:
            self._listener = _listen(self.port)
            self._threads.append(self._accept())

    def close(self) -> None:
        if self._listener.fileno() != -1:
            self.refuse()
        self._disconnect()
        self._passing.set()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> threading.Thread:
        return _started(self._serve, self._listener)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open |= {client, server}
            self._threads.append(_started(self._pump, client, server, False))
            self._threads.append(_started(self._pump, server, client, True))

    def _pump(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        seen = 0
        try:
            while data := source.recv(65_536):
                self._passing.wait()
                left = self._left if is_reply else None
                if left is None:
                    sink.sendall(data)
                    continue
                sink.sendall(data[: max(0, left - seen)])
                seen += len(data)
                if seen >= left:
                    break
        except OSError:
            # The other direction, or a fault, has closed it.
            pass
        finally:
            self._end(source, sink)

    def _disconnect(self) -> None:
        with self._lock:
            found = list(self._open)
        self._end(*found)

    def _end(self, *ends: socket.socket) -> None:
        with self._lock:
            ours = [end for end in ends if end in self._open]
            self._open -= set(ours)
        for end in ours:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


@contextmanager
def proxy_to(target: str) -> Iterator[Proxy]:
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()


def _listen(port: int) -> socket.socket:
    return socket.create_server((LOOPBACK, port), backlog=64)


def _started(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread
