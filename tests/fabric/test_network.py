"""The chaincode on a real network: two organisations that endorse, one that cannot do without the other."""

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import grpc
import grpc.aio
import pytest
from fabric_protos.peer.chaincode_shim_pb2_grpc import ChaincodeStub

from deploy.fabric.network import Network
from evidence.commands import Batch
from ledger_adapters.contract import Code, Genesis, apply_batch, prepare
from ledger_adapters.fabric.chaincode.messages import (
    EVENT,
    OutcomesEvent,
    ReadResponse,
    SubmitResponse,
    join_keys,
)
from ledger_adapters.fabric.gateway import (
    Checkpoint,
    CommitError,
    CommitStatusRequest,
    EndorseError,
    Gateway,
    GatewayError,
    ValidationCode,
)
from tests.fabric.conftest import Client, Market

pytestmark = pytest.mark.fabric

RECOVERY = 60.0  # seconds
_areas = count(secrets.randbits(200))


def new_batch(market: Market, size: int = 3) -> Batch:
    """Commands of a conflict domain that nothing else writes to."""
    return market.anchors(*range(size), area=next(_areas))


def submit(client: Client, batch: Batch) -> SubmitResponse:
    return SubmitResponse.decode(client.submit(b"submit", batch.encode()).result)


def read(client: Client, keys: list[bytes]) -> dict[bytes, bytes]:
    """Values at the client's own peer, of keys that have one."""
    made = client.identity.identity.msp_id
    values = ReadResponse.decode(client.evaluate(b"read", join_keys(keys), by=[made])).values
    return {key: value for key, value in zip(keys, values, strict=True) if value}


