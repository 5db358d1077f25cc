"""Private keys in a folder that only their owner can read."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.keys import KeyFolder

MAKE = "import sys; from pathlib import Path; from ledger_adapters.keys import KeyFolder; "
MAKE += "print(KeyFolder(Path(sys.argv[1])).signer('operator').public_key.id.hex())"


def test_a_key_is_made_once(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    assert folder.signer("operator").secret == KeyFolder(tmp_path / "keys").signer("operator").secret
    assert folder.ed25519("checkpoint").private_bytes_raw() == folder.ed25519("checkpoint").private_bytes_raw()
    assert folder.signer("community").secret != folder.signer("operator").secret


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "deep" / "keys")
    folder.signer("operator")
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.folder.iterdir()] == [0o600]


def test_a_folder_that_others_may_open_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(Misconfigured, match="chmod 700"):
        KeyFolder(folder).signer("operator")


def test_a_key_of_another_kind_is_named(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.ed25519("checkpoint")
    folder.signer("operator")
    with pytest.raises(Misconfigured, match="checkpoint"):
        folder.signer("checkpoint")
    with pytest.raises(Misconfigured, match="operator"):
        folder.ed25519("operator")


def test_processes_that_start_together_get_the_same_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(tmp_path / "keys")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate()[0] for process in started}) == 1
    assert [file.name for file in (tmp_path / "keys").iterdir()] == ["operator.pem"]
