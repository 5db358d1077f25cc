"""A Fabric network of two organisations on this machine: made, started, stopped, and its chaincode deployed.

One orderer (etcdraft) and, for the utility and the community each, a peer and a chaincode server, all on loopback, from
the programs on PATH and without Docker. See README.md beside this file; `python deploy/fabric/network.py --help`.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from string import Template

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ledger_adapters.fabric.gateway import BlockingGateway, EndorseError, Proposal, SigningIdentity, Target, Tls

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
PROGRAMS = ("peer", "orderer", "configtxgen", "cryptogen", "osnadmin")

CHANNEL = "market"
CHAINCODE = "market"
ENDORSEMENT_POLICY = "AND('UtilityMSP.peer','CommunityMSP.peer')"
MSP_IDS = {"utility": "UtilityMSP", "community": "CommunityMSP"}
ORDERER_DOMAIN = "orderer.example"

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 15.0
COMMAND_TIMEOUT = 90.0


class NetworkError(Exception):
    """The network cannot be made, started or changed; the message says what is missing or what failed."""


@dataclass(frozen=True)
class Orderer:
    """How to reach the orderer, and its administration with a certificate of its own. Paths are absolute."""

    address: str
    admin_address: str
    operations_address: str
    tls_roots: str
    admin_certificate: str
    admin_key: str


@dataclass(frozen=True)
class Organisation:
    """What a client of one organisation needs, and where its processes listen. Paths are absolute."""

    msp_id: str
    gateway: str
    tls_roots: str
    client_certificate: str
    client_key: str
    admin_msp: str
    operations_address: str
    chaincode_address: str = ""
    package_id: str = ""

    def connect(self) -> BlockingGateway:
        return BlockingGateway(Target(self.gateway, Tls(Path(self.tls_roots).read_bytes())))

    def identity(self) -> SigningIdentity:
        """The client that the organisation was made with."""
        return SigningIdentity.from_files(self.msp_id, Path(self.client_certificate), Path(self.client_key))


@dataclass(frozen=True)
class Description:
    """The content of network.json. `pids` is the folder with a file of each running process."""

    channel: str
    chaincode: str
    sequence: int
    endorsement_policy: str
    pids: str
    orderer: Orderer
    organisations: dict[str, Organisation]

    def options(self, organisation: str) -> dict[str, str]:
        """What a Fabric ledger of `LEDGERS` has to know of the network, for a client of an organisation."""
        own = self.organisations[organisation]
        return {
            "ADDRESS": own.gateway,
            "CHANNEL": self.channel,
            "CHAINCODE": self.chaincode,
            "MSP_ID": own.msp_id,
            "CERTIFICATE": own.client_certificate,
            "PRIVATE_KEY": own.client_key,
            "TLS_CA": own.tls_roots,
        }

    @classmethod
    def from_file(cls, path: Path) -> "Description":
        content = json.loads(path.read_text(encoding="utf-8"))
        content["orderer"] = Orderer(**content["orderer"])
        content["organisations"] = {name: Organisation(**each) for name, each in content["organisations"].items()}
        return cls(**content)


@dataclass(frozen=True)
class Program:
    """One process of the network. `is_ready` says whether it answers."""

    name: str
    argv: Sequence[str]
    configuration: Path | None
    is_ready: Callable[[], bool]


class Network:
    """A network that lives in `folder`: its certificates, configuration, data, logs and pid files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.processes = Processes(self.folder / "run", self.folder / "logs")
        self._file = self.folder / "network.json"
        self._made: Description | None = None

    @property
    def description(self) -> Description:
        if self._made is None:
            if not self._file.exists():
                raise NetworkError(f"{self.folder} holds no network: start one first")
            self._made = Description.from_file(self._file)
        return self._made

    # Making

    def start(self) -> Description:
        """Start all processes; in a folder that does not exist yet make the network and deploy its chaincode first."""
        check_programs()
        if self._file.exists():
            self.processes.start(self.programs().values())
            self._wait_for_leader()
            self._wait_until_endorsing()
            return self.description
        if self.folder.exists() and any(self.folder.iterdir()):
            raise NetworkError(f"{self.folder} holds an unfinished network, or something else: remove it")
        try:
            self._make()
            self.processes.start(self.programs().values())
            self._join()
            self.deploy()
        except BaseException:
            self.processes.stop(self.processes.running())
            raise
        return self.description

    def _make(self) -> None:
        """Keys and certificates, configuration files and the channel's first block."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        addresses = (f"127.0.0.1:{port}" for port in free_ports(3 + 2 * len(MSP_IDS)))
        orderer = self._make_orderer(next(addresses), next(addresses), next(addresses))
        organisations = {name: self._make_organisation(name, next(addresses), next(addresses)) for name in MSP_IDS}
        pids = str(self.processes.folder)
        self._made = Description(CHANNEL, CHAINCODE, 0, ENDORSEMENT_POLICY, pids, orderer, organisations)
        self._make_block()

    def _make_orderer(self, address: str, admin_address: str, operations_address: str) -> Orderer:
        self._make_identities("orderer", "crypto-orderer.yaml", "Orderer", ORDERER_DOMAIN)
        node = self._node("orderer")
        fill(
            "orderer.yaml",
            self.folder / "orderer" / "orderer.yaml",
            port=port_of(address),
            msp=node / "msp",
            tls=node / "tls",
            data=self.folder / "orderer" / "data",
            admin_address=admin_address,
            operations_address=operations_address,
        )
        return Orderer(
            address,
            admin_address,
            operations_address,
            tls_roots=str(node / "tls" / "ca.crt"),
            admin_certificate=str(node / "tls" / "server.crt"),
            admin_key=str(node / "tls" / "server.key"),
        )

    def _make_organisation(self, name: str, address: str, operations_address: str) -> Organisation:
        domain = f"{name}.example"
        self._make_identities(name, "crypto-peer.yaml", name.capitalize(), domain)
        make_chaincode_certificates(self.folder / name / "chaincode")
        node = self._node(name)
        fill(
            "core.yaml",
            self.folder / name / "core.yaml",
            domain=domain,
            address=address,
            msp_id=MSP_IDS[name],
            msp=node / "msp",
            tls=node / "tls",
            data=self.folder / name / "data",
            builder=HERE / "ccaas_builder",
            operations_address=operations_address,
        )
        users = self.folder / name / "crypto" / "peerOrganizations" / domain / "users"
        client = users / f"User1@{domain}" / "msp"
        return Organisation(
            msp_id=MSP_IDS[name],
            gateway=address,
            tls_roots=str(node / "tls" / "ca.crt"),
            client_certificate=str(client / "signcerts" / f"User1@{domain}-cert.pem"),
            client_key=str(client / "keystore" / "priv_sk"),
            admin_msp=str(users / f"Admin@{domain}" / "msp"),
            operations_address=operations_address,
        )

    def _make_identities(self, name: str, template: str, organisation: str, domain: str) -> None:
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        fill(template, folder / "crypto.yaml", name=organisation, domain=domain)
        run(["cryptogen", "generate", f"--config={folder / 'crypto.yaml'}", f"--output={folder / 'crypto'}"])

    def _node(self, name: str) -> Path:
        """Folder with the identity (msp/) and the TLS files (tls/) of the orderer or an organisation's peer."""
        if name == "orderer":
            domain = self.folder / name / "crypto" / "ordererOrganizations" / ORDERER_DOMAIN
            return domain / "orderers" / f"orderer.{ORDERER_DOMAIN}"
        domain = self.folder / name / "crypto" / "peerOrganizations" / f"{name}.example"
        return domain / "peers" / f"peer0.{name}.example"

    def _make_block(self) -> None:
        channel = self.folder / "channel"
        channel.mkdir()
        made = self.description
        fill(
            "configtx.yaml",
            channel / "configtx.yaml",
            batch_timeout="250ms",
            endorsement_policy=ENDORSEMENT_POLICY,
            orderer_port=port_of(made.orderer.address),
            orderer_certificate=made.orderer.admin_certificate,
            orderer_msp=self._node("orderer").parents[1] / "msp",
            utility_msp=self._node("utility").parents[1] / "msp",
            utility_port=port_of(made.organisations["utility"].gateway),
            community_msp=self._node("community").parents[1] / "msp",
            community_port=port_of(made.organisations["community"].gateway),
        )
        block = ["-profile", "Market", "-channelID", CHANNEL, "-outputBlock", str(channel / "genesis.block")]
        run(["configtxgen", *block], FABRIC_CFG_PATH=str(channel))

    def _join(self) -> None:
        block, orderer = str(self.folder / "channel" / "genesis.block"), self.description.orderer
        command = ["osnadmin", "channel", "join", "--channelID", CHANNEL, "--config-block", block]
        command += ["-o", orderer.admin_address, "--ca-file", orderer.tls_roots]
        command += ["--client-cert", orderer.admin_certificate, "--client-key", orderer.admin_key]
        run(command)
        both(lambda name: self._administer(name, "channel", "join", "-b", block))
        self._wait_for_leader()

    # Chaincode

    def deploy(self) -> None:
        """Deploy the chaincode of this working copy as the next version: both approve it, then it is committed.

        Until then the servers of the version before go on.
        """
        before, sequence = self.description, self._committed() + 1
        ports = dict(zip(MSP_IDS, free_ports(len(MSP_IDS)), strict=True))
        packages = both(lambda name: self._install(name, f"127.0.0.1:{ports[name]}", sequence))
        organisations = {
            name: replace(each, chaincode_address=f"127.0.0.1:{ports[name]}", package_id=packages[name])
            for name, each in before.organisations.items()
        }
        self._made = replace(before, sequence=sequence, organisations=organisations)
        servers = {name: self.programs()[f"chaincode-{name}"] for name in MSP_IDS}
        new = {name: replace(server, name=f"{server.name}-{sequence}") for name, server in servers.items()}
        try:
            self.processes.start(new.values())
            self._define(sequence)
        except BaseException:
            self._made = before
            self.processes.stop([server.name for server in new.values()])
            raise
        for name, server in servers.items():
            self.processes.stop([server.name])
            self.processes.rename(new[name].name, server.name)
        self._save()
        self._wait_until_endorsing()

    def _committed(self) -> int:
        """The number of the version that the channel has, which a deployment cut short may have raised already."""
        query = ("querycommitted", "--channelID", CHANNEL, "--output", "json")
        found = json.loads(self._administer("utility", "lifecycle", "chaincode", *query))
        numbers = [each["sequence"] for each in found.get("chaincode_definitions", []) if each["name"] == CHAINCODE]
        return int(numbers[0]) if numbers else 0

    def _install(self, name: str, address: str, sequence: int) -> str:
        label = f"{CHAINCODE}_{sequence}"
        package = make_package(label, address, self.folder / name / "chaincode")
        path = self.folder / name / "chaincode" / f"{label}.tar.gz"
        path.write_bytes(package)
        self._administer(name, "lifecycle", "chaincode", "install", str(path))
        return f"{label}:{hashlib.sha256(package).hexdigest()}"

    def _define(self, sequence: int) -> None:
        made = self.description
        definition = ["--channelID", CHANNEL, "--name", CHAINCODE, "--version", str(sequence)]
        definition += ["--sequence", str(sequence), "--signature-policy", ENDORSEMENT_POLICY]
        definition += ["-o", made.orderer.address, "--tls", "--cafile", made.orderer.tls_roots]
        lifecycle = ("lifecycle", "chaincode")
        both(
            lambda name: self._administer(
                name, *lifecycle, "approveformyorg", "--package-id", made.organisations[name].package_id, *definition
            )
        )
        peers = [
            option
            for each in made.organisations.values()
            for option in ("--peerAddresses", each.gateway, "--tlsRootCertFiles", each.tls_roots)
        ]
        self._administer("utility", *lifecycle, "commit", *definition, *peers)

    def _save(self) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self.description), indent=2) + "\n", encoding="utf-8")
        draft.replace(self._file)

    def _administer(self, name: str, *arguments: str) -> str:
        """Run the `peer` program as an organisation's administrator."""
        organisation = self.description.organisations[name]
        return run(
            ["peer", *arguments],
            FABRIC_CFG_PATH=str(self.folder / name),
            FABRIC_LOGGING_SPEC="error",
            CORE_PEER_MSPCONFIGPATH=organisation.admin_msp,
        )

    # Running

    def programs(self) -> dict[str, Program]:
        """Every process, in the order in which they are started."""
        made = self.description
        orderer = made.orderer
        places = (orderer.address, orderer.admin_address)
        programs = [
            Program(
                "orderer",
                ["orderer"],
                self.folder / "orderer",
                lambda: is_healthy(orderer.operations_address) and all(map(is_listening, places)),
            )
        ]
        for name, each in made.organisations.items():
            is_ready = partial(is_healthy, each.operations_address)
            programs.append(Program(f"peer-{name}", ["peer", "node", "start"], self.folder / name, is_ready))
        programs += [self._chaincode(name, each) for name, each in made.organisations.items() if each.chaincode_address]
        return {program.name: program for program in programs}

    def _chaincode(self, name: str, organisation: Organisation) -> Program:
        tls = self.folder / name / "chaincode"
        argv = [sys.executable, "-m", "ledger_adapters.fabric.chaincode"]
        argv += ["--address", organisation.chaincode_address, "--id", organisation.package_id]
        argv += ["--tls-cert", str(tls / "server.pem"), "--tls-key", str(tls / "server-key.pem")]
        argv += ["--client-ca", str(tls / "ca.pem"), "--genesis-file", str(self._genesis_file(name))]
        return Program(f"chaincode-{name}", argv, None, partial(is_listening, organisation.chaincode_address))

    def _genesis_file(self, name: str) -> Path:
        return self.folder / name / "genesis"

    def agree(self, digest: bytes) -> None:
        """Have both organisations agree to the genesis record of that SHA-256: no other can be the ledger's first."""
        for name in self.description.organisations:
            self._genesis_file(name).write_text(digest.hex() + "\n", encoding="ascii")

    def _wait_for_leader(self) -> None:
        """Until the orderer takes transactions: also a single one elects itself after each start."""
        deadline = time.monotonic() + START_TIMEOUT
        address = self.description.orderer.operations_address
        line = f'consensus_etcdraft_is_leader{{channel="{CHANNEL}"}} 1'
        while line not in (fetch(address, "/metrics") or "").splitlines():
            if time.monotonic() > deadline:
                raise NetworkError("the orderer does not become its own leader")
            time.sleep(0.05)

    def _wait_until_endorsing(self) -> None:
        """Until every gateway brings the endorsements together: peers first have to hear of each other."""
        deadline = time.monotonic() + START_TIMEOUT
        for each in self.description.organisations.values():
            with each.connect() as gateway:
                while (error := self._try_endorsing(gateway, each.identity())) is not None:
                    if time.monotonic() > deadline:
                        raise NetworkError(f"{each.gateway} brings no endorsements together: {error}")
                    time.sleep(0.1)

    def _try_endorsing(self, gateway: BlockingGateway, identity: SigningIdentity) -> EndorseError | None:
        made = self.description
        proposal = Proposal.build(identity.identity, made.channel, made.chaincode, ["read", b""])
        try:
            gateway.endorse(proposal.sign(identity))
        except EndorseError as error:
            return error
        return None

    def stop(self) -> None:
        self.processes.stop(reversed(self._names()))

    def restart(self, name: str) -> None:
        """Stop one process if it runs, and start it on its data."""
        program = self._program(name)
        self.processes.stop([name])
        self.processes.start([program])

    def kill(self, name: str) -> None:
        """End one process as a power cut would."""
        self.processes.stop([self._program(name).name], signal.SIGKILL)

    def status(self) -> dict[str, str]:
        """What each process does: running with its pid, not answering, or stopped."""
        return {name: self._status(program) for name, program in self.programs().items()}

    def _status(self, program: Program) -> str:
        process = self.processes.find(program.name)
        if process is None:
            return "stopped"
        return f"running, pid {process.pid}" if program.is_ready() else f"not answering, pid {process.pid}"

    def _program(self, name: str) -> Program:
        if name not in self.programs():
            raise NetworkError(f"no process {name}: there are {', '.join(self.programs())}")
        return self.programs()[name]

    def _names(self) -> list[str]:
        return sorted(self.processes.running(), key=list(self.programs()).index)


