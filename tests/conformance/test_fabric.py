"""Fabric: two organisations, both of which have to endorse."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.fabric.network import Network, NetworkError, check_programs
from evidence.keys import SoftwareKey
from ledger_adapters.conformance import AdapterConformance, Bench, Trial, run
from ledger_adapters.conformance.moving import MovingConformance, New, Old
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.keys import KeyFolder
from tests.fabric.recording import found

BACKENDS = (FabricLedger,)


def options(network: Network, organisation: str, keys: Path) -> dict[str, Any]:
    return {**network.description.options(organisation), "KEYS": keys}


@contextmanager
def running_network(folder: Path) -> Iterator[Network]:
    try:
        check_programs()
    except NetworkError as error:
        pytest.skip(str(error))
    network = Network(folder / "network")
    network.start()
    try:
        yield network
    finally:
        network.stop()


@pytest.fixture(scope="module")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, Path]]:
    """A network of its own: the other tests' one is founded with keys that an adapter does not have."""
    folder = tmp_path_factory.mktemp("conformance")
    with running_network(folder) as network:
        ledger = FabricLedger.from_options("test", options(network, "utility", folder / "keys"))
        found(network, ledger, SoftwareKey.generate().public_key)
        ledger.gateway.close()
        yield network, folder / "keys"


@pytest.fixture
def unfounded_network(tmp_path: Path) -> Iterator[Network]:
    with running_network(tmp_path) as network:
        yield network


@pytest.mark.fabric
class TestFabric(AdapterConformance):
    @pytest.fixture
    def bench(self, own_network: tuple[Network, Path]) -> Iterator[Bench]:
        network, keys = own_network
        opened = [FabricLedger.from_options("test", options(network, "utility", keys))]

        def reopen() -> FabricLedger:
            opened.append(FabricLedger.from_options("test", options(network, "utility", keys)))
            return opened[-1]

        yield Bench(opened[0], reopen)
        for ledger in opened:
            ledger.gateway.close()


@pytest.mark.fabric
class TestMovesToFabric(MovingConformance):
    @pytest.fixture
    def new(self, old: Old, unfounded_network: Network, tmp_path: Path) -> Iterator[New]:
        opened = [FabricLedger.from_options("test", options(unfounded_network, "utility", tmp_path / "keys"))]
        parties = [KeyFolder(tmp_path / "keys").signer(name) for name in ("operator", "community")]
        old.keys |= {key.public_key.id: key for key in parties}
        found(unfounded_network, opened[0], parties[1].public_key, (secrets.token_bytes(32), old.market))

        def reopen() -> FabricLedger:
            opened.append(FabricLedger.from_options("test", options(unfounded_network, "utility", tmp_path / "keys")))
            return opened[-1]

        yield New(opened[0], reopen)
        for ledger in opened:
            ledger.gateway.close()


@pytest.mark.fabric
@pytest.mark.timeout(900)
def test_two_hundred_sequences_give_what_the_core_gives(own_network: tuple[Network, Path]) -> None:
    """The community relays what needs no signature of the operator's."""
    network, keys = own_network
    utility = FabricLedger.from_options("test", options(network, "utility", keys))
    relayed = {**options(network, "community", keys), "OPERATOR": False}
    community = FabricLedger.from_options("test", relayed)
    trial = Trial(utility, community)
    run(trial, range(200), rounds=12)
    assert trial.commands == 200 * 12
    utility.gateway.close()
    community.gateway.close()
