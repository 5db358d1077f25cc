"""More than the utility on a real network: users of the system for each, organisations that join, audit and leave."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.msp import identities_pb2

from apps.ledger.services.replay import verify
from deploy.fabric.addresses import fetch
from deploy.fabric.channel import without_organisation
from deploy.fabric.description import Standing
from deploy.fabric.network import Network, NetworkError, check_programs
from deploy.fabric.users import User, acting_as, find_user
from evidence.bundle import FabricLog
from evidence.commands import signed_batch
from evidence.keys import SoftwareKey
from evidence.trust import FabricTrust
from evidence.verify.ledger import read_log
from ledger_adapters.base import ChannelProof, Transaction
from ledger_adapters.contract import Code
from ledger_adapters.exceptions import Misconfigured, Transient
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.fabric.chaincode.messages import SubmitResponse
from ledger_adapters.fabric.configurations import configuration_of, read_block
from ledger_adapters.fabric.gateway import CommitError, EndorseError, EvaluateError, ValidationCode
from tests.fabric.conftest import Client
from tests.fabric.installation import install, python_of
from tests.fabric.recording import found, ledger_on, registration
from tests.fabric.test_network import eventually

pytestmark = pytest.mark.fabric

# Numbers that no user of the system has to have.
USERS = {"utility": "61001", "community": "61002"}
RECOVERY = 60.0  # seconds


def user_of(name: str) -> User:
    found = find_user(USERS[name])
    assert found is not None
    return found


def cannot_change_users() -> str:
    """Why the organisations cannot have users of their own here, if they cannot."""
    if os.geteuid() != 0:
        return "only root can start processes as another user"
    user = user_of("community")
    if python_of(user) is None:
        return "there is no Python of this version that another user can run"
    try:
        subprocess.run(acting_as(user, ["peer", "version"]), check=True, capture_output=True, cwd="/")
    except subprocess.CalledProcessError as error:
        return f"another user cannot run Fabric's programs: {error.stderr.decode().strip()}"
    return ""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Each founder as a user of its own, where that can be. In a folder that they can reach, as pytest's are not."""
    try:
        check_programs()
    except NetworkError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="organisations-"))
    try:
        folder.chmod(0o755)
        network = Network(folder / "network")
        if cannot_change_users():
            network.start()
        else:
            python = install(folder / "python", python_of(user_of("community")) or "")
            network.start(USERS, dict.fromkeys(USERS, python))
        try:
            yield network
        finally:
            network.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("market") / "keys"


@pytest.fixture(scope="module")
def ledger(network: Network, keys: Path) -> Iterator[FabricLedger]:
    """The market, through the utility's peer."""
    ledger = ledger_on(network, keys)
    with closing(ledger.gateway):
        found(network, ledger, SoftwareKey.generate().public_key)
        yield ledger


def options(network: Network, organisation: str, keys: Path) -> dict[str, Any]:
    return {**network.description.options(organisation), "KEYS": str(keys), "OPERATOR": organisation == "utility"}


def apply_one(ledger: FabricLedger) -> bytes:
    """Send a command as the outbox does, again where the ledger was not reached; returns the id of what was applied."""
    command = registration(ledger)
    transaction = ledger.prepare([command.envelope.encode()])
    eventually(lambda: goes_through(ledger, transaction), RECOVERY)
    return command.id


def goes_through(ledger: FabricLedger, transaction: Transaction) -> bool:
    try:
        ledger.submit(transaction)
    except Transient:
        return False
    return True


def new_batch(ledger: FabricLedger) -> bytes:
    """Signed by the operator, for anybody to relay."""
    return signed_batch(ledger.genesis().ledger, [registration(ledger).envelope.encode()], ledger.operator).encode()


def is_applied(answer: bytes) -> bool:
    return SubmitResponse.decode(answer).codes == (Code.APPLIED,)


@contextmanager
def traffic(ledger: FabricLedger) -> Iterator[list[bytes]]:
    """Commands one after the other, all the time; gives the ids of those that were applied. What fails is raised."""
    applied: list[bytes] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            applied.append(apply_one(ledger))

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield applied
        finally:
            over.set()
            working.result()


# Users


@pytest.fixture
def as_users() -> None:
    if reason := cannot_change_users():
        pytest.skip(reason)


def opened_by(name: str, paths: Iterable[Path]) -> set[Path]:
    """The files that an organisation's user can open for reading."""
    user = user_of(name)
    code = """
import sys
for path in sys.stdin.read().split("\\0"):
    try:
        open(path, "rb").close()
    except PermissionError:
        continue
    print(path)
"""
    told = "\0".join(map(str, paths))
    command = acting_as(user, [python_of(user) or "", "-I", "-c", code])
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=True, cwd="/")
    return set(map(Path, done.stdout.splitlines()))


