"""The contracts on a real GoQuorum network: the same outcomes and records as in memory."""

from random import Random

import pytest

from deploy.quorum.network import Network
from ledger_adapters.contract import Code, Genesis
from ledger_adapters.contract.records import AppliedId
from tests.quorum.contract_commands import day_of_wallets, random_command
from tests.quorum.contracts import GENESIS, Sender, Twins, deploy, deploy_seedable, harness
from tests.vectors.market import WORLD, batch

pytestmark = pytest.mark.quorum


@pytest.fixture(scope="module")
def sender(quorum_network: Network) -> Sender:
    return Sender.at(quorum_network.nodes[0].rpc, quorum_network.sender_keys()[0])


def test_wallets_sign_every_kind_that_persons_sign(sender: Sender) -> None:
    market = deploy(sender, GENESIS)
    twins = Twins(market, {Genesis.key(): GENESIS.encode()})
    assert {one.code for one in twins.submit(batch(day_of_wallets(market)))} == {Code.APPLIED}
    assert twins.agree()


def test_random_batches_end_as_in_memory(sender: Sender, tmp_path_factory: pytest.TempPathFactory) -> None:
    market = deploy_seedable(sender, harness(tmp_path_factory))
    market.seed(WORLD)
    chance, twins = Random(0), Twins(market, dict(WORLD))
    commands = [random_command(market, chance, ()) for _ in range(160)]
    reached = {one.code for at in range(0, 160, 40) for one in twins.submit(batch(commands[at : at + 40]))}
    assert twins.agree(*(AppliedId.key(command.id) for command in commands))
    assert Code.APPLIED in reached and len(reached) > 20
