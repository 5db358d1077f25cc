"""A setting that does not fit the ledger is one clear error at start, which names it."""

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.signals import worker_process_init
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from django.test import Client
from structlog.testing import capture_logs

from apps.ledger.ledgers import get_ledger
from apps.ledger.services.figures import figures
from deploy.fabric.network import Network
from energymarket import gunicorn
from evidence.keys import SoftwareKey
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.postgres import PostgresStore
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.quorum.adapter import QuorumLedger
from tests.adapters.embedded import postgres_store
from tests.evm import EvmNode, evm_node
from tests.faults.test_fabric import keys, network
from tests.ledger.support import database_url

__all__ = ["evm_node", "keys", "network", "postgres_store"]

OTHER_KEY = (
    r"^KEYS: the operator's key there is [0-9a-f]{16}, but ledger 'test' was founded with [0-9a-f]{16} as that of"
)
NOBODY = "0x00000000000000000000000000000000000000ff"


@pytest.fixture
def on_evm(evm_node: EvmNode, tmp_path: Path) -> dict[str, Any]:
    """Options that fit."""
    fitting: dict[str, Any] = {
        "RPC": evm_node.rpc,
        "CHAIN_ID": evm_node.chain_id,
        "KEYS": tmp_path / "keys",
        "DEPLOYMENT": tmp_path / "address",
    }
    ledger = QuorumLedger.from_options("test", fitting)
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    core = ledger.market._contract.functions.moduleAt(0).call()
    return {**fitting, "other contract": core}


def gunicorn_starts() -> None:
    gunicorn.post_worker_init(None)


def celery_starts() -> None:
    worker_process_init.send(sender=None)


def start_quorum(options: dict[str, Any]) -> None:
    QuorumLedger.from_options("test", {name: each for name, each in options.items() if name.isupper()}).genesis()


@pytest.mark.evm
def test_quorum_starts_when_all_fits(on_evm: dict[str, Any]) -> None:
    """TLS and tokens: `test_node_access.py`."""
    start_quorum(on_evm)


@pytest.mark.evm
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"CHAIN_ID": 1}, r"^CHAIN_ID: the node is on chain 31337, not on 1$"),
        ({"CONTRACT": NOBODY}, r"^CONTRACT: there is no contract at 0x"),
        ({"CONTRACT": "0x12"}, r"^CONTRACT: '0x12' is no address$"),
        ({"CONTRACT": "the core's"}, r"^CONTRACT: "),
        ({"RPC": "127.0.0.1:8545"}, r"^RPC: "),
        ({"RPC": "http://"}, r"^RPC: "),
    ],
    ids=lambda value: "-".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else "",
)
def test_quorum_setting_that_does_not_fit(change: dict[str, Any], said: str, on_evm: dict[str, Any]) -> None:
    if change.get("CONTRACT") == "the core's":
        change = {"CONTRACT": on_evm["other contract"]}
    with pytest.raises(Misconfigured, match=said):
        start_quorum({**on_evm, **change})


@pytest.mark.evm
def test_quorum_with_the_keys_of_another_utility(on_evm: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=OTHER_KEY):
        start_quorum({**on_evm, "KEYS": tmp_path / "others"})
    start_quorum({**on_evm, "KEYS": tmp_path / "others", "OPERATOR": False})


@pytest.mark.evm
def test_market_that_is_not_on_the_chain_yet(on_evm: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"run `manage\.py ledger init`"):
        start_quorum({**on_evm, "DEPLOYMENT": tmp_path / "elsewhere"})


# The embedded ledger


def start_embedded(options: dict[str, Any]) -> EmbeddedLedger:
    ledger = EmbeddedLedger.from_options("test", options)
    ledger.genesis()
    return ledger


def test_embedded_ledger_with_the_keys_of_another_utility(postgres_store: PostgresStore, tmp_path: Path) -> None:
    options = {"DATABASE_URL": database_url(), "SCHEMA": postgres_store.schema, "KEYS": tmp_path / "keys"}
    ledger = EmbeddedLedger.from_options("test", options)
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    assert start_embedded(options).genesis() == ledger.genesis()
    with pytest.raises(Misconfigured, match=OTHER_KEY):
        start_embedded({**options, "KEYS": tmp_path / "others"})


# What a process says


@pytest.fixture
def others_keys(postgres_store: PostgresStore, tmp_path: Path, settings: Any) -> Iterator[None]:
    """The installation's ledger, founded with other keys than those that `LEDGERS` names now."""
    options = {"DATABASE_URL": database_url(), "SCHEMA": postgres_store.schema, "KEYS": tmp_path / "keys"}
    ledger = EmbeddedLedger.from_options("test", options)
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    backend = f"{EmbeddedLedger.__module__}.{EmbeddedLedger.__qualname__}"
    settings.LEDGERS = {"test": {"BACKEND": backend, "OPTIONS": {**options, "KEYS": tmp_path / "others"}}}
    get_ledger.cache_clear()
    yield
    get_ledger.cache_clear()


