"""Identities of a Fabric CA on a running network: they act, are renewed under way, end, and are shut out."""

import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.fabric.network import Network
from evidence.commands import Command
from ledger_adapters.base import Transaction
from ledger_adapters.contract import Code
from ledger_adapters.exceptions import Conflict, LedgerError, Misconfigured
from ledger_adapters.fabric.adapter import FabricLedger, Options
from ledger_adapters.fabric.gateway import IdentityFiles, Proposal, SigningIdentity
from ledger_adapters.fabric.identities import Authority, IdentityFolder, enrol, renew
from ledger_adapters.fabric.identities.exclusion import exclude
from tests.fabric.conftest import Market, anchor
from tests.fabric.identities.conftest import BOOTSTRAP, running_authority
from tests.fabric.issuing import issue, root_of
from tests.fabric.test_network import eventually

pytestmark = pytest.mark.fabric


@dataclass(frozen=True)
class Office:
    """The utility's authority, whose root is that of its MSP, and who may register there."""

    authority: Authority
    registrar: SigningIdentity

    def enrol(self, folder: IdentityFolder) -> str:
        id = f"worker-{secrets.token_hex(4)}"
        enrol(folder, self.authority, id, self.authority.register(self.registrar, id))
        return id


@pytest.fixture(scope="module")
def office(fabric_network: Network, hfc_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    certificate, key = root_of(fabric_network)
    options = [f"--ca.certfile={certificate}", f"--ca.keyfile={key}"]
    with running_authority(folder / "server", hfc_python, options) as server:
        registrar = IdentityFolder(folder / "registrar")
        enrol(registrar, server.authority, *BOOTSTRAP)
        yield Office(server.authority, registrar.identity())


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path / "identity")


Open = Callable[[IdentityFolder], FabricLedger]


@pytest.fixture
def opened(fabric_network: Network, founded: Market, tmp_path: Path) -> Iterator[Open]:
    """The market as a ledger, through the identity in a folder."""
    ledgers = []

    def open_as(folder: IdentityFolder) -> FabricLedger:
        files = {"CERTIFICATE": str(folder.certificate), "PRIVATE_KEY": str(folder.private_key)}
        settings = {**fabric_network.description.options("utility"), **files, "KEYS": tmp_path}
        options = Options.read("fabric", settings)
        identities = IdentityFiles(options.msp_id, options.certificate, options.private_key)
        ledgers.append(FabricLedger("fabric", options, identities, founded.operator))
        return ledgers[-1]

    yield open_as
    for ledger in ledgers:
        ledger.gateway.close()


def command(market: Market) -> Command:
    """Of a conflict domain of its own."""
    return market.command(anchor(1, secrets.randbits(200)))


def prepared(ledger: FabricLedger, market: Market) -> Transaction:
    return ledger.prepare([command(market).envelope.encode()])


def is_applied(ledger: FabricLedger, transaction: Transaction) -> bool:
    outcomes = ledger.outcome(transaction.id)
    assert outcomes is not None
    return [outcome.code for outcome in outcomes] == [Code.APPLIED]


def test_identity_acts_on_the_market(office: Office, opened: Open, founded: Market, folder: IdentityFolder) -> None:
    office.enrol(folder)
    ledger = opened(folder)
    assert ledger.genesis() == founded.genesis
    transaction = prepared(ledger, founded)
    ledger.submit(transaction)
    assert is_applied(ledger, transaction)
    (identity, roots) = ledger.expiries()
    assert (identity.setting, roots.setting) == ("CERTIFICATE", "TLS_CA")
    assert identity.ends == folder.ends()
    assert (identity.ends - identity.warn).days == 30


class Flow(threading.Thread):
    """One transaction after another. `creators`: by whom, of those that were applied."""

    def __init__(self, ledger: FabricLedger, market: Market) -> None:
        super().__init__()
        self._ledger, self._market = ledger, market
        self._done = threading.Event()
        self.creators: list[bytes] = []
        self.failures: list[Exception] = []

    def run(self) -> None:
        while not self._done.is_set():
            try:
                transaction = prepared(self._ledger, self._market)
                self._ledger.submit(transaction)
                assert is_applied(self._ledger, transaction)
            except Exception as error:
                self.failures.append(error)
            else:
                self.creators.append(Proposal.from_bytes(transaction.payload).creator)

    def end(self) -> None:
        self._done.set()
        self.join()


def test_renewal_while_commands_flow(office: Office, opened: Open, founded: Market, folder: IdentityFolder) -> None:
    """No call fails, and the new identity is in use without a restart."""
    office.enrol(folder)
    ledger = opened(folder)
    flows = [Flow(ledger, founded) for _ in range(4)]
    in_turn = [folder.identity("UtilityMSP").identity.creator]
    for flow in flows:
        flow.start()
    try:
        for _ in range(3):
            eventually(lambda: all(in_turn[-1] in flow.creators for flow in flows))
            renew(folder)
            in_turn.append(folder.identity("UtilityMSP").identity.creator)
        eventually(lambda: all(in_turn[-1] in flow.creators for flow in flows))
    finally:
        for flow in flows:
            flow.end()
    assert [flow.failures for flow in flows] == [[], [], [], []]
    for flow in flows:
        assert list(dict.fromkeys(flow.creators)) == in_turn


