"""One node of a GoQuorum network: where it is on this machine, and what it answers."""

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx

LOOPBACK = "127.0.0.1"
# Below the ports that systems give to outgoing connections, so that those of a stopped node stay free for it.
PORTS = range(20_000, 32_000)


class NetworkError(Exception):
    """The network cannot do what was asked of it; the message says why."""


@dataclass(frozen=True)
class Node:
    """One node: its identity in the network and its ports on this machine."""

    name: str
    address: str
    public_key: str
    p2p_port: int
    http_port: int
    ws_port: int
    is_permitted: bool  # counts where the network is permissioned

    @property
    def enode(self) -> str:
        return f"enode://{self.public_key}@{LOOPBACK}:{self.p2p_port}?discport=0"

    @property
    def rpc(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def ws(self) -> str:
        return f"ws://{LOOPBACK}:{self.ws_port}"


@dataclass(frozen=True)
class NodeStatus:
    """How a node is doing: `pid` is None when it does not run, the others when it does not answer."""

    name: str
    pid: int | None
    block: int | None = None
    peers: int | None = None
    is_validator: bool | None = None


def call(node: Node, method: str, *arguments: Any) -> Any:
    """The answer of a node to one JSON-RPC request. Raises NetworkError."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments}
    try:
        answer = httpx.post(node.rpc, json=request, timeout=10, trust_env=False).raise_for_status().json()
    except httpx.HTTPError as error:
        raise NetworkError(f"{node.name} does not answer {method}: {error}") from error
    if "error" in answer:
        raise NetworkError(f"{node.name} refuses {method}: {answer['error']['message']}")
    return answer["result"]


def block_number(node: Node) -> int:
    return int(call(node, "eth_blockNumber"), 16)


def validators(node: Node) -> list[str]:
    """The addresses of those that may seal the next block, as this node sees it."""
    return list(call(node, "istanbul_getValidators", "latest"))


def wait_until(condition: Callable[[], bool], timeout: float, complaint: str) -> None:
    """Ask ten times a second. Raises NetworkError with the complaint when `timeout` seconds were not enough."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise NetworkError(f"After {timeout:.0f} s: {complaint}.")
        time.sleep(0.1)


def free_ports(taken: set[int]) -> tuple[int, int, int]:
    """Three ports that nobody listens on and that are not `taken`."""
    found: set[int] = set()
    while len(found) < 3:
        port = secrets.choice(PORTS)
        if port not in taken and is_free(port):
            found.add(port)
    first, second, third = found
    return first, second, third


def with_free_ports(node: Node) -> Node:
    """The same node, with other ports where somebody took one of its own since it last ran."""
    if all(is_free(port) for port in (node.p2p_port, node.http_port, node.ws_port)):
        return node
    p2p_port, http_port, ws_port = free_ports(set())
    return replace(node, p2p_port=p2p_port, http_port=http_port, ws_port=ws_port)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
