import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from meter_agent.keys import KeyFileError, load_key, load_or_create_key


def test_a_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key" / "device.pem"
    made = load_or_create_key(path)
    assert load_or_create_key(path).public_key == load_key(path).public_key == made.public_key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["device.pem"]
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert made.public_key.verifies(b"\x05" * 32, load_key(path).sign(b"\x05" * 32))


def test_a_missing_key_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="meter-agent key"):
        load_key(tmp_path / "key" / "device.pem")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key" / "device.pem"
    load_or_create_key(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match=r"mode 0640.*chmod 600"):
        load_key(path)
    path.chmod(0o400)
    load_key(path)
    path.parent.chmod(0o750)
    with pytest.raises(KeyFileError, match=r"mode 0750.*chmod 700"):
        load_key(path)


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "device.pem"
    other = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="another kind than P-256"):
        load_key(path)
    path.write_text("nonsense")
    with pytest.raises(KeyFileError, match="does not hold an unencrypted private key"):
        load_key(path)
