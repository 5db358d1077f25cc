"""A folder with an identity in it: written, replaced while others read, private."""

import stat
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.gateway import IdentityFiles
from ledger_adapters.fabric.identities import Authority, IdentityFolder, Issued, is_due, renew
from tests.fabric.gateway.peer import certificate

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def issued(key: Key, days: int = 1) -> Issued:
    return Issued(certificate(key, "meter-1", days), b"chain")


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path / "identity")


def test_only_the_owner_may_enter(folder: IdentityFolder) -> None:
    key = new_key()
    folder.write(issued(key), key)
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.private_key.resolve().parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.private_key.stat().st_mode) == 0o600


def test_folder_that_others_may_enter_is_refused(folder: IdentityFolder) -> None:
    folder.folder.mkdir(mode=0o750)
    key = new_key()
    with pytest.raises(Misconfigured, match="chmod 700"):
        folder.write(issued(key), key)
    assert list(folder.folder.iterdir()) == []


def test_certificate_of_another_key_leaves_all_as_it_is(folder: IdentityFolder) -> None:
    key = new_key()
    folder.write(issued(key), key)
    before = folder.certificate.read_bytes()
    with pytest.raises(ValueError, match="does not belong"):
        folder.write(issued(new_key()), new_key())
    assert folder.certificate.read_bytes() == before


def test_what_was_before_the_last_renewal_is_gone(folder: IdentityFolder) -> None:
    serials = []
    for _ in range(4):
        key = new_key()
        folder.write(issued(key), key)
        serials.append(f"{folder.identity().identity.x509.serial_number:x}")
    assert {path.name for path in folder.folder.iterdir()} == {"current", *serials[-2:]}
    assert folder.private_key.resolve().parent.name == serials[-1]


def test_readers_find_whole_identities_while_it_is_replaced(folder: IdentityFolder) -> None:
    """Through the two paths of the link as well as through `identity`."""
    key = new_key()
    folder.write(issued(key), key)
    files = IdentityFiles("Org1MSP", folder.certificate, folder.private_key)
    by_paths, whole = set[bytes](), set[bytes]()
    failures: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                by_paths.add(files.current().identity.certificate)
                whole.add(folder.identity().identity.certificate)
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(50):
            key = new_key()
            new = issued(key)
            folder.write(new, key)
            deadline = time.monotonic() + 5
            while not (new.certificate in by_paths and new.certificate in whole):
                assert time.monotonic() < deadline and not failures, failures
    finally:
        done.set()
        reader.join()
    assert not failures


def test_authority_is_remembered(folder: IdentityFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    (tmp_path / "python").symlink_to("/somewhere/else/python3.11")
    monkeypatch.chdir(tmp_path)
    folder.write_authority(Authority("https://ca.example:7054", Path("ca.pem"), Path("python"), "ca1", 3.0))
    # Absolute, and not through links: the Python of a virtual environment is one.
    assert folder.authority() == Authority(
        "https://ca.example:7054", tmp_path / "ca.pem", tmp_path / "python", "ca1", 3.0
    )


def test_folder_without_an_authority(folder: IdentityFolder) -> None:
    key = new_key()
    folder.write(issued(key), key)
    with pytest.raises(Misconfigured, match="does not say which authority issues"):
        renew(folder)


def test_authority_without_tls_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(Misconfigured, match="no https address"):
        Authority("http://127.0.0.1:7054", tmp_path / "ca.pem", tmp_path / "python")
    with pytest.raises(Misconfigured, match="there is no file"):
        Authority("https://127.0.0.1:7054", tmp_path / "none.pem", tmp_path / "python")


@pytest.mark.parametrize(("days", "before", "due"), [(10, 11, True), (10, 9, False), (0, 0, True)])
def test_when_a_renewal_is_due(days: int, before: int, due: bool, folder: IdentityFolder) -> None:
    key = new_key()
    folder.write(issued(key, days), key)
    assert is_due(folder, timedelta(days=before)) is due


def test_expired_certificate_renews_nothing(folder: IdentityFolder) -> None:
    key = new_key()
    folder.write(issued(key, 0), key)
    with pytest.raises(Misconfigured, match="enrol anew"):
        renew(folder)