class Processes:
    """Processes in groups of their own. A pid file says enough to know each again when its pid was given to another."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self._logs = logs
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, programs: Iterable[Program]) -> None:
        """Start those that do not run, and wait until all answer."""
        programs = list(programs)
        for program in programs:
            if self.find(program.name) is None:
                self._spawn(program)
        deadline = time.monotonic() + START_TIMEOUT
        for program in programs:
            self._wait_for(program, deadline)

    def _spawn(self, program: Program) -> None:
        for folder in (self.folder, self._logs):
            folder.mkdir(exist_ok=True)
        variables = {
            "FABRIC_LOGGING_FORMAT": "%{time:2006-01-02T15:04:05.000Z07:00} %{level} [%{module}] %{message}",
            "FABRIC_LOGGING_SPEC": "grpc=error:info",
        }
        if program.configuration:
            variables["FABRIC_CFG_PATH"] = str(program.configuration)
        with self._log(program.name).open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 programs of our own
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                env=environment(variables),
                start_new_session=True,
            )
        self._children[child.pid] = child
        record = {"pid": child.pid, "started": psutil.Process(child.pid).create_time()}
        self._record(program.name).write_text(json.dumps(record), encoding="utf-8")

    def _wait_for(self, program: Program, deadline: float) -> None:
        while not program.is_ready():
            if self.find(program.name) is None:
                raise NetworkError(f"{program.name} ended:\n{tail(self._log(program.name))}")
            if time.monotonic() > deadline:
                raise NetworkError(f"{program.name} does not answer; its log is {self._log(program.name)}")
            time.sleep(0.05)

    def find(self, name: str) -> psutil.Process | None:
        """The running process of that name."""
        try:
            record = json.loads(self._record(name).read_text(encoding="utf-8"))
            process = psutil.Process(record["pid"])
            is_same = process.create_time() == record["started"]
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return process if is_same and not has_ended(process) else None

    def running(self) -> list[str]:
        return [path.stem for path in self.folder.glob("*.pid") if self.find(path.stem)]

    def stop(self, names: Iterable[str], number: signal.Signals = signal.SIGTERM) -> None:
        """End those that run, each with all of its group, one after the other."""
        for name in names:
            process = self.find(name)
            if process is not None:
                os.killpg(process.pid, number)
                self._wait_for_end(name, process)
                if child := self._children.pop(process.pid, None):
                    child.wait()
            self._record(name).unlink(missing_ok=True)
        self._children = {pid: child for pid, child in self._children.items() if child.poll() is None}

    def _wait_for_end(self, name: str, process: psutil.Process) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT
        while not has_ended(process):
            if time.monotonic() > deadline:
                print(f"{name} did not stop in {STOP_TIMEOUT:.0f} s and is killed", file=sys.stderr)
                os.killpg(process.pid, signal.SIGKILL)
                deadline += STOP_TIMEOUT
            time.sleep(0.02)

    def rename(self, old: str, new: str) -> None:
        self._record(old).replace(self._record(new))
        if self._log(new).exists():
            self._log(new).replace(self._log(new).with_suffix(".log.1"))
        self._log(old).replace(self._log(new))

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def has_ended(process: psutil.Process) -> bool:
    """True also for a process that its parent has not waited for yet; false while one of its threads still runs."""
    try:
        if not process.is_running():
            return True
        return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)
    except psutil.NoSuchProcess:
        return True


def check_programs() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise NetworkError(f"{', '.join(missing)} {verb} not on PATH: {os.environ.get('PATH', '')}")


def run(argv: Sequence[str], **variables: str) -> str:
    """Run a program to its end and return its output. Raises `NetworkError` with what it said."""
    try:
        finished = subprocess.run(  # noqa: S603 programs of our own
            argv, env=environment(variables), capture_output=True, text=True, timeout=COMMAND_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise NetworkError(f"{' '.join(argv[:4])} took longer than {COMMAND_TIMEOUT:.0f} s") from None
    # osnadmin ends with 0 whatever the orderer answers.
    if finished.returncode or finished.stdout.startswith("Status: 4"):
        raise NetworkError(f"{' '.join(argv[:4])} failed:\n{finished.stdout}{finished.stderr}".rstrip())
    return finished.stdout


def both(do: Callable[[str], str]) -> dict[str, str]:
    """Do the same for both organisations at once."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(MSP_IDS, pool.map(do, MSP_IDS), strict=True))


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours without what Fabric would read as settings, and without the secrets of anything else."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    return {**{name: os.environ[name] for name in kept if name in os.environ}, **variables}