@pytest.mark.django_db
def test_status_and_readiness_name_the_setting(others_keys: None, client: Client) -> None:
    said = figures("test").failure
    assert re.match(OTHER_KEY, said)
    ledger = {check["name"]: check for check in client.get("/readyz").json()}["ledger"]
    assert (ledger["state"], ledger["detail"]) == ("degraded", said)


@pytest.mark.parametrize("start", [gunicorn_starts, celery_starts])
def test_web_and_worker_log_one_error_as_they_start(others_keys: None, start: Callable[[], object]) -> None:
    with capture_logs() as logs:
        start()
        for thread in threading.enumerate():
            if thread.name == "look-at-ledgers":
                thread.join(10)
    [entry] = [entry for entry in logs if entry["log_level"] == "error"]
    assert (entry["event"], entry["ledger"]) == ("ledger_misconfigured", "test")
    assert re.match(OTHER_KEY, entry["error"])


# Fabric

Change = Callable[[Network, Path], dict[str, Any]]


def with_expired_certificate(network: Network, folder: Path) -> dict[str, Any]:
    """A certificate for the client's own key, signed by its own authority, that ended yesterday."""
    own = network.description.organisations["utility"]
    [authority] = Path(own.client_certificate).parents[4].glob("ca/*.pem")
    [authority_key] = authority.parent.glob("*_sk")
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    signing = load_pem_private_key(authority_key.read_bytes(), None)
    model = x509.load_pem_x509_certificate(Path(own.client_certificate).read_bytes())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(model.subject)
        .issuer_name(issuer.subject)
        .public_key(model.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - timedelta(days=3), issuer.not_valid_before_utc))
        .not_valid_after(now - timedelta(seconds=1))
    )
    for extension in model.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    path = folder / "expired.pem"
    path.write_bytes(builder.sign(signing, hashes.SHA256()).public_bytes(Encoding.PEM))  # type: ignore[arg-type]
    return {"CERTIFICATE": str(path)}


def of_the_community(*names: str) -> Change:
    return lambda network, _: {name: network.description.options("community")[name] for name in names}


def set_to(**changes: str) -> Change:
    return lambda _network, _folder: changes


def file_of_nonsense(name: str) -> Change:
    def change(network: Network, folder: Path) -> dict[str, Any]:
        path = folder / "nonsense.pem"
        path.write_text("nonsense")
        return {name: str(path)}

    return change


CHANGES = [
    pytest.param(of_the_community("TLS_CA"), r"\bTLS_CA\b", id="authority-of-another-peer"),
    pytest.param(file_of_nonsense("TLS_CA"), r"\bTLS_CA\b", id="no-authority-at-all"),
    pytest.param(set_to(SERVER_NAME="elsewhere.example"), r"\bSERVER_NAME\b", id="name-of-another-server"),
    pytest.param(set_to(CHANNEL="nowhere"), r"^CHANNEL: ", id="channel"),
    pytest.param(set_to(CHAINCODE="nothing"), r"^CHAINCODE: ", id="chaincode"),
    pytest.param(set_to(MSP_ID="NobodyMSP"), r"\bMSP_ID\b", id="no-such-organisation"),
    pytest.param(of_the_community("MSP_ID"), r"\bMSP_ID\b", id="another-organisation"),
    pytest.param(of_the_community("CERTIFICATE"), r"\bCERTIFICATE\b", id="certificate-of-another"),
    pytest.param(of_the_community("PRIVATE_KEY"), r"\bPRIVATE_KEY\b", id="key-of-another"),
    pytest.param(of_the_community("CERTIFICATE", "PRIVATE_KEY"), r"\bCERTIFICATE\b", id="identity-of-another"),
    pytest.param(file_of_nonsense("CERTIFICATE"), r"\bCERTIFICATE\b", id="no-certificate-at-all"),
    pytest.param(with_expired_certificate, r"\bCERTIFICATE\b.*expired", id="expired-identity"),
]


@pytest.mark.fabric
@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_fabric_setting_that_does_not_fit(
    change: Change, said: str, network: Network, keys: Path, tmp_path: Path
) -> None:
    fitting = {**network.description.options("utility"), "KEYS": keys}
    with pytest.raises(Misconfigured, match=said):
        start_fabric({**fitting, **change(network, tmp_path)})


@pytest.mark.fabric
def test_fabric_starts_when_all_fits(network: Network, keys: Path) -> None:
    start_fabric({**network.description.options("utility"), "KEYS": keys})


@pytest.mark.fabric
def test_fabric_with_the_keys_of_another_utility(network: Network, keys: Path, tmp_path: Path) -> None:
    fitting = {**network.description.options("utility"), "KEYS": keys}
    with pytest.raises(Misconfigured, match=OTHER_KEY):
        start_fabric({**fitting, "KEYS": tmp_path / "others"})
    start_fabric({**fitting, "KEYS": tmp_path / "others", "OPERATOR": False})


def start_fabric(options: dict[str, Any]) -> None:
    ledger = FabricLedger.from_options("test", options)
    try:
        ledger.genesis()
    finally:
        ledger.gateway.close()
