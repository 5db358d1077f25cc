"""A real Fabric CA on loopback with TLS, and the Python of hfc that asks it."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.fabric.addresses import free_ports
from deploy.fabric.packages import make_chaincode_certificates
from ledger_adapters.fabric.gateway import SigningIdentity
from ledger_adapters.fabric.identities import Authority, IdentityFolder, enrol
from tests.evm import await_port

PROJECT = Path(__file__).resolve().parents[3]
BOOTSTRAP = ("admin", "the first secret")


@dataclass(frozen=True)
class Server:
    """A running server. `certificates` has those of its TLS."""

    authority: Authority
    process: "subprocess.Popen[bytes]"
    certificates: Path


@pytest.fixture(scope="session")
def hfc_python() -> Path:
    """Kept from run to run, outside the project."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "energymarket"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / "hfc"
    with (cache / "hfc.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "--no-print-directory", "hfc", f"HFC={folder}", f"PYTHON={sys.executable}"]
        made = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=280)
    if made.returncode:
        pytest.skip(f"the environment of hfc cannot be made: {made.stderr.strip()[-300:]}")
    return folder / "bin" / "python"


@contextmanager
def running_authority(
    folder: Path, python: Path, options: Sequence[str] = (), variables: Mapping[str, str] | None = None, name: str = ""
) -> Iterator[Server]:
    """A server of one's own. With `options` as the program takes them."""
    program = shutil.which("fabric-ca-server")
    if program is None:
        pytest.skip("there is no fabric-ca-server on PATH")
    certificates = folder / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    if not certificates.exists():
        make_chaincode_certificates(certificates)
    [port] = free_ports(1)
    command = [program, "start", f"--home={folder}", "--address=127.0.0.1", f"--port={port}", "--tls.enabled"]
    command += [f"--tls.certfile={certificates / 'server.pem'}", f"--tls.keyfile={certificates / 'server-key.pem'}"]
    command += [f"--boot={':'.join(BOOTSTRAP)}", *options]
    settings = {"FABRIC_CA_SERVER_OPERATIONS_LISTENADDRESS": "127.0.0.1:0", **(variables or {})}
    log = folder / "log"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"], **settings}
        ) as process,
    ):
        try:
            await_port(port, process, log)
            authority = Authority(f"https://127.0.0.1:{port}", certificates / "ca.pem", python, name)
            yield Server(authority, process, certificates)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(hfc_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that has a name, and a second authority beside the first."""
    folder = tmp_path_factory.mktemp("authority") / "server"
    with running_authority(folder, hfc_python, ["--ca.name=utility", "--cacount=1"]) as server:
        yield server


@pytest.fixture(scope="module")
def authority(server: Server) -> Authority:
    return server.authority


@pytest.fixture(scope="module")
def registrar(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    """Who may register and revoke at the first authority."""
    folder = IdentityFolder(tmp_path_factory.mktemp("registrar") / "identity")
    enrol(folder, authority, *BOOTSTRAP)
    return folder.identity()
