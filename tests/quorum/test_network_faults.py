"""The local GoQuorum network when validators are killed, come back, and are voted out and in."""

from collections.abc import Iterator

import pytest

from deploy.quorum.network import Network
from deploy.quorum.node import NetworkError, block_number, call, validators

pytestmark = pytest.mark.quorum


@pytest.fixture
def breakable_network(quorum_network: Network) -> Iterator[Network]:
    """The network of the run, whole again for those who come after."""
    yield quorum_network
    quorum_network.start()
    for node in quorum_network.nodes:
        quorum_network.vote(node.name, is_in=True)


def test_three_of_four_validators_go_on(breakable_network: Network) -> None:
    breakable_network.kill("node2")
    assert [status.pid is None for status in breakable_network.status()] == [False, True, False, False]
    breakable_network.wait_for_blocks(4)
    breakable_network.restart("node2")
    breakable_network.wait_for_blocks(1)


def test_two_of_four_validators_stand_still_until_a_third_is_back(breakable_network: Network) -> None:
    breakable_network.kill("node2")
    breakable_network.kill("node3")
    # One more block may have been agreed on already.
    with pytest.raises(NetworkError, match="not every node has block"):
        breakable_network.wait_for_blocks(2, timeout=10)
    breakable_network.restart("node3")
    breakable_network.wait_for_blocks(3)


def test_no_block_is_lost_when_all_validators_are_killed(breakable_network: Network) -> None:
    breakable_network.wait_for_blocks(1)
    first = breakable_network.nodes[0]
    number = hex(min(block_number(node) for node in breakable_network.nodes))
    block = call(first, "eth_getBlockByNumber", number, False)["hash"]
    for node in breakable_network.nodes:
        breakable_network.kill(node.name)
    breakable_network.start()
    for node in breakable_network.nodes:
        assert call(node, "eth_getBlockByNumber", number, False)["hash"] == block


def test_a_validator_is_voted_out_and_in_again(breakable_network: Network) -> None:
    address = breakable_network.node("node4").address
    breakable_network.vote("node4", is_in=False)
    assert [address in validators(node) for node in breakable_network.nodes] == [False] * 4
    breakable_network.wait_for_blocks(3)
    assert "node4" not in sealers(breakable_network, 3)
    breakable_network.vote("node4", is_in=True)
    assert [len(validators(node)) for node in breakable_network.nodes] == [4] * 4
    breakable_network.wait_for_blocks(8)
    assert "node4" in sealers(breakable_network, 6)


def sealers(network: Network, count: int) -> set[str]:
    """The names of those who sealed one of the latest blocks."""
    first = network.nodes[0]
    head = block_number(first)
    found = [call(first, "istanbul_getSignersFromBlock", hex(number)) for number in range(head - count + 1, head + 1)]
    addresses = {address for signers in found for address in signers["Committers"]}
    return {node.name for node in network.nodes if node.address in addresses}


def test_a_vote_without_a_majority_changes_nothing(breakable_network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.quorum.network.VOTE_TIMEOUT", 4.0)
    breakable_network.kill("node2")
    breakable_network.kill("node3")
    with pytest.raises(NetworkError, match=r"^After 4 s: node4 is still a validator\.$"):
        breakable_network.vote("node4", is_in=False)
    first = breakable_network.nodes[0]
    assert len(validators(first)) == 4
    assert call(first, "istanbul_candidates") == {}


def test_a_vote_on_a_stranger_is_refused(quorum_network: Network) -> None:
    with pytest.raises(NetworkError, match=r"^There is no node 'node9', only node1, node2, node3, node4\.$"):
        quorum_network.vote("node9", is_in=False)