def test_what_was_signed_before_a_renewal_is_sent_after_it(
    office: Office, opened: Open, founded: Market, folder: IdentityFolder
) -> None:
    office.enrol(folder)
    ledger = opened(folder)
    transaction = prepared(ledger, founded)
    renew(folder)
    ledger.submit(transaction)
    assert is_applied(ledger, transaction)


def test_what_nobody_here_can_sign_any_more_is_to_be_prepared_anew(
    office: Office, opened: Open, founded: Market, folder: IdentityFolder
) -> None:
    """As by a worker that was started after the renewal, with what one before had stored."""
    office.enrol(folder)
    stored = [command(founded).envelope.encode()]
    transaction = opened(folder).prepare(stored)
    sent = prepared(opened(folder), founded)
    opened(folder).submit(sent)
    renew(folder)
    later = opened(folder)
    with pytest.raises(Conflict, match="the identity that signed the proposal is no longer here"):
        later.submit(transaction)
    # What is on the ledger already needs no signature.
    later.submit(sent)
    anew = later.prepare(stored)
    later.submit(anew)
    assert is_applied(later, anew)


def test_certificate_that_ends_under_way(
    office: Office, fabric_network: Network, opened: Open, founded: Market, folder: IdentityFolder
) -> None:
    """The error names the setting; to enrol anew is enough to go on."""
    issue(fabric_network, folder, timedelta(seconds=5))
    ledger = opened(folder)
    transaction = prepared(ledger, founded)
    ledger.submit(transaction)
    assert is_applied(ledger, transaction)
    (found, _) = ledger.expiries()
    assert found.warn < datetime.now(UTC) < found.ends
    late = prepared(ledger, founded)
    time.sleep(found.ends.timestamp() - time.time() + 1)
    for call in (ledger.health, lambda: ledger.submit(prepared(ledger, founded)), lambda: ledger.events(0, 1)):
        with pytest.raises(Misconfigured, match=r"^CERTIFICATE: "):
            call()
    with pytest.raises(Misconfigured, match=r"^CERTIFICATE: expired on "):
        opened(folder).genesis()
    with pytest.raises(Misconfigured, match="enrol anew"):
        renew(folder)
    office.enrol(folder)
    anew = prepared(ledger, founded)
    ledger.submit(anew)
    assert is_applied(ledger, anew)
    # What was signed by the one that ended is not held up until it is too old.
    with pytest.raises(Conflict, match=r"has been replaced since: .* identity expired"):
        ledger.submit(late)
    ledger.submit(transaction)


def tell_channel(network: Network, crl: bytes, folder: Path) -> None:
    """As the utility's administrator does."""
    block, update = folder / "config.block", folder / "update"
    made = network.description
    variables = {
        "PATH": os.environ["PATH"],
        "FABRIC_CFG_PATH": str(network.folder / "utility"),
        "CORE_PEER_MSPCONFIGPATH": made.organisations["utility"].admin_msp,
    }
    to = ["-c", made.channel, "-o", made.orderer.address, "--tls", "--cafile", made.orderer.tls_roots]

    def peer(*arguments: str | Path) -> None:
        command = ["peer", "channel", *arguments, *to]
        subprocess.run(command, env=variables, check=True, capture_output=True, timeout=60)

    peer("fetch", "config", block)
    update.write_bytes(exclude(block.read_bytes(), "UtilityMSP", crl))
    peer("update", "-f", update)


def is_refused(ledger: FabricLedger) -> bool:
    try:
        ledger.health()
    except LedgerError:
        return True
    return False


def test_revoked_identity_is_shut_out_by_the_channel(
    office: Office, fabric_network: Network, opened: Open, founded: Market, folder: IdentityFolder, tmp_path: Path
) -> None:
    id = office.enrol(folder)
    ledger, others = opened(folder), IdentityFolder(tmp_path / "others")
    office.enrol(others)
    ledger.submit(prepared(ledger, founded))
    revoked = office.authority.revoke(office.registrar, id)
    assert revoked.serials == (folder.identity().identity.x509.serial_number,)
    # Peers do not ask the authority.
    ledger.submit(prepared(ledger, founded))
    tell_channel(fabric_network, revoked.crl, tmp_path)
    eventually(lambda: is_refused(ledger))
    for call in (ledger.health, lambda: ledger.submit(prepared(ledger, founded)), lambda: ledger.events(0, 1)):
        with pytest.raises(Misconfigured, match=r"^CERTIFICATE, PRIVATE_KEY or MSP_ID: "):
            call()
    other = opened(others)
    transaction = prepared(other, founded)
    other.submit(transaction)
    assert is_applied(other, transaction)
    # A later list takes the place of the first.
    tell_channel(fabric_network, office.authority.revocations(office.registrar), tmp_path)
    assert is_refused(ledger)
