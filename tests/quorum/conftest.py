"""The networks that tests of the Quorum ledger run on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.quorum.genesis import Settings
from deploy.quorum.network import Network, find_geth
from deploy.quorum.node import NetworkError
from tests.evm import evm_node

__all__ = ["evm_node", "quorum_network"]

# A round without a block ends soon, so that tests that stop validators do not wait long.
SETTINGS = Settings(request_timeout=2)


@pytest.fixture(scope="session")
def quorum_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Four QBFT validators for the whole run; to be used together with the marker `quorum`.

    Who stops some of them starts them again.
    """
    with running_network(tmp_path_factory.mktemp("quorum") / "network", SETTINGS) as network:
        yield network


@contextmanager
def running_network(folder: Path, settings: Settings) -> Iterator[Network]:
    """A network of one's own; skips the test where there is no GoQuorum."""
    try:
        find_geth()
    except NetworkError as error:
        pytest.skip(str(error))
    network = Network.create(folder, settings)
    try:
        network.start()
        yield network
    finally:
        network.stop()
