from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endorsement import Authority
from tests.tpm.emulator import Emulator, running_tpm

MAKER = Authority()


@pytest.fixture(scope="session")
def maker() -> Authority:
    """Who makes the TPMs that the head-end takes."""
    return MAKER


@pytest.fixture(scope="session")
def tpm(tmp_path_factory: pytest.TempPathFactory, maker: Authority) -> Iterator[Emulator]:
    """One TPM for the whole run; to be used together with the marker `tpm`."""
    with running_tpm(tmp_path_factory.mktemp("tpm") / "state", maker, "EK-ECC256", "EK-RSA2048") as emulator:
        yield emulator


@pytest.fixture(scope="session")
def other_tpm(tmp_path_factory: pytest.TempPathFactory, maker: Authority) -> Iterator[Emulator]:
    """Another TPM by the same maker, who uses RSA only."""
    with running_tpm(tmp_path_factory.mktemp("tpm") / "state", maker, "EK-RSA2048") as emulator:
        yield emulator


@pytest.fixture
def key_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "key"
    folder.mkdir(mode=0o700)
    return folder
