"""Networks of the benchmarks' own on this machine, each with a founded market, in a folder that is thrown away."""

import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deploy.fabric.network as fabric_network
import deploy.quorum.network as quorum_network
from deploy.quorum.genesis import BLOCK_GAS_LIMIT, Settings
from deploy.quorum.node import NetworkError
from evidence.keys import SoftwareKey
from ledger_adapters.exceptions import NotAgreed
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.quorum.adapter import QuorumLedger


@dataclass(frozen=True)
class Fabric:
    """`options` are those of the ledger in `LEDGERS`; `description` is the path of network.json."""

    ledger: FabricLedger
    options: dict[str, Any]
    description: Path
    conditions: str


@dataclass(frozen=True)
class Quorum:
    """`options` are those of the ledger in `LEDGERS`."""

    ledger: QuorumLedger
    options: dict[str, Any]
    conditions: str


class Unavailable(Exception):
    """A program is missing; the message says which."""


@contextmanager
def running_fabric() -> Iterator[Fabric]:
    """Two organisations that both endorse, one orderer. Raises `Unavailable`."""
    try:
        fabric_network.check_programs()
    except fabric_network.NetworkError as error:
        raise Unavailable(str(error)) from error
    with temporary_folder() as folder:
        network = fabric_network.Network(folder / "network")
        try:
            network.start()
            with found_on_fabric(network, folder / "keys") as found:
                yield found
        finally:
            network.stop()


@contextmanager
def found_on_fabric(network: fabric_network.Network, keys: Path) -> Iterator[Fabric]:
    options = {**network.description.options("utility"), "KEYS": str(keys)}
    ledger = FabricLedger.from_options("bench", options)
    try:
        founding = secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key
        try:
            ledger.found(*founding)
        except NotAgreed as error:
            network.agree(error.digest)
            ledger.found(*founding)
        version = _version(["peer", "version"], " Version: v")
        conditions = (
            f"Fabric {version}, two organisations that both endorse, one etcdraft orderer, blocks after 250 ms, TLS,"
            " chaincode in Python, all on this machine"
        )
        yield Fabric(ledger, options, network.folder / "network.json", conditions)
    finally:
        ledger.gateway.close()


@contextmanager
def running_quorum() -> Iterator[Quorum]:
    """Four QBFT validators, gas is free. Raises `Unavailable`."""
    try:
        quorum_network.find_geth()
    except NetworkError as error:
        raise Unavailable(str(error)) from error
    with temporary_folder() as folder:
        network = quorum_network.Network.create(folder / "network", Settings())
        try:
            network.start()
            yield found_on_quorum(network, folder)
        finally:
            network.stop()


def found_on_quorum(network: quorum_network.Network, folder: Path) -> Quorum:
    options = {
        **network.options(),
        "KEYS": str(folder / "keys"),
        "DEPLOYMENT": str(folder / "address"),
    }
    ledger = QuorumLedger.from_options("bench", options)
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    version = _version(["geth", "version"], "Quorum Version: ")
    validators = network.settings.validators
    conditions = (
        f"GoQuorum {version}, {validators} QBFT validators, blocks of 1 s and {BLOCK_GAS_LIMIT:,} gas, gas is free,"
        f" transactions of {ledger.options.transaction_bytes // 1024} KiB, all on this machine"
    )
    return Quorum(ledger, options, conditions)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="energymarket-bench-") as folder:
        yield Path(folder)


def _version(command: list[str], label: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    (version,) = (line.removeprefix(label) for line in said.splitlines() if line.startswith(label))
    return version
