"""A box exchanges its key when its utility asks for it, on a ledger that applies the contract."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence.boxes import AnswerState, InstructionKind
from evidence.canonical import decode_bytes
from evidence.commands import Command
from evidence.keys import PublicKey, Signer
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import Device
from ledger_adapters.embedded.store import MemoryStore
from meter_agent.channel.orders import INTERRUPTED, Ending, Failure, How, Order, Outcome, Refusal
from meter_agent.daily import Energy, report
from meter_agent.destinations import Relay
from meter_agent.exchange import NAME, PATH, Exchanges, RotateKey
from meter_agent.keys import KeyFileError, Place, open_key, open_keys
from meter_agent.keys.settings import FileKey
from meter_agent.senders.relay import RelaySender
from tests.adapters.embedded import Bench
from tests.meter_agent.daily import destination, registered
from tests.meter_agent.support import DEVICE, HOUSE, SECRETS, make_config
from tests.meter_agent.test_commands import finish, start
from tests.meter_agent.utility import UTILITY, running_utility

NOW = 1_800_000_000
GRACE = 30 * 86_400


@dataclass
class World:
    """A box with its key in a file, and a market that hands commands to a ledger. `script`: what it answers instead."""

    folder: Path
    bench: Bench = field(default_factory=lambda: Bench(MemoryStore()))
    script: list[Any] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    answers: list[Outcome] = field(default_factory=list)
    now: float = NOW

    def __post_init__(self) -> None:
        self.settings = FileKey(self.folder / "key" / "device.pem")
        open_keys(self.settings).make()
        self.device = registered(self.bench.ledger, self.current)
        self.config = replace(make_config(self.folder), device=self.device, key=self.settings)

    @property
    def current(self) -> Signer:
        return open_key(self.settings)

    @property
    def exchanges(self) -> Exchanges:
        """As a process sees the files that starts now."""
        return Exchanges(self.config, open_keys(self.settings), lambda: self.now)

    def order(self, sequence: int = 1, **body: Any) -> Order:
        ids = {"ledger": self.bench.genesis.ledger.hex(), "market": self.bench.genesis.market.hex()}
        return Order(sequence, bytes(32), 7, NOW, NOW + 600, ids | body)

    def market(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == PATH
        envelope = decode_bytes(json.loads(request.content)["envelope"])
        self.received.append(envelope)
        order = self.script.pop(0) if self.script else "apply"
        if isinstance(order, int):
            return httpx.Response(order)
        transaction = self.bench.ledger.prepare([envelope])
        self.bench.ledger.submit(transaction)
        (outcome,) = self.bench.ledger.outcome(transaction.id) or ()
        if order == "lose the reply":
            raise httpx.ReadError("lost")
        return httpx.Response(202, json={"code": None if order == "later" else str(int(outcome.code))})

    def work(self, use: Callable[[RotateKey], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self.market)) as client:
                sender = RelaySender(Relay("http://market.example"), client, PATH)
                return await use(RotateKey(self.exchanges, sender, self.answer, self.end, 0.01))

        return asyncio.run(run())

    def answer(self, order: Order, outcome: Outcome) -> None:
        self.answers.append(outcome)

    async def end(self, how: How) -> None:
        raise Ending(how)

    def exchange(self, **body: Any) -> None:
        async def use(rotate: RotateKey) -> None:
            await rotate.act(self.order(**body))
            with pytest.raises(Ending) as ended:
                await asyncio.wait_for(rotate.run(), 10)
            assert ended.value.how is How.RELOAD

        self.work(use)

    def on_ledger(self) -> PublicKey:
        key = Device.key(self.device)
        value = self.bench.ledger.read([key])[key]
        assert value is not None
        return Device.decode(value).public_key


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path)


def test_the_key_is_exchanged_on_the_ledger_and_in_the_box(world: World) -> None:
    first = world.current
    world.exchange(grace_days=30)
    second = world.current
    assert world.on_ledger() == second.public_key != first.public_key
    held = world.exchanges.keys.held().keys
    assert held == {Place.CURRENT: second.public_key, Place.OLD: first.public_key}
    last = world.exchanges.last()
    assert last is not None
    assert (last.key, last.until) == (second.public_key.id, NOW + GRACE)
    (answer,) = world.answers
    assert (answer.state.name, answer.body) == ("DONE", {"key": second.public_key.id.hex(), "day": last.day})


def test_each_day_is_reported_by_the_key_that_speaks_about_it(world: World) -> None:
    to = destination(world.bench.ledger, Relay("http://127.0.0.1:9"))
    world.exchange()
    last = world.exchanges.last()
    assert last is not None
    for day in (last.day - 2, last.day - 1, last.day, last.day + 1):
        key = world.exchanges.key_of(day, world.current)
        transaction = world.bench.apply(report(to, world.device, day, Energy(5_200, 400, 3_300), key))
        (outcome,) = world.bench.ledger.outcome(transaction.id) or ()
        assert outcome.code == Code.APPLIED


@pytest.mark.parametrize(
    "trouble", [[503, 500], ["lose the reply"], ["later", "later"], ["lose the reply", 503, "later"]]
)
def test_after_trouble_the_very_same_command_is_sent_again(world: World, trouble: list[Any]) -> None:
    count = len(trouble)
    world.script = trouble
    world.exchange()
    assert len(world.received) == count + 1
    assert len(set(world.received)) == 1
    assert world.on_ledger() == world.current.public_key


def test_a_box_that_lost_its_power_after_sending_goes_on(world: World) -> None:
    first = world.current
    world.script = ["lose the reply"]

    async def sent_once(rotate: RotateKey) -> None:
        await rotate.act(world.order())
        task = asyncio.create_task(rotate.run())
        while not world.received:
            await asyncio.sleep(0)
        task.cancel()

    world.work(sent_once)
    assert world.current.public_key == first.public_key != world.on_ledger()

    async def again(rotate: RotateKey) -> None:
        assert await rotate.resume(world.order()) is None
        with pytest.raises(Ending):
            await asyncio.wait_for(rotate.run(), 10)

    world.work(again)
    assert world.current.public_key == world.on_ledger()
    assert len(set(world.received)) == 1
    assert [answer.state.name for answer in world.answers] == ["DONE"]


def test_a_box_that_lost_its_power_before_the_promotion_makes_up_for_it(world: World) -> None:
    exchange = world.exchanges.begin(1, world.bench.genesis.ledger, world.bench.genesis.market, 30)
    world.bench.apply(Command.from_bytes(exchange.envelope))
    world.exchanges._write(replace(exchange, until=NOW + GRACE))

    async def start(rotate: RotateKey) -> None:
        with pytest.raises(Ending):
            await asyncio.wait_for(rotate.run(), 10)
        outcome = await rotate.resume(world.order())
        assert outcome is not None and outcome.state.name == "DONE"

    world.work(start)
    assert world.current.public_key == world.on_ledger()
    assert world.received == []


def test_what_the_ledger_refuses_changes_nothing(world: World) -> None:
    first = world.current.public_key
    other = "07" * 32

    async def use(rotate: RotateKey) -> None:
        await rotate.act(world.order(market=other))
        task = asyncio.create_task(rotate.run())
        while not world.answers:
            await asyncio.sleep(0.01)
        task.cancel()

    world.work(use)
    (answer,) = world.answers
    assert (answer.state.name, answer.body["code"]) == ("FAILED", "ledger")
    assert world.current.public_key == first == world.on_ledger()
    assert not (world.folder / NAME).exists()
    world.exchange()
    assert world.on_ledger() == world.current.public_key != first


def test_the_old_key_is_forgotten_after_its_grace_and_not_before(world: World) -> None:
    world.exchange(grace_days=30)
    with pytest.raises(Refusal, match="grace_running"):
        world.work(lambda rotate: rotate.act(world.order(2)))
    world.now = NOW + GRACE
    assert not world.exchanges.tidy()
    world.now += 1
    assert world.exchanges.tidy()
    assert world.exchanges.keys.held().keys.keys() == {Place.CURRENT}
    assert world.exchanges.key_of(1, world.current).public_key == world.current.public_key
    world.bench.clock.now = NOW + GRACE + 100
    world.exchange(sequence=2)
    assert world.on_ledger() == world.current.public_key


@pytest.mark.parametrize(
    "body", [{"grace_days": 0}, {"grace_days": "30"}, {"ledger": "00"}, {"market": None}, {"colour": 1}]
)
def test_an_instruction_in_another_form_is_refused(world: World, body: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="format"):
        world.work(lambda rotate: rotate.act(world.order(**body)))
    assert world.exchanges.keys.held().keys.keys() == {Place.CURRENT}


def test_an_exchange_that_nobody_began_was_interrupted(world: World) -> None:
    assert world.work(lambda rotate: rotate.resume(world.order())) == INTERRUPTED


def test_a_damaged_file_is_named(world: World) -> None:
    world.exchange()
    (world.folder / NAME).write_text("{")
    with pytest.raises(KeyFileError, match=r"exchange\.json is damaged"):
        world.exchanges.key_of(1, world.current)
    with pytest.raises(Failure, match="damaged"):
        world.work(lambda rotate: rotate.act(world.order(2)))


def test_a_running_box_goes_on_with_its_next_key(tmp_path: Path) -> None:
    settings = FileKey(tmp_path / "key" / "device.pem")
    first = open_keys(settings).make()
    trusted = UTILITY.public_key
    with running_utility(first) as utility:
        (tmp_path / "agent.toml").write_text(f"""
device = "{DEVICE.hex()}"
key_file = "key/device.pem"
server = "{utility.address}"
time_zone = "Europe/Berlin"
journal = "journal.sqlite"
trusted = [{{ algorithm = 1, x = "{trusted.x.hex()}", y = "{trusted.y.hex()}" }}]

[[points]]
id = "{HOUSE.hex()}"
secret = "{SECRETS[HOUSE].hex()}"
grid = {{ host = "127.0.0.1", port = 9, unit = 1, map = "sunspec203" }}

[channel]
""")
        agent = start(tmp_path, "run", "--config", "agent.toml")
        try:
            sequence = utility.tell(InstructionKind.ROTATE_KEY, {"ledger": "01" * 32, "market": "02" * 32})
            state, body = utility.wait_for(sequence)
            (second,) = utility.next_keys
            assert (state, body["key"]) == (AnswerState.DONE, second.id.hex())
            assert open_keys(settings).held().keys == {Place.CURRENT: second, Place.OLD: first}
            deadline = time.monotonic() + 30
            while utility.polls[-1].key != second.id:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            agent.terminate()
            code, _, err = finish(agent)
        assert code == 0, err
        assert "reload, as the utility asks" in err
