"""The contracts on an EVM node against the golden vectors: the same outcomes, times and records."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evidence.commands import Batch, Command
from evidence.keys import Algorithm, SoftwareKey
from ledger_adapters.contract import Code, domain_of, prepare
from ledger_adapters.contract.records import AppliedId, Domain
from ledger_adapters.quorum.market import BUILD, MODULES
from tests.evm import EvmNode, running_evm_node
from tests.quorum.contract_commands import random_command
from tests.quorum.contracts import (
    GENESIS,
    Market,
    Sender,
    Twins,
    compile_contracts,
    deploy,
    deploy_seedable,
    harness,
    signed_for,
)
from tests.vectors.market import HOUR, NOW, WORLD, batch
from tests.vectors.read import raw, vectors

pytestmark = pytest.mark.evm

CASES = vectors("contract")["cases"]
EIP_170 = 24_576  # bytes of a deployed contract
# No node's clock goes to the end of u64. A case later than this one takes its time from its domain's last time.
LATEST_CLOCK = 2**40


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvmNode]:
    """A node whose clock starts a day before the vectors' time."""
    with running_evm_node(tmp_path_factory.mktemp("node"), [f"--timestamp={NOW - 86_400}"]) as node:
        yield node


@pytest.fixture(scope="module")
def sender(node: EvmNode) -> Sender:
    return Sender.at(node.rpc, node.sender_keys[0])


@pytest.fixture(scope="module")
def founded(sender: Sender, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return deploy_seedable(sender, harness(tmp_path_factory))


@pytest.fixture
def market(node: EvmNode, founded: Market) -> Iterator[Market]:
    """A market just founded that also takes records as they are."""
    snapshot = node.call("evm_snapshot")
    yield founded
    assert node.call("evm_revert", snapshot)


def wallets() -> dict[bytes, SoftwareKey]:
    rows = vectors("contract")["wallets"]
    return {raw(row["id"]): SoftwareKey(Algorithm(int(row["algorithm"])), raw(row["secret"])) for row in rows}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case: Any, node: EvmNode, market: Market) -> None:
    state = {raw(key): raw(value) for key, value in case["state"].items()}
    batch = signed_for(market.domain, Batch.decode(raw(case["batch"])), wallets())
    prepared, time = prepare(batch), int(case["time"])
    if time > LATEST_CLOCK:
        [command] = prepared.commands
        assert command
        state[domain_of(command)], time = Domain(time).encode(), NOW
    market.seed(state)
    node.call("evm_setNextBlockTimestamp", time)
    seen = [(one.id, one.code, one.time) for one in market.submit(batch)]
    assert seen == [(raw(one["id"]), int(one["code"]), int(one["time"])) for one in case["outcomes"]]
    writes = {raw(key): raw(value) for key, value in case["writes"].items()}
    assert market.read(sorted(prepared.reads | writes.keys())) == state | writes


def test_committed_artefacts_are_what_the_sources_compile_to(tmp_path: Path) -> None:
    compile_contracts(tmp_path)
    compiled, committed = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in (tmp_path, BUILD))
    assert compiled == committed


def test_contracts_fit_the_code_size_of_public_networks(sender: Sender) -> None:
    deployed = deploy(sender, GENESIS).contract
    addresses = [deployed.address, *(deployed.functions.moduleAt(slot).call() for slot in MODULES)]
    sizes = [len(sender.w3.eth.get_code(address)) for address in addresses]
    assert 0 < min(sizes) and max(sizes) <= EIP_170, sizes


@pytest.mark.parametrize("seed", range(8))
def test_random_batches_end_as_in_memory(seed: int, node: EvmNode, market: Market) -> None:
    chance = Random(seed)
    twins = Twins(market, dict(WORLD))
    market.seed(WORLD)
    sent: list[Command] = []
    reached: Counter[int] = Counter()
    for step in range(8):
        if step % 2 == 0:
            node.call("evm_setNextBlockTimestamp", NOW + step * HOUR // 4)
        commands = [random_command(market, chance, [one.id for one in sent]) for _ in range(12)]
        commands += chance.sample(sent, min(len(sent), 2))
        sent += commands
        reached.update(one.code for one in twins.submit(batch(commands)))
    assert twins.agree(*(AppliedId.key(command.id) for command in sent))
    assert reached[Code.APPLIED] > 10 and len(reached) > 15
