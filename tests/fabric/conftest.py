"""A market of one's own on Fabric, the network that it runs on, and a client of each organisation."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest

from deploy.fabric.network import Network, NetworkError, check_programs
from evidence.commands import Batch, Command, Fields, batch_digest
from evidence.commands.kinds import AnchorReadings
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Genesis
from ledger_adapters.fabric.gateway import ChaincodeEvent, Checkpoint, Committed, Proposal, Signed, Stream


@pytest.fixture(scope="session")
def fabric_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two organisations, running; the network of this test run."""
    try:
        check_programs()
    except NetworkError as error:
        pytest.skip(str(error))
    network = Network(tmp_path_factory.mktemp("fabric") / "network")
    network.start()
    yield network
    network.stop()


class Client:
    """A user of one organisation. `at` sets the time of a proposal, `by` the organisations that are to endorse it."""

    def __init__(self, network: Network, organisation: str) -> None:
        self._made = network.description
        self.identity = self._made.organisations[organisation].identity()
        self.gateway = self._made.organisations[organisation].connect()

    def propose(self, *arguments: bytes, at: datetime | None = None, by: Sequence[str] = ()) -> Signed[Proposal]:
        return Proposal.build(
            self.identity.identity,
            self._made.channel,
            self._made.chaincode,
            arguments,
            time=at,
            endorsing_organizations=by,
        ).sign(self.identity)

    def evaluate(self, *arguments: bytes, by: Sequence[str] = ()) -> bytes:
        return self.gateway.evaluate(self.propose(*arguments, by=by))

    def submit(self, *arguments: bytes, at: datetime | None = None, by: Sequence[str] = ()) -> Committed:
        """Raises the gateway's error of the step that failed, CommitError for an invalid transaction."""
        return self.gateway.execute(self.propose(*arguments, at=at, by=by), self.identity)

    def events(self, start: Checkpoint | None = None) -> Stream[ChaincodeEvent]:
        return self.gateway.follow_chaincode_events(self.identity, self._made.channel, self._made.chaincode, start)


@pytest.fixture(scope="session")
def founded(fabric_network: Network) -> "Market":
    """The market whose genesis record is the network's."""
    market = Market.new()
    fabric_network.agree(hashlib.sha256(market.genesis.encode()).digest())
    client = Client(fabric_network, "utility")
    with client.gateway:
        client.submit(b"found", market.genesis.encode())
    return market


@pytest.fixture
def utility(fabric_network: Network) -> Iterator[Client]:
    client = Client(fabric_network, "utility")
    with client.gateway:
        yield client


@pytest.fixture
def community(fabric_network: Network) -> Iterator[Client]:
    client = Client(fabric_network, "community")
    with client.gateway:
        yield client


def anchor(number: int, area: int = 1) -> AnchorReadings:
    return AnchorReadings(area.to_bytes(32, "big"), 20_000, 0, 900, 1, number.to_bytes(32, "big"))


@dataclass(frozen=True)
class Market:
    """A genesis record and the operator's key to it."""

    operator: SoftwareKey
    genesis: Genesis

    @classmethod
    def new(cls) -> "Market":
        operator, community = SoftwareKey.generate(), SoftwareKey.generate()
        ours, theirs = operator.public_key, community.public_key
        ledger, market = secrets.token_bytes(32), secrets.token_bytes(32)
        return cls(
            operator,
            Genesis.of(ledger, market, ours, theirs),
        )

    def command(self, fields: Fields) -> Command:
        return Command(self.genesis.market, secrets.token_bytes(32), fields)

    def batch(self, commands: Sequence[Command]) -> Batch:
        signature = self.operator.sign(batch_digest(self.genesis.ledger, commands))
        return Batch(tuple(command.envelope.encode() for command in commands), signature)

    def anchors(self, *numbers: int, area: int = 1) -> Batch:
        return self.batch([self.command(anchor(number, area)) for number in numbers])
