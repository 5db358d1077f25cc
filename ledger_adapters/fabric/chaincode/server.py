"""The chaincode server: peers connect to it, over TLS with certificates on both sides."""

import asyncio
import ipaddress
import logging
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from fabric_protos.peer.chaincode_shim_pb2 import ChaincodeMessage
from fabric_protos.peer.chaincode_shim_pb2_grpc import ChaincodeServicer, add_ChaincodeServicer_to_server

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.chaincode.stream import PeerStream

log = logging.getLogger(__name__)

# As the peer's own limit.
MESSAGE_BYTES = 100 * 1024 * 1024
STOP_SECONDS = 2.0
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # The peer pings every minute; more often than every five minutes gRPC by default takes for an attack.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A second server at the same address is an error, not a partner.
    ("grpc.so_reuseport", 0),
]


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM: our key and certificate, and the roots that the peer's client certificate must come from."""

    key: bytes
    certificate: bytes
    client_roots: bytes

    @classmethod
    def from_files(cls, key: Path, certificate: Path, client_roots: Path) -> "Tls":
        try:
            return cls(key.read_bytes(), certificate.read_bytes(), client_roots.read_bytes())
        except OSError as error:
            raise Misconfigured(f"{error.filename}: {error.strerror}") from error


class Chaincode(ChaincodeServicer):  # type: ignore[misc]
    """The service that peers call."""

    def __init__(self, package_id: str, genesis_file: Path | None) -> None:
        self._package_id = package_id
        self._genesis_file = genesis_file
        self._streams: dict[PeerStream, asyncio.Task[None]] = {}

    async def Connect(self, request_iterator: AsyncIterator[ChaincodeMessage], context: Any) -> None:
        log.info("peer %s connected", context.peer())
        stream = PeerStream(self._package_id, context, time.time, self._genesis_file)
        serving = self._streams[stream] = asyncio.create_task(stream.serve())
        try:
            await asyncio.wait({serving})
        finally:
            serving.cancel()
            del self._streams[stream]
            log.info("peer %s is gone", context.peer())
        if not serving.cancelled():
            serving.result()

    async def finish(self, seconds: float) -> None:
        """Wait for a moment without a transaction in progress, at most so long, then end the streams."""
        deadline = time.monotonic() + seconds
        while any(stream.is_busy for stream in self._streams) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for serving in self._streams.values():
            serving.cancel()


def create_server(address: str, chaincode: Chaincode, tls: Tls | None) -> grpc.aio.Server:
    """Raises `Misconfigured` when the address is taken, or open to other machines without TLS."""
    server = grpc.aio.server(options=OPTIONS)
    add_ChaincodeServicer_to_server(chaincode, server)
    try:
        if tls is not None:
            server.add_secure_port(address, _credentials(tls))
        elif _is_loopback(address):
            server.add_insecure_port(address)
        else:
            raise Misconfigured(f"{address} can be reached from other machines: give --tls-cert and its fellows")
    except RuntimeError as error:
        raise Misconfigured(f"--address {address}: {error}") from error
    return server


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(tls.key, tls.certificate)], tls.client_roots, require_client_auth=True)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def run(address: str, package_id: str, tls: Tls | None, genesis_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; transactions in progress get `STOP_SECONDS` to finish."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    chaincode = Chaincode(package_id, genesis_file)
    server = create_server(address, chaincode, tls)
    await server.start()
    log.info("chaincode %s at %s, %s", package_id, address, "TLS" if tls else "without TLS")
    await stop.wait()
    await chaincode.finish(STOP_SECONDS)
    await server.stop(1)
    log.info("ended")