def process(network: Network, name: str) -> psutil.Process:
    found = network.processes.find(name)
    assert found is not None
    return found


def test_neither_founder_can_read_a_file_of_the_others(as_users: None, network: Network, ledger: FabricLedger) -> None:
    apply_one(ledger)
    for own, other in (("utility", "community"), ("community", "utility")):
        home = network.folder / own
        files = {path for path in home.rglob("*") if path.is_file()}
        written_once = {path for path in files if not path.is_relative_to(home / "data")}
        assert {path.name for path in written_once} > {"priv_sk", "server-key.pem", "core.yaml", "genesis"}
        assert opened_by(own, written_once) == written_once
        assert opened_by(other, files) == set()
        assert opened_by(other, [network.folder / "logs" / f"chaincode-{own}.log"]) == set()


def test_a_founders_processes_are_out_of_the_others_reach(as_users: None, network: Network) -> None:
    for own, other in (("utility", "community"), ("community", "utility")):
        for kind in ("peer", "chaincode"):
            running = process(network, f"{kind}-{own}")
            assert set(running.uids()) == {int(USERS[own])}
            assert set(running.gids()) == {int(USERS[own])}
            environment = Path(f"/proc/{running.pid}/environ")
            assert opened_by(own, [environment]) == {environment}
            assert opened_by(other, [environment]) == set()
            kill = acting_as(user_of(other), ["kill", "-KILL", str(running.pid)])
            assert subprocess.run(kill, capture_output=True, cwd="/").returncode == 1
            assert running.is_running()


def test_what_is_written_for_an_organisation_is_its_own(as_users: None, network: Network, ledger: FabricLedger) -> None:
    """It may have put a link in the place of what is written: what it cannot write itself stays as it was."""
    foreign, agreed = network.folder / "orderer" / "orderer.yaml", network.folder / "community" / "genesis"
    before, digest = foreign.read_bytes(), agreed.read_text(encoding="ascii")
    agreed.unlink()
    agreed.symlink_to(foreign)
    try:
        with pytest.raises(NetworkError, match="Permission denied"):
            network.agree(bytes(32))
        assert foreign.read_bytes() == before
    finally:
        agreed.unlink()
        network.agree(bytes.fromhex(digest))


def test_a_user_that_cannot_run_the_chaincode_is_refused(as_users: None, tmp_path: Path) -> None:
    """Pytest's folders are for their owner only."""
    with pytest.raises(NetworkError, match=r"user 61002 cannot enter .*channel or cannot run .*python.*\(--python\)"):
        Network(tmp_path / "network").start({"community": USERS["community"]})


def test_only_root_can_start_processes_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert find_user("") is None
    with pytest.raises(NetworkError, match=r"^only root can start processes as nobody$"):
        find_user("nobody")


def test_without_the_communitys_peer_a_command_fails_and_goes_through_afterwards(
    network: Network, ledger: FabricLedger
) -> None:
    command = registration(ledger)
    transaction = ledger.prepare([command.envelope.encode()])
    network.kill("peer-community")
    try:
        with pytest.raises(Transient, match=r"CommunityMSP .*connection refused"):
            ledger.submit(transaction)
    finally:
        network.restart("peer-community")
    eventually(lambda: goes_through(ledger, transaction), RECOVERY)
    assert [outcome.code for outcome in ledger.outcome(transaction.id) or ()] == [Code.APPLIED]


# Joining


@dataclass(frozen=True)
class Before:
    """What was proven, and what readers trusted, when the channel had its founders only."""

    id: bytes
    proof: ChannelProof
    trust: FabricTrust


@pytest.fixture(scope="module")
def before(ledger: FabricLedger) -> Before:
    id = apply_one(ledger)
    return Before(id, ledger.prove([id]), ledger.trust())


@pytest.fixture(scope="module")
def village(network: Network, ledger: FabricLedger, before: Before) -> Iterator[Client]:
    """A client of an organisation that joined while commands went on."""
    with traffic(ledger) as applied:
        first = len(applied)
        network.add("village")
        eventually(lambda: len(applied) > first + 2)
    client = Client(network, "village")
    with client.gateway:
        yield client


@pytest.fixture(scope="module")
def auditor(network: Network, ledger: FabricLedger, keys: Path, before: Before) -> Iterator[FabricLedger]:
    with traffic(ledger):
        network.add("auditor", Standing.AUDITOR)
    adapter = FabricLedger.from_options("auditor", options(network, "auditor", keys))
    with closing(adapter.gateway):
        yield adapter


