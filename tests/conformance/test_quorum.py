"""Quorum: on an EVM node that mines at once, and on a QBFT network with four validators."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.quorum.network import Network
from evidence.keys import SoftwareKey
from ledger_adapters.conformance import AdapterConformance, Bench, Difference, Trial, run
from ledger_adapters.conformance.moving import MovingConformance, New, Old
from ledger_adapters.conformance.sequences import TOPICS
from ledger_adapters.contract import Code
from ledger_adapters.keys import KeyFolder
from ledger_adapters.quorum import market
from ledger_adapters.quorum.adapter import QuorumLedger
from ledger_adapters.quorum.market import artefact
from tests.evm import EvmNode, evm_node
from tests.quorum.conftest import quorum_network
from tests.quorum.contracts import CONTRACTS, compile_contracts

__all__ = ["evm_node", "quorum_network"]

BACKENDS = (QuorumLedger,)


def opened(folder: Path, rpc: list[str], chain: int, *, is_operator: bool = True) -> QuorumLedger:
    options = {"RPC": rpc, "CHAIN_ID": chain, "KEYS": folder / "keys", "DEPLOYMENT": folder / "address"}
    return QuorumLedger.from_options("test", {**options, "OPERATOR": is_operator})


def founded(folder: Path, rpc: list[str], chain: int) -> QuorumLedger:
    ledger = opened(folder, rpc, chain)
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    return ledger


@pytest.mark.evm
class TestEvm(AdapterConformance):
    @pytest.fixture
    def bench(self, evm_node: EvmNode, tmp_path: Path) -> Bench:
        ledger = founded(tmp_path, [evm_node.rpc], evm_node.chain_id)
        return Bench(ledger, lambda: opened(tmp_path, [evm_node.rpc], evm_node.chain_id))


def new_for(old: Old, folder: Path, rpc: list[str], chain: int) -> New:
    ledger, keys = opened(folder, rpc, chain), KeyFolder(folder / "keys")
    parties = [keys.signer(name) for name in ("operator", "community")]
    ledger.found(secrets.token_bytes(32), old.market, parties[1].public_key)
    old.keys |= {key.public_key.id: key for key in parties}
    return New(ledger, lambda: opened(folder, rpc, chain))


@pytest.mark.evm
class TestMovesToEvm(MovingConformance):
    @pytest.fixture
    def new(self, old: Old, evm_node: EvmNode, tmp_path: Path) -> New:
        return new_for(old, tmp_path, [evm_node.rpc], evm_node.chain_id)


@pytest.fixture
def evm_trial(evm_node: EvmNode, tmp_path: Path) -> Trial:
    return _trial_on(evm_node, tmp_path)


def _trial_on(evm_node: EvmNode, tmp_path: Path) -> Trial:
    ledger = founded(tmp_path, [evm_node.rpc], evm_node.chain_id)
    relay = opened(tmp_path, [evm_node.rpc], evm_node.chain_id, is_operator=False)
    return Trial(ledger, relay, lambda seconds: _pass_time(evm_node, seconds))


def _pass_time(node: EvmNode, seconds: int) -> None:
    node.call("evm_increaseTime", seconds)
    node.call("evm_mine")


@pytest.mark.evm
@pytest.mark.timeout(900)
def test_two_thousand_sequences_give_what_the_core_gives(evm_trial: Trial) -> None:
    for first in range(0, 2_000, 250):
        run(evm_trial, range(first, first + 250), rounds=12)
    outcomes = {code for code in Code if code < Code.IMPORT_OPEN}
    missed = outcomes - set(evm_trial.seen)
    assert len(missed) <= len(outcomes) // 10, sorted(code.name for code in missed)
    assert evm_trial.commands == 2_000 * 12


# What is changed, and the topic of the sequences that meet it most often.
MUTANTS = {
    "one Wh more than offered": ("Offers", "> offer.energy)", "> uint256(offer.energy) + 1)", 0),
    "cleared an hour too early": ("Auctions", "if (time < uint256", "if (uint256(time) + 3_600 < uint256", 2),
    "no operator asked": ("Core", "if (opened.description.byUtility &&", "if (validUntil == 7 &&", 3),
}


@pytest.mark.evm
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutated_contract_is_caught(
    evm_node: EvmNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The sources with one condition changed are compiled and put on the chain in the place of the true ones."""
    contract, condition, mutant, topic = MUTANTS[name]
    sources = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, sources, ignore=shutil.ignore_patterns("node_modules", "build"))
    (sources / "node_modules").symlink_to(CONTRACTS / "node_modules")
    path = sources / "src" / f"{contract}.sol"
    text = path.read_text(encoding="utf-8")
    assert text.count(condition) == 1
    path.write_text(text.replace(condition, mutant), encoding="utf-8")
    compile_contracts(tmp_path / "build", folder=sources)
    monkeypatch.setattr(market, "BUILD", tmp_path / "build")
    artefact.cache_clear()
    try:
        with pytest.raises(Difference):
            run(_trial_on(evm_node, tmp_path), range(topic, 800, len(TOPICS)), rounds=12)
    finally:
        artefact.cache_clear()


@pytest.fixture(scope="module")
def on_quorum(
    quorum_network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, list[str], int]]:
    folder = tmp_path_factory.mktemp("market")
    rpc = [node.rpc for node in quorum_network.nodes]
    founded(folder, rpc, quorum_network.settings.chain_id)
    yield folder, rpc, quorum_network.settings.chain_id


@pytest.mark.quorum
class TestQuorum(AdapterConformance):
    @pytest.fixture
    def bench(self, on_quorum: tuple[Path, list[str], int]) -> Bench:
        return Bench(opened(*on_quorum), lambda: opened(*on_quorum))


@pytest.mark.quorum
class TestMovesToQuorum(MovingConformance):
    @pytest.fixture
    def new(self, old: Old, quorum_network: Network, tmp_path: Path) -> New:
        rpc = [node.rpc for node in quorum_network.nodes]
        return new_for(old, tmp_path, rpc, quorum_network.settings.chain_id)


@pytest.mark.quorum
@pytest.mark.timeout(900)
def test_two_hundred_sequences_give_what_the_core_gives(on_quorum: tuple[Path, list[str], int]) -> None:
    trial = Trial(opened(*on_quorum), opened(*on_quorum, is_operator=False))
    run(trial, range(200), rounds=12)
    assert trial.commands == 200 * 12
