"""Identities of a real Fabric CA: enrolled, registered, enrolled again, revoked, and refused."""

import json
import secrets
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from deploy.fabric.packages import make_chaincode_certificates
from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.gateway import SigningIdentity
from ledger_adapters.fabric.identities import (
    Attribute,
    Authority,
    HfcFailed,
    IdentityFolder,
    Reason,
    Refused,
    Unreachable,
    enrol,
    renew,
)
from tests.fabric.identities.conftest import BOOTSTRAP, Server, running_authority

pytestmark = pytest.mark.fabric

ATTRIBUTES = x509.ObjectIdentifier("1.2.3.4.5.6.7.8.1")
AUTHENTICATION_FAILURE = (20, "Authentication failure")
AUTHORIZATION_FAILURE = (71, "Authorization failure")


def attributes_of(identity: SigningIdentity) -> dict[str, str]:
    """What Fabric CA writes into a certificate, for chaincode to read."""
    extension = identity.identity.x509.extensions.get_extension_for_oid(ATTRIBUTES).value
    assert isinstance(extension, x509.UnrecognizedExtension)
    found: dict[str, str] = json.loads(extension.value)["attrs"]
    return found


def named(identity: SigningIdentity) -> tuple[str, str]:
    """Common name and issuer of the certificate."""
    certificate = identity.identity.x509
    return str(
        certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    ), certificate.issuer.rfc4514_string()


def new_id(word: str = "meter") -> str:
    return f"{word}-{secrets.token_hex(4)}"


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path / "identity")


def test_attributes_and_names_outside_ascii(
    authority: Authority, registrar: SigningIdentity, folder: IdentityFolder
) -> None:
    id, secret = new_id("Zählwerk-Süd"), "geheimes Löschwort €"
    wanted = [
        Attribute("ort", "Köln"),
        Attribute("straße", "Ñandú 7, 漢字"),
        Attribute("hidden", "ö", in_certificate=False),
    ]
    assert authority.register(registrar, id, attributes=wanted, secret=secret) == secret
    enrol(folder, authority, id, secret)
    found = attributes_of(folder.identity())
    assert {name: found.get(name) for name in ("ort", "straße", "hidden")} == {
        "ort": "Köln",
        "straße": "Ñandú 7, 漢字",
        "hidden": None,
    }
    assert found["hf.EnrollmentID"] == id == named(folder.identity())[0]
    [listed] = [each for each in authority.identities(registrar) if each.id == id]
    assert set(wanted) <= set(listed.attributes)
    assert (listed.type, listed.affiliation, listed.most_enrolments) == ("client", "", 1)


def test_key_stays_private_and_is_another_after_renewal(
    authority: Authority, registrar: SigningIdentity, folder: IdentityFolder
) -> None:
    id = new_id()
    enrol(folder, authority, id, authority.register(registrar, id, attributes=[Attribute("ort", "Köln")]))
    before, key = folder.identity(), folder.private_key.read_bytes()
    renew(folder)
    after = folder.identity()
    assert named(after) == named(before)
    assert attributes_of(after)["ort"] == "Köln"
    assert folder.private_key.read_bytes() != key
    assert after.identity.x509.serial_number != before.identity.x509.serial_number
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.private_key, folder.certificate)} == {0o600}
    # Both are good: what was under way with the first goes on.
    for each in (before, after):
        with pytest.raises(Refused) as refused:
            authority.register(each, new_id())
        assert (refused.value.status, refused.value.errors) == (403, (AUTHORIZATION_FAILURE,))


def test_secret_is_used_up(authority: Authority, registrar: SigningIdentity, folder: IdentityFolder) -> None:
    id = new_id()
    secret = authority.register(registrar, id)
    enrol(folder, authority, id, secret)
    with pytest.raises(Refused) as refused:
        enrol(folder, authority, id, secret)
    assert (refused.value.status, refused.value.errors) == (401, (AUTHENTICATION_FAILURE,))


def test_wrong_secret(authority: Authority, registrar: SigningIdentity, folder: IdentityFolder) -> None:
    id = new_id()
    authority.register(registrar, id)
    with pytest.raises(Refused) as refused:
        enrol(folder, authority, id, "wrong")
    assert (refused.value.status, refused.value.errors) == (401, (AUTHENTICATION_FAILURE,))
    with pytest.raises(Misconfigured, match="holds no identity"):
        folder.identity()


def test_identity_is_registered_once(authority: Authority, registrar: SigningIdentity) -> None:
    id = new_id()
    authority.register(registrar, id)
    with pytest.raises(Refused, match=f"Identity '{id}' is already registered"):
        authority.register(registrar, id)