def test_a_member_reads_everything_at_its_own_peer_and_sends(ledger: FabricLedger, village: Client) -> None:
    genesis = ledger.genesis()
    assert village.evaluate(b"genesis", by=["VillageMSP"]) == genesis.encode()
    assert is_applied(village.submit(b"submit", new_batch(ledger)).result)
    height = ledger.health().size
    eventually(lambda: village.gateway.chain_info(village.identity, "market").height >= height)


@pytest.mark.parametrize("with_it", [["VillageMSP"], ["UtilityMSP", "VillageMSP"], ["CommunityMSP", "VillageMSP"]])
def test_a_members_endorsement_replaces_no_founders(ledger: FabricLedger, village: Client, with_it: list[str]) -> None:
    with pytest.raises(CommitError) as caught:
        village.submit(b"submit", new_batch(ledger), by=with_it)
    assert caught.value.code == ValidationCode.ENDORSEMENT_POLICY_FAILURE


def test_who_approved_can_be_read_from_the_channel(network: Network, ledger: FabricLedger, village: Client) -> None:
    changes = network.changes()
    assert changes[-1].block == 0
    assert changes[-1].approvals == ()
    assert changes[-1].organisations == {"UtilityMSP", "CommunityMSP"}
    [joined] = [
        change
        for change, earlier in pairwise(changes)
        if change.organisations - earlier.organisations == {"VillageMSP"}
    ]
    assert joined.approvals == (
        ("CommunityMSP", "Admin@community.example"),
        ("UtilityMSP", "Admin@utility.example"),
    )
    block = read_block(ledger.gateway, ledger.identity, "market", joined.block)
    assert signers_of(block) == {certificate_of(network, name) for name in ("utility", "community")}


def signers_of(block: Any) -> set[bytes]:
    """The certificates (PEM) whose keys signed the change in a block; each signature is checked."""
    last = common_pb2.Payload.FromString(configuration_of(block).last_update.payload)
    update = configtx_pb2.ConfigUpdateEnvelope.FromString(last.data)
    found = set()
    for each in update.signatures:
        creator = common_pb2.SignatureHeader.FromString(each.signature_header).creator
        certificate: bytes = identities_pb2.SerializedIdentity.FromString(creator).id_bytes
        key = x509.load_pem_x509_certificate(certificate).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(each.signature, each.signature_header + update.config_update, ec.ECDSA(hashes.SHA256()))
        found.add(certificate)
    return found


def certificate_of(network: Network, name: str) -> bytes:
    [path] = Path(network.description.organisations[name].admin_msp, "signcerts").iterdir()
    return path.read_bytes()


@pytest.mark.parametrize("approvers", [["utility"], ["community"], ["village", "utility"], ["auditor", "community"]])
def test_one_founder_alone_can_change_nothing(
    network: Network, village: Client, auditor: FabricLedger, approvers: list[str]
) -> None:
    before = network.on_channel()
    with pytest.raises(NetworkError, match=r"policy for .* /Channel/Application not satisfied"):
        network.change_channel(lambda config: without_organisation(config, "VillageMSP"), approvers)
    assert network.on_channel() == before


def test_new_chaincode_waits_for_the_founders_only(
    network: Network, ledger: FabricLedger, village: Client, auditor: FabricLedger
) -> None:
    sequence = network.description.sequence + 1
    network.kill("peer-village")
    try:
        with pytest.raises(NetworkError, match=f"^village does not run version {sequence} yet: "):
            network.deploy()
        apply_one(ledger)
        assert runs(network, sequence) == {"utility", "community", "auditor"}
    finally:
        network.restart("peer-village")
    network.add("village")
    assert runs(network, sequence) == {"utility", "community", "auditor", "village"}
    eventually(lambda: village.evaluate(b"genesis", by=["VillageMSP"]) == ledger.genesis().encode())


def runs(network: Network, sequence: int) -> set[str]:
    """The organisations whose peers have the package of that version."""
    organisations = network.description.organisations.items()
    return {name for name, each in organisations if each.package_id.startswith(f"market_{sequence}:")}


# Auditing


