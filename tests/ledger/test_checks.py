"""`manage.py check` names what is wrong with `LEDGERS`, and asks nobody for that."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from django.conf import LazySettings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from apps.ledger.checks import check_ledgers
from apps.portal.management.commands.demo import Command as Demo
from deploy.fabric.network import make_chaincode_certificates
from evidence.keys import Algorithm
from ledger_adapters.keys import KeyFolder

EMBEDDED = "ledger_adapters.embedded.adapter.EmbeddedLedger"
FABRIC = "ledger_adapters.fabric.adapter.FabricLedger"
QUORUM = "ledger_adapters.quorum.adapter.QuorumLedger"

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def ledgers(settings: LazySettings, listening: socket.socket, tmp_path: Path) -> dict[str, Any]:
    """One of each backend, with options that fit; whoever connected would be seen."""
    address = "{}:{}".format(*listening.getsockname())
    tls = tmp_path / "tls"
    make_chaincode_certificates(tls)
    fabric = {
        "ADDRESS": address,
        "CHANNEL": "market",
        "CHAINCODE": "market",
        "MSP_ID": "UtilityMSP",
        "CERTIFICATE": str(tls / "server.pem"),
        "PRIVATE_KEY": str(tls / "server-key.pem"),
        "TLS_CA": str(tls / "ca.pem"),
    }
    quorum = {"RPC": f"http://{address}", "CHAIN_ID": 1337, "DEPLOYMENT": tmp_path / "address"}
    embedded = {"DATABASE_URL": f"postgresql://somebody:a-secret@{address}/market"}
    settings.LEDGERS = {
        name: {"BACKEND": backend, "OPTIONS": {**options, "KEYS": tmp_path / "keys" / name}}
        for name, backend, options in (
            ("default", EMBEDDED, embedded),
            ("fabric", FABRIC, fabric),
            ("quorum", QUORUM, quorum),
        )
    }
    found: dict[str, Any] = settings.LEDGERS
    return found


def options(**changes: Any) -> Change:
    """Changes of the default ledger's options; None takes one away."""

    def change(ledgers: dict[str, Any]) -> None:
        kept = {**ledgers["default"]["OPTIONS"], **changes}
        ledgers["default"]["OPTIONS"] = {name: value for name, value in kept.items() if value is not None}

    return change


def members(alias: str = "default", **changes: Any) -> Change:
    return lambda ledgers: ledgers[alias].update(changes)


def options_of(alias: str, **changes: Any) -> Change:
    return lambda ledgers: ledgers[alias]["OPTIONS"].update(changes)


def renamed(ledgers: dict[str, Any]) -> None:
    ledgers["other"] = ledgers.pop("default")


def long_name(ledgers: dict[str, Any]) -> None:
    ledgers["x" * 51] = ledgers.pop("quorum")


def file_of(text: str | None) -> Change:
    def change(ledgers: dict[str, Any]) -> None:
        path = ledgers["default"]["OPTIONS"]["KEYS"].parent.with_name("options.json")
        if text is not None:
            path.write_text(text)
        ledgers["default"]["OPTIONS_FILE"] = path

    return change


def open_folder(ledgers: dict[str, Any]) -> None:
    folder = ledgers["default"]["OPTIONS"]["KEYS"]
    KeyFolder(folder).signer("operator")
    folder.chmod(0o750)


def file_for_folder(ledgers: dict[str, Any]) -> None:
    folder = ledgers["default"]["OPTIONS"]["KEYS"]
    folder.parent.mkdir()
    folder.touch()


def key_of(alias: str, name: str, kind: str) -> Change:
    """A key of another kind than the ledger needs under that name."""

    def change(ledgers: dict[str, Any]) -> None:
        folder = KeyFolder(ledgers[alias]["OPTIONS"]["KEYS"])
        getattr(folder, kind)("made")
        (folder.folder / "made.pem").rename(folder.folder / f"{name}.pem")

    return change