def fill(template: str, path: Path, **values: object) -> None:
    text = (HERE / "templates" / template).read_text(encoding="utf-8")
    path.write_text(Template(text).substitute({name: str(value) for name, value in values.items()}), encoding="utf-8")


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


def tail(path: Path, lines: int = 8) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def make_package(label: str, address: str, certificates: Path) -> bytes:
    """A chaincode package that only says where the service listens; the same input gives the same bytes."""
    connection = {
        "address": address,
        "dial_timeout": "10s",
        "tls_required": True,
        "client_auth_required": True,
        "root_cert": (certificates / "ca.pem").read_text(encoding="ascii"),
        "client_cert": (certificates / "client.pem").read_text(encoding="ascii"),
        "client_key": (certificates / "client-key.pem").read_text(encoding="ascii"),
    }
    code = make_archive({"connection.json": json.dumps(connection).encode()})
    metadata = json.dumps({"type": "ccaas", "label": label}).encode()
    return make_archive({"metadata.json": metadata, "code.tar.gz": code})


def make_archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def make_chaincode_certificates(folder: Path) -> None:
    """Certificates between a peer and its chaincode server, from an authority whose key is forgotten at once.

    Not from the organisation's own authorities: what they sign can speak for the organisation.
    """
    folder.mkdir(mode=0o700)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = certificate("chaincode authority", authority_key, authority_key, None, None)
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    for name, use in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        signed = certificate(f"chaincode {name}", key, authority_key, authority.subject, use)
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        path = folder / f"{name}-key.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    use: x509.ObjectIdentifier | None,
) -> x509.Certificate:
    """Valid for ten years; an authority, signed by itself, when no issuer is named."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if use is not None:
        names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def sha256(text: str) -> bytes:
    """Raises `ValueError` unless the text is one in hexadecimal."""
    digest = bytes.fromhex(text)
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError(text)
    return digest


def main() -> None:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--folder", type=Path, default=PROJECT / "var" / "fabric", help="where the network lives")
    parser = argparse.ArgumentParser(description="A Fabric network of two organisations on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, meaning in (
        ("start", "start all; make the network first where there is none"),
        ("stop", "stop all"),
        ("options", "print what ENERGYMARKET_LEDGER_OPTIONS has to hold for the utility on this network"),
        ("status", "say what runs"),
        ("deploy", "deploy the chaincode of this working copy as the next version"),
        ("agree", "have both organisations agree to a genesis record, so that the ledger can be founded with it"),
        ("restart", "stop and start one process"),
        ("kill", "end one process at once"),
    ):
        subparser = commands.add_parser(command, parents=[common], help=meaning, description=meaning)
        if command in ("restart", "kill"):
            subparser.add_argument("name")
        if command == "agree":
            subparser.add_argument("--genesis", type=sha256, required=True, help="SHA-256 of the record, in hex")
    options = parser.parse_args()
    network = Network(options.folder)
    try:
        match options.command:
            case "start":
                begun = time.monotonic()
                network.start()
                print(f"started in {time.monotonic() - begun:.1f} s; {network.folder / 'network.json'} says where")
            case "restart" | "kill":
                getattr(network, options.command)(options.name)
            case "agree":
                network.agree(options.genesis)
            case "options":
                print(json.dumps(network.description.options("utility"), indent=2))
            case "stop" | "deploy":
                getattr(network, options.command)()
            case "status":
                for name, state in network.status().items():
                    print(f"{name:20} {state}")
    except NetworkError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
