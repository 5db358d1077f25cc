import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from evidence.keys import Algorithm
from meter_agent.keys import KeyFileError, KeyRefused, Place, open_key
from meter_agent.keys.ring import KeyRing
from meter_agent.keys.settings import FileKey
from meter_agent.keys.software import Software

DIGEST = b"\x05" * 32
ROOT = Path(__file__).parents[2]


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return ring_at(tmp_path / "key" / "device.pem")


def ring_at(path: Path, algorithm: Algorithm = Algorithm.P256) -> KeyRing:
    """As a process sees the files that starts now."""
    return KeyRing(path, Software(algorithm))


def test_a_key_is_made_once_and_only_for_its_owner(ring: KeyRing) -> None:
    made = ring.make()
    assert ring.make() == ring_at(ring.path).make() == made
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ring.path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in ring.path.parent.iterdir()] == ["device.pem"]
    assert ring.path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    signer = open_key(FileKey(ring.path))
    assert signer.public_key == made
    assert made.verifies(DIGEST, signer.sign(DIGEST))


def test_a_key_on_the_curve_of_accounts_is_made_when_wanted(ring: KeyRing) -> None:
    made = ring_at(ring.path, Algorithm.SECP256K1).make()
    assert made.algorithm == Algorithm.SECP256K1
    # What was made stays, whatever the next ones are to be.
    assert ring.make() == made
    assert made.verifies(DIGEST, open_key(FileKey(ring.path)).sign(DIGEST))


def test_a_missing_key_says_how_to_make_it(ring: KeyRing) -> None:
    with pytest.raises(KeyFileError, match="meter-agent key"):
        open_key(FileKey(ring.path))


def test_a_key_that_others_can_read_is_refused(ring: KeyRing) -> None:
    ring.make()
    ring.path.chmod(0o640)
    with pytest.raises(KeyFileError, match=r"mode 0640.*chmod 600"):
        open_key(FileKey(ring.path))
    ring.path.chmod(0o400)
    open_key(FileKey(ring.path))
    ring.path.parent.chmod(0o750)
    with pytest.raises(KeyFileError, match=r"mode 0750.*chmod 700"):
        open_key(FileKey(ring.path))


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "device.pem"
    other = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="another kind than P-256 and secp256k1"):
        open_key(FileKey(path))
    path.write_text("nonsense")
    with pytest.raises(KeyFileError, match="does not hold an unencrypted private key"):
        open_key(FileKey(path))


def test_only_digests_are_signed(ring: KeyRing) -> None:
    key = ring.make()
    for digest in (b"", bytes(31), bytes(33), b"a whole document"):
        with pytest.raises(KeyRefused, match="only digests of 32 bytes"):
            ring.sign(key.id, digest)


def test_all_three_keys_of_an_exchange_sign_until_they_are_forgotten(ring: KeyRing) -> None:
    first = ring.make()
    second = ring.make_next()
    assert ring.make_next() == second != first
    assert ring.held().keys == {Place.CURRENT: first, Place.NEXT: second}
    ring.promote(second.id)
    ring.promote(second.id)
    assert ring.held().keys == {Place.CURRENT: second, Place.OLD: first}
    third = ring.make_next()
    for key in (first, second, third):
        for held in (ring, ring_at(ring.path)):
            assert key.verifies(DIGEST, held.sign(key.id, DIGEST))
    assert open_key(FileKey(ring.path), Place.OLD).public_key == first

    with pytest.raises(KeyRefused, match="the old key is still there"):
        ring.promote(third.id)
    ring.forget(Place.OLD)
    ring.forget(Place.OLD)
    with pytest.raises(KeyRefused, match=f"there is no key {first.id.hex()}"):
        ring.sign(first.id, DIGEST)
    ring.forget(Place.NEXT)
    with pytest.raises(KeyRefused, match="is not the next key"):
        ring.promote(third.id)
    with pytest.raises(KeyRefused, match="the current key is not forgotten"):
        ring.forget(Place.CURRENT)
    assert ring.held().keys == {Place.CURRENT: second}
    assert [entry.name for entry in ring.path.parent.iterdir()] == ["device.pem"]


def test_a_key_in_a_file_cannot_show_where_it_was_made(ring: KeyRing) -> None:
    key = ring.make()
    with pytest.raises(KeyRefused, match="cannot show where it was made"):
        ring.attest(key.id)