def nonsense_key(ledgers: dict[str, Any]) -> None:
    folder = ledgers["default"]["OPTIONS"]["KEYS"]
    folder.mkdir(parents=True, mode=0o700)
    (folder / "checkpoint.pem").write_text("nonsense")


def sealed_key(ledgers: dict[str, Any]) -> None:
    folder = KeyFolder(ledgers["default"]["OPTIONS"]["KEYS"])
    key = folder.ed25519("checkpoint")
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a password"))
    (folder.folder / "checkpoint.pem").write_bytes(sealed)


def shared_keys(ledgers: dict[str, Any]) -> None:
    """By another path to the same folder."""
    folder = ledgers["default"]["OPTIONS"]["KEYS"]
    folder.mkdir(parents=True, mode=0o700)
    link = folder.with_name("link")
    link.symlink_to(folder)
    ledgers["quorum"]["OPTIONS"]["KEYS"] = str(link)


def twice(alias: str) -> Change:
    """The same ledger under a second name, with keys of its own."""

    def change(ledgers: dict[str, Any]) -> None:
        first = ledgers[alias]
        keys = first["OPTIONS"]["KEYS"].with_name("second")
        ledgers["second"] = {**first, "OPTIONS": {**first["OPTIONS"], "KEYS": keys}}

    return change


def same_schema(ledgers: dict[str, Any]) -> None:
    twice("default")(ledgers)
    ledgers["second"]["OPTIONS"]["SCHEMA"] = "ledger_default"


CASES: dict[str, tuple[Change, str, str, str]] = {
    "no default": (renamed, "E001", r"LEDGERS has no ledger named 'default'\.", "LEDGERS"),
    "long name": (long_name, "E002", r"The name 'x{51}' is too long\.", "LEDGERS has at most 50"),
    "no backend": (lambda ledgers: ledgers["default"].pop("BACKEND"), "E003", r"names no backend", "'BACKEND'"),
    "unknown module": (members(BACKEND="nowhere.Ledger"), "E003", r"No module named 'nowhere'", "'BACKEND'"),
    "unknown class": (members(BACKEND="ledger_adapters.base.Nothing"), "E003", r'"Nothing" attribute', "'BACKEND'"),
    "another class": (members(BACKEND="pathlib.Path"), "E003", r"pathlib\.Path is no ledger adapter", "'BACKEND'"),
    "unknown member": (members(OPTION={}), "E003", r"unknown members: OPTION\.", "OPTIONS"),
    "no file": (file_of(None), "E004", r"options\.json: .*No such file", "ENERGYMARKET_LEDGER_OPTIONS"),
    "no JSON": (file_of("{"), "E004", r"options\.json: ", "ENERGYMARKET_LEDGER_OPTIONS"),
    "no object": (file_of("[]"), "E004", r"holds no JSON object", "ENERGYMARKET_LEDGER_OPTIONS"),
    "unknown in the file": (file_of('{"COLOUR": 1}'), "E005", r"unknown COLOUR", "OPTIONS and OPTIONS_FILE"),
    "unknown store": (options(STORE="paper"), "E005", r"STORE is 'paper'", r"LEDGERS\['default'\]: OPTIONS"),
    "no database": (options(DATABASE_URL=None), "E005", r"DATABASE_URL is missing", "OPTIONS"),
    "no keys": (options(KEYS=None), "E005", r"KEYS is missing", "OPTIONS"),
    "no chain": (options_of("quorum", CHAIN_ID=None), "E005", r"'quorum'.*CHAIN_ID is missing", "OPTIONS"),
    "no number": (options_of("quorum", CHAIN_ID="x"), "E005", r"'quorum'.*invalid literal", "OPTIONS"),
    "no contract": (options_of("quorum", DEPLOYMENT=None), "E005", r"CONTRACT or DEPLOYMENT is missing", "OPTIONS"),
    "no channel": (options_of("fabric", CHANNEL=""), "E005", r"'fabric'.*CHANNEL is missing", "OPTIONS"),
    "no certificate": (options_of("fabric", CERTIFICATE="/none"), "E005", r"CERTIFICATE: there is no file", "OPTIONS"),
    "another certificate": (
        lambda ledgers: ledgers["fabric"]["OPTIONS"].update(TLS_CA=ledgers["fabric"]["OPTIONS"]["PRIVATE_KEY"]),
        "E005",
        r"'fabric'.*TLS_CA: ",
        "OPTIONS",
    ),
    "folder that others open": (open_folder, "E006", r"keys/default holds private keys, .*chmod 700", "KEYS"),
    "file for a folder": (file_for_folder, "E006", r"keys/default is no folder", "KEYS"),
    "nonsense": (nonsense_key, "E006", r"checkpoint\.pem holds no private key that can be read", "KEYS"),
    "sealed key": (sealed_key, "E006", r"checkpoint\.pem holds no private key that can be read", "KEYS"),
    "operator's key": (key_of("default", "operator", "secp256k1"), "E006", r"operator\.pem holds no P-256", "KEYS"),
    "checkpoint's key": (
        key_of("default", "checkpoint", "signer"),
        "E006",
        r"checkpoint\.pem holds no Ed25519",
        "KEYS",
    ),
    "sender's key": (
        key_of("quorum", "sender-7", "signer"),
        "E006",
        r"sender-7\.pem holds no key on",
        "KEYS",
    ),
    "community's key": (key_of("fabric", "community", "ed25519"), "E006", r"community\.pem holds no P-256", "KEYS"),
    "shared keys": (shared_keys, "E007", r"The ledgers 'default' and 'quorum' share their keys\.", "KEYS"),
    "shared schema": (same_schema, "E008", r"The ledgers 'default' and 'second' are one and the same\.", "SCHEMA"),
    "shared contract": (
        twice("quorum"),
        "E008",
        r"The ledgers 'quorum' and 'second' are one and the same\.",
        "contract",
    ),
    "shared channel": (
        twice("fabric"),
        "E008",
        r"The ledgers 'fabric' and 'second' are one and the same\.",
        "channel",
    ),
}