def eventually(do: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not do():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for_state(client: Client, entries: dict[bytes, bytes]) -> None:
    """The other organisation's peer may be a moment behind."""
    eventually(lambda: read(client, list(entries)) == entries)


def wait_until_it_works(client: Client, market: Market) -> None:
    eventually(lambda: works(client, market), RECOVERY)


def seconds_off(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_the_ledger_is_founded_once(founded: Market, utility: Client, community: Client) -> None:
    record = founded.genesis.encode()
    assert utility.submit(b"found", record).result == record
    for client in (utility, community):
        assert client.evaluate(b"genesis", by=[client.identity.identity.msp_id]) == record
    with pytest.raises(EndorseError, match="another genesis record"):
        community.submit(b"found", Market.new().genesis.encode())


@pytest.mark.parametrize("through", ["utility", "community"])
def test_a_batch_gives_the_same_state_at_both_peers_as_the_core(
    founded: Market, utility: Client, community: Client, through: str
) -> None:
    batch = new_batch(founded)
    prepared = prepare(batch)
    before = dict.fromkeys(prepared.reads) | {Genesis.key(): founded.genesis.encode()}
    response = submit({"utility": utility, "community": community}[through], batch)
    expected = apply_batch(prepared, before, response.times[0])
    assert response == SubmitResponse.of(expected.outcomes)
    assert set(response.codes) == {Code.APPLIED}
    for client in (utility, community):
        wait_for_state(client, expected.writes)


@pytest.mark.parametrize("alone", ["UtilityMSP", "CommunityMSP"])
def test_one_organisation_alone_cannot_write(founded: Market, utility: Client, alone: str) -> None:
    batch = new_batch(founded)
    with pytest.raises(CommitError) as caught:
        utility.submit(b"submit", batch.encode(), by=[alone])
    assert caught.value.code == ValidationCode.ENDORSEMENT_POLICY_FAILURE
    assert not read(utility, [key for key in prepare(batch).reads if key != Genesis.key()])


@pytest.mark.parametrize("off", [-90, 90])
def test_a_transaction_of_another_time_is_not_endorsed(founded: Market, utility: Client, off: int) -> None:
    with pytest.raises(EndorseError, match=r"off the clock of this organisation, 60 s are allowed"):
        utility.submit(b"submit", new_batch(founded).encode(), at=seconds_off(off))


def test_the_ledger_time_is_that_of_the_transaction(founded: Market, utility: Client) -> None:
    at = seconds_off(-40)
    response = SubmitResponse.decode(utility.submit(b"submit", new_batch(founded, 1).encode(), at=at).result)
    assert response.times == (int(at.timestamp()),)


def test_outcomes_arrive_as_one_event_of_the_transaction(founded: Market, utility: Client, community: Client) -> None:
    good, unsigned = new_batch(founded, 2), Batch(new_batch(founded, 1).envelopes, bytes(64))
    applied = utility.submit(b"submit", good.encode())
    rejected = community.submit(b"submit", unsigned.encode())
    start = Checkpoint(applied.status.block_number)
    with community.events(start) as events:
        found: dict[str, OutcomesEvent] = {}
        while not {applied.status.transaction_id, rejected.status.transaction_id} <= set(found):
            event = events.next(10)
            assert event is not None
            assert event.transaction_id not in found
            assert event.name == EVENT
            found[event.transaction_id] = OutcomesEvent.decode(event.payload)
    announced = found[applied.status.transaction_id]
    response = SubmitResponse.decode(applied.result)
    assert (announced.ids, announced.codes, announced.times) == (response.ids, response.codes, response.times)
    assert announced.envelopes == good.envelopes
    announced = found[rejected.status.transaction_id]
    assert (announced.codes, announced.envelopes) == ((Code.OPERATOR_SIGNATURE,), unsigned.envelopes)


def test_known_commands_are_answered_by_a_transaction_without_an_event(founded: Market, utility: Client) -> None:
    batch = new_batch(founded)
    first = submit(utility, batch)
    again = utility.submit(b"submit", batch.encode())
    response = SubmitResponse.decode(again.result)
    assert set(response.codes) == {Code.ALREADY_APPLIED}
    assert (response.ids, response.times) == (first.ids, first.times)
    after = utility.submit(b"submit", new_batch(founded, 1).encode())
    with utility.events(Checkpoint(again.status.block_number)) as events:
        event = events.next(10)
    assert event is not None
    assert event.transaction_id == after.status.transaction_id


def test_a_thousand_commands_fit_into_a_transaction(founded: Market, utility: Client) -> None:
    response = submit(utility, new_batch(founded, 1000))
    assert response.codes == (Code.APPLIED,) * 1000


def test_two_hundred_transactions_of_both_organisations_at_once(
    founded: Market, utility: Client, community: Client
) -> None:
    batches = [new_batch(founded) for _ in range(200)]
    waiting = []
    for batch, client in zip(batches, [utility, community] * 100, strict=True):
        work = partial(Gateway.execute, proposal=client.propose(b"submit", batch.encode()), identity=client.identity)
        waiting.append(client.gateway.start(work))
    for future in waiting:
        assert set(SubmitResponse.decode(future.result(60).result).codes) == {Code.APPLIED}


def test_without_the_community_nothing_is_endorsed(
    fabric_network: Network, founded: Market, utility: Client, community: Client
) -> None:
    fabric_network.kill("chaincode-community")
    try:
        with pytest.raises(EndorseError):
            submit(utility, new_batch(founded))
    finally:
        fabric_network.restart("chaincode-community")
    wait_until_it_works(utility, founded)
    assert works(community, founded)


@pytest.mark.parametrize("name", ["orderer", "peer-utility", "peer-community", "chaincode-utility"])
def test_a_killed_process_comes_back_with_its_data(
    fabric_network: Network, founded: Market, utility: Client, community: Client, name: str
) -> None:
    batch = new_batch(founded)
    applied = submit(utility, batch)
    fabric_network.kill(name)
    assert fabric_network.status()[name] == "stopped"
    assert not works(utility, founded)
    fabric_network.restart(name)
    for client in (utility, community):
        wait_until_it_works(client, founded)
    again = submit(community, batch)
    assert set(again.codes) == {Code.ALREADY_APPLIED}
    assert again.times == applied.times


def works(client: Client, market: Market) -> bool:
    """Whether a batch gets through, within a few seconds. One that got no answer may still be committed."""
    batch = new_batch(market, 1)
    try:
        prepared = client.gateway.endorse(client.propose(b"submit", batch.encode()), 5)
        client.gateway.submit(prepared.sign(client.identity), 5)
        question = CommitStatusRequest.build(client.identity.identity, prepared.channel, prepared.transaction_id)
        status = client.gateway.commit_status(question.sign(client.identity), 5)
    except GatewayError:
        return False
    return status.valid


def test_a_stopped_network_starts_again_with_its_data(fabric_network: Network, founded: Market) -> None:
    made = fabric_network.description
    fabric_network.stop()
    assert set(fabric_network.status().values()) == {"stopped"}
    # As another process would.
    again = Network(fabric_network.folder)
    assert again.start() == made
    again_client = Client(again, "community")
    with again_client.gateway:
        assert again_client.evaluate(b"genesis") == founded.genesis.encode()
        assert works(again_client, founded)
    again.stop()
    fabric_network.start()


def test_new_chaincode_goes_on_where_the_old_one_was(fabric_network: Network, founded: Market, utility: Client) -> None:
    before = fabric_network.description
    batch = new_batch(founded)
    submit(utility, batch)
    fabric_network.deploy()
    after = fabric_network.description
    assert after.sequence == before.sequence + 1
    assert after.organisations["community"].package_id != before.organisations["community"].package_id
    assert set(submit(utility, batch).codes) == {Code.ALREADY_APPLIED}
    assert works(utility, founded)


def test_a_chaincode_server_talks_to_its_peer_only(fabric_network: Network) -> None:
    made = fabric_network.description.organisations
    folder = fabric_network.folder
    own, other = folder / "utility" / "chaincode", folder / "community" / "chaincode"
    address = made["utility"].chaincode_address
    assert asyncio.run(is_served(address, own, own))
    assert not asyncio.run(is_served(address, own, None))
    assert not asyncio.run(is_served(address, own, other))


async def is_served(address: str, roots: Path, client: Path | None) -> bool:
    credentials = grpc.ssl_channel_credentials(
        (roots / "ca.pem").read_bytes(),
        (client / "client-key.pem").read_bytes() if client else None,
        (client / "client.pem").read_bytes() if client else None,
    )
    async with grpc.aio.secure_channel(address, credentials) as channel:
        try:
            return await ChaincodeStub(channel).Connect(timeout=5).read() is not grpc.aio.EOF
        except grpc.aio.AioRpcError:
            return False


def test_private_keys_are_for_their_owner_only(fabric_network: Network) -> None:
    assert fabric_network.folder.stat().st_mode & 0o077 == 0
    for name in ("orderer", "utility", "community"):
        assert (fabric_network.folder / name).stat().st_mode & 0o077 == 0


def test_nothing_of_a_payload_is_in_the_chaincodes_logs(
    fabric_network: Network, founded: Market, utility: Client
) -> None:
    submit(utility, new_batch(founded))
    for path in (fabric_network.folder / "logs").glob("chaincode-*.log"):
        text = path.read_bytes()
        assert b"chaincode market_" in text
        assert founded.genesis.market not in text
        assert founded.genesis.market.hex().encode() not in text