def test_an_auditor_replays_the_ledger_at_its_own_peer(
    ledger: FabricLedger, auditor: FabricLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_one(ledger)
    ledgers = {"theirs": auditor, "ours": ledger}
    monkeypatch.setattr("apps.ledger.services.replay.get_ledger", ledgers.__getitem__)
    eventually(lambda: auditor.health().size == ledger.health().size)
    theirs, ours = verify("theirs"), verify("ours")
    assert theirs == ours
    assert theirs.differences == ()
    assert theirs.entries > 0


def test_an_auditor_proves_and_names_the_same_trust(ledger: FabricLedger, auditor: FabricLedger) -> None:
    id = apply_one(ledger)
    eventually(lambda: auditor.health().size == ledger.health().size)
    assert auditor.prove([id]) == ledger.prove([id])
    assert auditor.trust() == ledger.trust()


def test_an_auditors_clients_ask_its_own_peer(network: Network, ledger: FabricLedger, auditor: FabricLedger) -> None:
    client = Client(network, "auditor")
    with client.gateway:
        assert client.evaluate(b"genesis", by=["AuditorMSP"]) == ledger.genesis().encode()


def test_an_auditor_sends_nothing(ledger: FabricLedger, auditor: FabricLedger) -> None:
    command = registration(ledger)
    transaction = auditor.prepare([command.envelope.encode()])
    with pytest.raises(Misconfigured, match="CERTIFICATE or MSP_ID: may read, but not send"):
        auditor.submit(transaction)
    apply_one(ledger)
    assert ledger.outcome(transaction.id) is None
    assert auditor.outcome(transaction.id) is None


def test_an_auditors_endorsement_counts_for_nothing(
    network: Network, ledger: FabricLedger, auditor: FabricLedger
) -> None:
    client = Client(network, "utility")
    with client.gateway:
        with pytest.raises(CommitError) as caught:
            client.submit(b"submit", new_batch(ledger), by=["UtilityMSP", "AuditorMSP"])
        assert caught.value.code == ValidationCode.ENDORSEMENT_POLICY_FAILURE
        assert is_applied(client.submit(b"submit", new_batch(ledger), by=["UtilityMSP", "CommunityMSP"]).result)


def test_an_auditor_does_not_turn_into_a_member_at_once(network: Network, auditor: FabricLedger) -> None:
    with pytest.raises(NetworkError, match=r"^auditor is on the channel as auditor: remove it first$"):
        network.add("auditor")


# Leaving


def test_who_has_left_gets_no_more_blocks_and_is_refused(network: Network, ledger: FabricLedger) -> None:
    network.add("guest")
    client = Client(network, "guest")
    with client.gateway, traffic(ledger) as applied:
        assert is_applied(client.submit(b"submit", new_batch(ledger)).result)
        network.remove("guest")
        after = len(applied)
        eventually(lambda: len(applied) > after + 2)
    assert "GuestMSP" not in network.on_channel()
    assert network.status()["peer-guest"] == "stopped"
    log = network.folder / "logs" / "peer-guest.log"
    old = log.stat().st_size
    network.restart("peer-guest")
    height = height_of(network, "guest")
    apply_one(ledger)
    stranger = Client(network, "guest")
    stranger.gateway = network.description.organisations["utility"].connect()
    with stranger.gateway:
        for ask in (
            lambda: stranger.evaluate(b"genesis"),
            lambda: stranger.submit(b"submit", new_batch(ledger)),
            lambda: stranger.gateway.chain_info(stranger.identity, "market"),
        ):
            with pytest.raises((EvaluateError, EndorseError), match="access denied"):
                ask()
    eventually(lambda: b"received bad status FORBIDDEN from orderer" in log.read_bytes()[old:], 30)
    assert height_of(network, "guest") == height < ledger.health().size
    # It may come back.
    network.add("guest")
    eventually(lambda: height_of(network, "guest") == ledger.health().size)
    network.remove("guest")
    network.start()
    assert network.status()["peer-guest"] == "stopped"


def height_of(network: Network, name: str) -> int:
    """How many blocks a peer has, as it says to whoever looks after it."""
    page = fetch(network.description.organisations[name].operations_address, "/metrics") or ""
    [height] = re.findall(r'^ledger_blockchain_height\{channel="market"\} (\d+)$', page, re.MULTILINE)
    return int(height)


# Proofs


def test_proofs_hold_whoever_joined_or_left_since(
    network: Network, ledger: FabricLedger, before: Before, village: Client, auditor: FabricLedger
) -> None:
    assert len(network.on_channel()) > 2
    id = apply_one(ledger)
    now = ledger.trust()
    assert now == before.trust
    for proof, shown in ((before.proof, before.id), (ledger.prove([id]), id)):
        proven, _ = read_log(FabricLog(proof.blocks), now)
        assert [one.command.id for one in proven] == [shown]