def test_settings_that_fit_are_passed_and_nothing_is_made_or_asked(
    ledgers: dict[str, Any], listening: socket.socket, tmp_path: Path
) -> None:
    assert check_ledgers(None) == []
    assert not (tmp_path / "keys").exists()
    for alias, kinds in (("default", ("ed25519", "checkpoint")), ("quorum", ("secp256k1", "sender-0"))):
        folder = KeyFolder(ledgers[alias]["OPTIONS"]["KEYS"])
        assert folder.signer("operator").algorithm == Algorithm.P256
        getattr(folder, kinds[0])(kinds[1])
    assert check_ledgers(None) == []
    with pytest.raises(BlockingIOError):
        listening.accept()


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_with_the_setting(case: str, ledgers: dict[str, Any], listening: socket.socket) -> None:
    change, number, said, setting = CASES[case]
    change(ledgers)
    [message] = check_ledgers(None)
    assert message.id == f"ledger.{number}"
    assert re.search(said, message.msg)
    assert message.hint and re.search(setting, message.hint)
    assert "a-secret" not in str(message)
    with pytest.raises(BlockingIOError):
        listening.accept()


def test_every_number_has_a_case() -> None:
    source = Path(check_ledgers.__code__.co_filename).read_text()
    assert set(re.findall(r"ledger\.(E\d{3})", source)) == {
        number for _change, number, _said, _setting in CASES.values()
    }


def test_all_that_is_wrong_comes_at_once_and_ends_the_command(ledgers: dict[str, Any]) -> None:
    for change in (options(STORE="paper"), options_of("quorum", CHAIN_ID=None), shared_keys):
        change(ledgers)
    with pytest.raises(SystemCheckError) as error:
        call_command("check")
    assert re.findall(r"\(ledger\.(E\d{3})\)", str(error.value)) == ["E005", "E005"]
    assert str(error.value).count("HINT: ") == 2


def test_the_demonstration_starts_before_its_ledger_has_options() -> None:
    assert Demo.requires_system_checks == ()
