"""`python -m ledger_adapters.fabric.identities`, as an operator uses it."""

import re
import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from ledger_adapters.fabric.identities import Authority, IdentityFolder
from tests.fabric.identities.conftest import BOOTSTRAP, PROJECT, Server

pytestmark = pytest.mark.fabric


def run(*arguments: str | Path, typed: str = "", code: int = 0) -> str:
    """What it prints, to standard error where it fails."""
    command = [sys.executable, "-m", "ledger_adapters.fabric.identities", *arguments]
    done = subprocess.run(command, cwd=PROJECT, input=typed, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert (done.stderr if code == 0 else done.stdout) == ""
    return done.stdout + done.stderr


@pytest.fixture
def to(server: Server) -> list[str | Path]:
    """Options that say which authority."""
    authority = server.authority
    return ["--ca", authority.url, "--tls-ca", authority.tls_ca, "--hfc-python", authority.python]


@pytest.fixture
def registrar(to: list[str | Path], tmp_path: Path) -> Path:
    folder = tmp_path / "registrar"
    said = run("enrol", folder, "--id", BOOTSTRAP[0], "--secret-file", "-", *to, typed=BOOTSTRAP[1] + "\n")
    assert BOOTSTRAP[1] not in said
    return folder


def test_an_identity_from_its_registration_to_its_end(registrar: Path, to: list[str | Path], tmp_path: Path) -> None:
    id, secret, folder = f"worker-{secrets.token_hex(4)}", tmp_path / "secret", tmp_path / "identity"
    said = run("register", registrar, "--id", id, "--secret-file", secret, "--attribute", "ort=Köln")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text().strip() and secret.read_text().strip() not in said
    listed = [line.split("\t") for line in run("identities", registrar).splitlines()]
    [attributes] = [line[4] for line in listed if line[:4] == [id, "client", "", "1"]]
    assert "ort=Köln" in attributes.split()

    first = run("enrol", folder, "--id", id, "--secret-file", secret, *to)
    assert first.startswith(f"{id}, issued by CN=")
    assert f"PRIVATE_KEY {folder}/current/key.pem" in first
    ends = IdentityFolder(folder).ends()
    for said in (first, run("show", folder)):
        assert re.search(rf"^good until {re.escape(ends.isoformat())} \((364|365) days\)$", said, re.MULTILINE)

    before = folder.joinpath("current", "certificate.pem").read_bytes()
    assert run("renew", folder).startswith("not due: good until ")
    assert folder.joinpath("current", "certificate.pem").read_bytes() == before
    for option in (["--always"], ["--before", "366"]):
        assert run("renew", folder, *option).startswith(f"{id}, issued by CN=")
        assert folder.joinpath("current", "certificate.pem").read_bytes() != before

    kept, old, crl = tmp_path / "old.pem", x509.load_pem_x509_certificate(before), tmp_path / "crl.pem"
    kept.write_bytes(before)
    said = run("revoke", registrar, "--certificate", kept, "--reason", "superseded", "--crl", crl)
    assert said == f"{old.serial_number:x} is revoked\n"
    assert old.serial_number in {each.serial_number for each in x509.load_pem_x509_crl(crl.read_bytes())}

    serial = IdentityFolder(folder).identity().identity.x509.serial_number
    assert f"{serial:x} is revoked" in run("revoke", registrar, "--id", id).splitlines()
    run("crl", registrar, crl)
    assert {old.serial_number, serial} <= {each.serial_number for each in x509.load_pem_x509_crl(crl.read_bytes())}
    assert "Authentication failure (code 20)" in run("renew", folder, "--always", code=1)


def test_what_is_refused_leaves_no_secret_behind(registrar: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    assert "already registered" in run("register", registrar, "--id", "admin", "--secret-file", secret, code=1)
    assert not secret.exists()
    secret.write_text("somebody's")
    assert "File exists" in run("register", registrar, "--id", "another", "--secret-file", secret, code=1)
    assert secret.read_text() == "somebody's"


def test_errors_are_one_line(authority: Authority, to: list[str | Path], tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    wrong = run("enrol", folder, "--id", BOOTSTRAP[0], "--secret-file", "-", *to, typed="wrong\n", code=1)
    assert wrong == "the authority refuses: Authentication failure (code 20) (HTTP 401)\n"
    assert re.fullmatch(r".* holds no identity: .*\n", run("show", folder, code=1))
    assert "no https address" in run(
        "enrol", folder, "--id", "a", "--secret-file", "-", *to, "--ca", "http://127.0.0.1:1", typed="x", code=1
    )
