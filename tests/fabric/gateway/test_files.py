"""An identity in files that are replaced while it is in use."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from ledger_adapters.fabric.gateway import IdentityFiles, Proposal
from tests.fabric.gateway.peer import CHAINCODE, CHANNEL, certificate, private_pem

MSP = "Org1MSP"


@dataclass(frozen=True)
class Pair:
    certificate: bytes
    key: bytes

    @classmethod
    def new(cls, name: str = "user1") -> "Pair":
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(certificate(key, name), private_pem(key))


class Place:
    """Two files, replaced as careful programs do, or written over."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"

    def put(self, pair: Pair) -> None:
        self.replace(self.certificate, pair.certificate)
        self.replace(self.key, pair.key)

    def replace(self, path: Path, content: bytes) -> None:
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        draft.replace(path)

    def read(self) -> IdentityFiles:
        return IdentityFiles(MSP, self.certificate, self.key)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_renewed_identity_is_in_use_at_once(place: Place) -> None:
    first, second = Pair.new(), Pair.new()
    place.put(first)
    files = place.read()
    assert files.current().identity.certificate == first.certificate
    place.put(second)
    new = files.current()
    assert (new.identity.msp_id, new.identity.certificate) == (MSP, second.certificate)
    # The key came along: it signs what the certificate's key verifies.
    message = Proposal.build(new.identity, CHANNEL, CHAINCODE, ["f"])
    public = new.identity.x509.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(message.sign(new).signature, message.content, ec.ECDSA(SHA256()))


def test_files_that_stay_are_not_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put(Pair.new())
    files = place.read()
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert files.current() is files.current()


def test_one_file_of_two_changes_nothing_yet(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Pair.new(), Pair.new()
    place.put(first)
    files = place.read()
    place.replace(place.certificate, second.certificate)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert files.current().identity.certificate == first.certificate
    # Said once, not with every call.
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        f"the private key does not belong to the certificate of {MSP}"
    ]
    place.replace(place.key, second.key)
    assert files.current().identity.certificate == second.certificate


def test_a_file_written_over_in_place_is_noticed(place: Place) -> None:
    first, second = Pair.new(), Pair.new()
    place.put(first)
    files = place.read()
    place.certificate.write_bytes(b"half of")
    place.key.write_bytes(second.key)
    assert files.current().identity.certificate == first.certificate
    place.certificate.write_bytes(second.certificate)
    assert files.current().identity.certificate == second.certificate


def test_missing_files_leave_the_identity_in_use(place: Place) -> None:
    first, second = Pair.new(), Pair.new()
    place.put(first)
    files = place.read()
    place.key.unlink()
    assert files.current().identity.certificate == first.certificate
    place.put(second)
    assert files.current().identity.certificate == second.certificate


def test_a_link_that_is_moved_is_noticed(tmp_path: Path) -> None:
    pairs = {name: Pair.new() for name in ("one", "two")}
    for name, pair in pairs.items():
        (tmp_path / name).mkdir()
        Place(tmp_path / name).put(pair)
    link = tmp_path / "current"
    link.symlink_to("one")
    files = Place(link).read()
    (tmp_path / "draft").symlink_to("two")
    os.replace(tmp_path / "draft", link)
    assert files.current().identity.certificate == pairs["two"].certificate


def test_what_was_begun_before_a_renewal_is_signed_by_who_began_it(place: Place) -> None:
    place.put(Pair.new())
    files = place.read()
    first = files.current()
    begun = Proposal.from_bytes(Proposal.build(first.identity, CHANNEL, CHAINCODE, ["f"]).to_bytes())
    assert begun.creator == first.identity.creator
    place.put(Pair.new())
    assert files.of(begun.creator) is first
    second = files.current()
    assert files.of(second.identity.creator) is second
    # Of one renewal more nothing can be under way: proposals are good for less than a minute.
    place.put(Pair.new())
    assert files.of(begun.creator) is None
    assert files.of(second.identity.creator) is second


def test_files_that_never_fitted_are_refused(place: Place) -> None:
    place.put(Pair(Pair.new().certificate, Pair.new().key))
    with pytest.raises(ValueError, match="does not belong"):
        place.read()
    with pytest.raises(OSError):
        IdentityFiles(MSP, place.certificate / "nowhere", place.key)
