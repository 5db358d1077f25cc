"""TLS and tokens towards the node: what does not fit is one clear error, a renewed token needs no restart."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.fabric.packages import certificate, make_chaincode_certificates
from evidence.keys import SoftwareKey
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.quorum.adapter import QuorumLedger
from tests.evm import EvmNode, evm_node
from tests.faults.conftest import Use
from tests.faults.gate import Gate, gate_to
from tests.faults.support import assert_applied_once, left, queue_some, sweeping, until_confirmed, until_reason

__all__ = ["evm_node"]

pytestmark = pytest.mark.evm


@pytest.fixture
def market(evm_node: EvmNode, tmp_path: Path) -> dict[str, Any]:
    """Options of a market, reached without a gate."""
    options: dict[str, Any] = {
        "RPC": evm_node.rpc,
        "CHAIN_ID": evm_node.chain_id,
        "KEYS": tmp_path / "keys",
        "DEPLOYMENT": tmp_path / "address",
    }
    ledger = QuorumLedger.from_options("test", options)
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    return options


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    make_chaincode_certificates(tmp_path / "tls")
    return tmp_path / "tls"


@pytest.fixture
def gate(evm_node: EvmNode, certificates: Path) -> Iterator[Gate]:
    with gate_to(evm_node.rpc, certificates) as gate:
        yield gate


@pytest.fixture
def token(gate: Gate, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(gate.token() + "\n")
    return path


@pytest.fixture
def fitting(market: dict[str, Any], gate: Gate, token: Path, certificates: Path) -> dict[str, Any]:
    return {**market, "RPC": gate.url, "CA": certificates / "ca.pem", "TOKEN_FILE": token}


def start(options: dict[str, Any]) -> None:
    QuorumLedger.from_options("test", options).genesis()


def refusal(options: dict[str, Any]) -> str:
    with pytest.raises(Misconfigured) as refused:
        start(options)
    return str(refused.value)


def test_what_fits_reaches_the_node(fitting: dict[str, Any], gate: Gate) -> None:
    start(fitting)
    assert gate.let_in > 0


def test_certificate_of_others(fitting: dict[str, Any], gate: Gate, tmp_path: Path) -> None:
    make_chaincode_certificates(tmp_path / "others")
    assert refusal({**fitting, "CA": tmp_path / "others" / "ca.pem"}).startswith(
        "CA: the node's certificate is not one of those trusted: "
    )
    del fitting["CA"]
    assert refusal(fitting).startswith("CA: the node's certificate is not one of those trusted: ")
    assert gate.let_in == 0


def test_authorities_that_cannot_be_read(fitting: dict[str, Any], tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    assert refusal({**fitting, "CA": none}) == f"CA: there is no file {none}"
    none.write_text("nonsense")
    assert refusal({**fitting, "CA": none}).startswith("CA: ")


def test_certificate_for_another_name(market: dict[str, Any], evm_node: EvmNode, tmp_path: Path) -> None:
    """It is trusted, but names no server."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = certificate("nobody", key, key, None, None).public_bytes(Encoding.PEM)
    (tmp_path / "server.pem").write_bytes(own)
    (tmp_path / "server-key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    with gate_to(evm_node.rpc, tmp_path) as gate:
        said = refusal({**market, "RPC": gate.url, "CA": tmp_path / "server.pem"})
        assert said.startswith("RPC: the node's certificate is of another name: ")
        assert gate.let_in == 0


def test_node_without_tls(fitting: dict[str, Any], evm_node: EvmNode) -> None:
    assert refusal({**fitting, "RPC": evm_node.rpc.replace("http", "https")}).startswith(
        "RPC: the node does not speak TLS: "
    )


def test_token_that_is_not_there(fitting: dict[str, Any], gate: Gate, tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert refusal({**fitting, "TOKEN_FILE": none}).startswith("TOKEN_FILE: ")
    del fitting["TOKEN_FILE"]
    assert refusal(fitting) == "TOKEN_FILE: the node asks for a token (401)"
    assert gate.let_in == 0


@pytest.mark.parametrize("content", ["", "\n", "one\ntwo", "one two", "tökén"])
def test_file_that_holds_no_token(content: str, fitting: dict[str, Any], token: Path) -> None:
    token.write_text(content, encoding="utf-8")
    assert refusal(fitting).startswith("TOKEN_FILE: ")


def test_token_of_others(fitting: dict[str, Any], token: Path) -> None:
    token.write_text(Gate("").token())
    assert refusal(fitting) == "TOKEN_FILE: the node refuses the token (401): The signature is not ours"


def test_token_that_expired(fitting: dict[str, Any], gate: Gate, token: Path) -> None:
    token.write_text(gate.token(-1))
    assert refusal(fitting) == "TOKEN_FILE: the node refuses the token (401): The token expired"


def test_errors_do_not_show_the_token(fitting: dict[str, Any], token: Path) -> None:
    secret = Gate("").token()
    token.write_text(secret)
    assert all(part not in refusal(fitting) for part in secret.split("."))


def test_token_renewed_while_commands_are_under_way(use: Use, fitting: dict[str, Any], gate: Gate, token: Path) -> None:
    """It expires, the reason is shown, the file is replaced: what waited goes on, in the same process."""
    use(QuorumLedger, {name: str(each) for name, each in fitting.items()})
    ids = queue_some()
    with sweeping():
        until_confirmed(ids)
        token.write_text(gate.token(-1))
        late = queue_some()
        until_reason("TOKEN_FILE: the node refuses the token (401): The token expired")
        assert left(late) == len(late)
        token.write_text(gate.token())
        until_confirmed(late)
    assert_applied_once(ids + late)