def test_there_is_no_next_key_without_a_current_one(ring: KeyRing) -> None:
    with pytest.raises(KeyRefused, match="there is no key to follow"):
        ring.make_next()


def test_a_lost_key_is_not_replaced_in_silence(ring: KeyRing) -> None:
    ring.make()
    following = ring.make_next()
    ring.path.unlink()
    with pytest.raises(KeyFileError, match=r"device\.pem is missing, though the next key is there"):
        ring.make()
    ring.promote(following.id)
    assert ring.make() == following


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_file_is_named_and_the_other_keys_go_on(ring: KeyRing, content: bytes) -> None:
    first = ring.make()
    second = ring.make_next()
    ring.promote(second.id)
    ring.file(Place.NEXT).write_bytes(content)
    ring.file(Place.NEXT).chmod(0o600)
    after = ring_at(ring.path)
    held = after.held()
    assert held.keys == {Place.CURRENT: second, Place.OLD: first}
    assert list(held.faults) == [Place.NEXT]
    assert "device.pem.next does not hold an unencrypted private key" in held.faults[Place.NEXT]
    with pytest.raises(KeyFileError, match=r"device\.pem\.next does not hold"):
        after.make_next()
    assert first.verifies(DIGEST, after.sign(first.id, DIGEST))
    after.forget(Place.NEXT)
    assert after.make_next() not in (first, second)

    ring.path.write_bytes(content)
    assert second.verifies(DIGEST, ring.sign(second.id, DIGEST)), "it was loaded before the damage"
    with pytest.raises(KeyFileError, match=r"device\.pem does not hold"):
        open_key(FileKey(ring.path))
    with pytest.raises(KeyRefused, match=r"no key .*device\.pem does not hold"):
        ring_at(ring.path).sign(second.id, DIGEST)


def test_a_damaged_old_key_is_not_written_over_by_a_promotion(ring: KeyRing) -> None:
    ring.make()
    second = ring.make_next()
    ring.promote(second.id)
    ring.file(Place.OLD).write_bytes(b"")
    third = ring.make_next()
    with pytest.raises(KeyRefused, match="the old key is still there"):
        ring.promote(third.id)
    assert ring.held().keys == {Place.CURRENT: second, Place.NEXT: third}


def test_a_full_disk_leaves_the_keys_as_they_are(ring: KeyRing) -> None:
    first = ring.make()
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
    try:
        with pytest.raises(KeyFileError, match=r"device\.pem\.next cannot be made: File too large"):
            ring.make_next()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert ring.held().keys == {Place.CURRENT: first}
    assert [entry.name for entry in ring.path.parent.iterdir()] == ["device.pem"]
    ring.promote(ring.make_next().id)
    assert ring.held().keys[Place.OLD] == first


# Exchanges a key, and is killed just before it changes a file for the given time.
EXCHANGE = """
import os, signal, sys
from pathlib import Path
from meter_agent.keys.ring import KeyRing
from meter_agent.keys.software import Software

left = int(sys.argv[2])

def count(event, arguments):
    global left
    if event in ("os.link", "os.rename", "os.remove") or event == "open" and arguments[2] & os.O_CREAT:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

ring = KeyRing(Path(sys.argv[1]), Software())
sys.addaudithook(count)
ring.promote(ring.make_next().id)
"""


def test_a_power_cut_during_an_exchange_leaves_keys_that_sign(tmp_path: Path) -> None:
    kills = 0
    for changes in range(20):
        ring = ring_at(tmp_path / str(changes) / "device.pem")
        first = ring.make()
        command = [sys.executable, "-c", EXCHANGE, str(ring.path), str(changes)]
        if subprocess.run(command, cwd=ROOT).returncode == 0:
            break
        kills += 1
        after = ring_at(ring.path)
        held = after.held()
        assert held.faults == {}
        current = held.keys[Place.CURRENT]
        assert current.verifies(DIGEST, after.sign(current.id, DIGEST))
        assert first.verifies(DIGEST, after.sign(first.id, DIGEST))
        # Asked for again, it is done.
        if current == first:
            current = after.make_next()
            if Place.NEXT in held.keys:
                assert current == held.keys[Place.NEXT]
            after.promote(current.id)
        assert ring_at(ring.path).held().keys == {Place.CURRENT: current, Place.OLD: first}
    assert kills == 6, "draft, its content, link, removal of the draft; link to the old key, rename of the next one"