def test_revoked_identity_is_refused(authority: Authority, registrar: SigningIdentity, folder: IdentityFolder) -> None:
    id = new_id()
    enrol(folder, authority, id, authority.register(registrar, id, most_enrolments=-1, secret="again and again"))
    first = folder.identity()
    renew(folder)
    serials = {each.identity.x509.serial_number for each in (first, folder.identity())}
    revoked = authority.revoke(registrar, id, Reason.CESSATION_OF_OPERATION)
    assert set(revoked.serials) == serials
    for crl in (revoked.crl, authority.revocations(registrar)):
        listed = x509.load_pem_x509_crl(crl)
        assert serials <= {each.serial_number for each in listed}
    with pytest.raises(Refused) as refused:
        renew(folder)
    assert (refused.value.status, refused.value.errors) == (401, (AUTHENTICATION_FAILURE,))
    with pytest.raises(Refused):
        enrol(folder, authority, id, "again and again")


def test_revoked_certificate_leaves_the_identity_its_others(
    authority: Authority, registrar: SigningIdentity, folder: IdentityFolder
) -> None:
    id = new_id()
    enrol(folder, authority, id, authority.register(registrar, id))
    lost = folder.identity().identity.x509
    renew(folder)
    assert authority.revoke_certificate(registrar, lost, Reason.KEY_COMPROMISE).serials == (lost.serial_number,)
    renew(folder)


def test_stranger_registers_revokes_and_lists_nobody(
    authority: Authority, registrar: SigningIdentity, folder: IdentityFolder
) -> None:
    id = new_id()
    enrol(folder, authority, id, authority.register(registrar, id))
    stranger = folder.identity()
    calls: list[Callable[[], Any]] = [
        lambda: authority.register(stranger, new_id()),
        lambda: authority.revoke(stranger, "admin"),
        lambda: authority.revocations(stranger),
        lambda: authority.identities(stranger),
    ]
    for call in calls:
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.status == 403


def test_signature_of_another_is_no_token(
    authority: Authority, registrar: SigningIdentity, folder: IdentityFolder
) -> None:
    id = new_id()
    enrol(folder, authority, id, authority.register(registrar, id))
    forged = SigningIdentity(registrar.identity, folder.identity().signer)
    with pytest.raises(Refused) as refused:
        authority.register(forged, new_id())
    assert (refused.value.status, refused.value.errors) == (401, (AUTHENTICATION_FAILURE,))


def test_authorities_of_one_server_are_told_apart(
    server: Server, registrar: SigningIdentity, folder: IdentityFolder
) -> None:
    first, second = server.authority, replace(server.authority, name="ca1")
    assert [each.information().name for each in (first, replace(first, name="utility"), second)] == [
        "utility",
        "utility",
        "ca1",
    ]
    assert first.information().chain != second.information().chain
    with pytest.raises(Refused, match="CA 'nobody' does not exist"):
        replace(first, name="nobody").information()
    # Who may register at the first may not at the second.
    with pytest.raises(Refused) as refused:
        second.register(registrar, new_id())
    assert (refused.value.status, refused.value.errors) == (401, (AUTHENTICATION_FAILURE,))
    enrol(folder, second, *BOOTSTRAP)
    own = folder.identity()
    assert named(own)[1] == x509.load_pem_x509_certificate(second.information().chain).subject.rfc4514_string()
    id = new_id()
    enrol(folder, second, id, second.register(own, id))
    renew(folder)
    assert id in {each.id for each in second.identities(own)} - {each.id for each in first.identities(registrar)}
    assert second.revoke(own, id).serials
    assert named(folder.identity()) == (id, named(own)[1])


def test_another_server_s_certificate(authority: Authority, tmp_path: Path) -> None:
    make_chaincode_certificates(tmp_path / "others")
    others = replace(authority, tls_ca=tmp_path / "others" / "ca.pem")
    with pytest.raises(Misconfigured, match=r"others/ca\.pem does not vouch for the authority"):
        others.information()


def test_authority_that_is_away(hfc_python: Path, tmp_path: Path) -> None:
    with running_authority(tmp_path / "server", hfc_python) as server:
        assert server.authority.information().name == ""
        server.process.kill()
        server.process.wait()
        with pytest.raises(Unreachable, match="no answer of the authority"):
            server.authority.information()


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []
        thread = threading.Thread(target=lambda: taken.append(listener.accept()[0]))
        thread.start()
        yield listener.getsockname()[1]
        thread.join()
        for each in taken:
            each.close()


def test_authority_that_hangs(authority: Authority) -> None:
    with silent_server() as port:
        with pytest.raises(Unreachable, match="timed out"):
            replace(authority, url=f"https://127.0.0.1:{port}", timeout=0.5).information()


def test_python_without_hfc(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be started"):
        replace(authority, python=tmp_path / "python").information()
    with pytest.raises(HfcFailed, match="No module named 'hfc'"):
        replace(authority, python=Path(sys.executable)).information()
