"""Where processes listen on this machine, and whether they answer."""

import random
import socket
import urllib.request

from deploy.fabric.description import NetworkError


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to outgoing connections, so that they are still free after a restart."""
    candidates = random.sample(range(20_000, 32_000), k=1_000)
    found: list[int] = []
    for port in candidates:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise NetworkError("no free ports between 20000 and 32000")


def free_addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


def is_listening(address: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", int(port_of(address))), timeout=1):
            return True
    except OSError:
        return False


def is_healthy(address: str) -> bool:
    return fetch(address, "/healthz") is not None


def fetch(address: str, path: str) -> str | None:
    """A page of the operations service, None when it is not served or an error."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=1) as answer:
            page: str = answer.read().decode()
            return page
    except OSError:
        return None
