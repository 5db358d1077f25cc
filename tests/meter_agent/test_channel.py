"""What a box does with what it is told: whom it believes, when, and how often."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence.box_forms import read_signed
from evidence.boxes import AnswerState, ChannelPoll, InstructionAnswer, InstructionKind
from evidence.canonical import decode_bytes
from evidence.keys import SoftwareKey
from meter_agent.channel.instants import Instants
from meter_agent.channel.line import Line
from meter_agent.channel.orders import INTERRUPTED, Ending, Failure, How, Order, Outcome, Refusal, done
from meter_agent.channel.service import BEHIND_SECONDS, Channel
from meter_agent.channel.store import Store, StoreError
from meter_agent.channel.tasks import Reread, Restart
from meter_agent.journal import Journal
from meter_agent.keys import KeyUnavailable
from meter_agent.link import Allowance
from meter_agent.tables import Table
from meter_agent.uplink import Unavailable
from tests.meter_agent.support import DEVICE, KEY
from tests.meter_agent.utility import UTILITY, WALL, Utility, running_utility, told

DONE, REFUSED, FAILED = AnswerState.DONE, AnswerState.REFUSED, AnswerState.FAILED


class Clocks:
    """A wall clock that may be set, and seconds that go on."""

    def __init__(self) -> None:
        self.wall: float = WALL
        self.counted: float = 1000

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.counted += seconds


@dataclass
class Recorder:
    """A handler that notes what reached it and does as it is told."""

    outcome: Outcome | Exception | None = field(default_factory=done)
    begun: list[dict[str, Any]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)

    async def act(self, order: Order) -> Outcome | None:
        self.begun.append(dict(order.body))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def resume(self, order: Order) -> Outcome | None:
        self.resumed.append(order.sequence)
        return INTERRUPTED


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "channel.sqlite") as opened:
        yield opened


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def channel(store: Store, clocks: Clocks, recorder: Recorder, journal: Journal) -> Channel:
    return make_channel(store, clocks, recorder, journal)


def make_channel(
    store: Store, clocks: Clocks, recorder: Recorder, journal: Journal, server: str = "http://127.0.0.1:9"
) -> Channel:
    instants = Instants(store.reached()[1], lambda: clocks.wall, lambda: clocks.counted)
    line = Line(server, DEVICE, KEY, httpx.AsyncClient(), Allowance(journal, None), lambda: clocks.wall)
    made = Channel(
        DEVICE,
        KEY,
        [UTILITY.public_key],
        store,
        line,
        instants,
        contextlib.nullcontext,
        wait_seconds=25,
        pause_seconds=0,
    )
    made.handlers[InstructionKind.OUTPUT] = recorder
    return made


def answered(store: Store) -> tuple[int, int, dict[str, Any]]:
    """Sequence, state and body of the oldest answer, checked and taken."""
    waiting = store.next_answer()
    assert waiting is not None
    sequence, text = waiting
    signed = read_signed(InstructionAnswer, "answer", json.loads(text))
    assert KEY.public_key.verifies(signed.said.digest, signed.signature)
    assert (signed.said.device, signed.said.key, signed.said.sequence) == (DEVICE, KEY.public_key.id, sequence)
    store.posted(sequence, "stored")
    return sequence, signed.said.state, json.loads(signed.body)


def take(channel: Channel, value: object) -> bool:
    return asyncio.run(channel.take(value))


# Whom it believes.


def test_an_instruction_is_done_and_answered_once(channel: Channel, store: Store, recorder: Recorder) -> None:
    recorder.outcome = done(volts=230)
    value = told(InstructionKind.OUTPUT, {"n": 1}, sequence=5)
    assert take(channel, value)
    assert answered(store) == (5, DONE, {"volts": 230})
    # Told again, or something older: neither done nor answered.
    assert not take(channel, value)
    assert not take(channel, told(InstructionKind.OUTPUT, {"n": 2}, sequence=4))
    assert not take(channel, told(InstructionKind.OUTPUT, {"n": 3}, sequence=5))
    assert (recorder.begun, store.next_answer()) == ([{"n": 1}], None)
    assert take(channel, told(InstructionKind.OUTPUT, {"n": 4}, sequence=7))
    assert recorder.begun == [{"n": 1}, {"n": 4}]


STRANGER = SoftwareKey.generate()
GOOD = told(InstructionKind.OUTPUT)


@pytest.mark.parametrize(
    "value",
    [
        told(InstructionKind.OUTPUT, key=STRANGER),
        told(InstructionKind.OUTPUT, key=STRANGER, issuer=UTILITY.public_key.id),
        told(InstructionKind.OUTPUT, device=b"\x0e" * 32),
        told(InstructionKind.OUTPUT, sequence=0),
        GOOD | {"signature": told(InstructionKind.OUTPUT, sequence=2)["signature"]},
        GOOD | {"body": "e30"[::-1]},
        GOOD | {"instruction": GOOD["instruction"] | {"kind": "5"}},
        GOOD | {"more": 1},
        None,
        [],
    ],
)
def test_who_is_not_the_utility_gets_no_answer(
    channel: Channel, store: Store, recorder: Recorder, value: object
) -> None:
    assert not take(channel, value)
    assert (recorder.begun, store.next_answer(), store.reached()[0]) == ([], None, 0)
    assert take(channel, GOOD)


def test_the_device_itself_is_no_utility(channel: Channel, recorder: Recorder) -> None:
    assert not take(channel, told(InstructionKind.OUTPUT, key=KEY))
    assert recorder.begun == []


# What it refuses.


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (InstructionKind.SCHEDULE, {}, "not_offered"),
        (99, {}, "not_offered"),
        (InstructionKind.OUTPUT, b"nonsense", "format"),
        (InstructionKind.OUTPUT, b"[]", "format"),
        (InstructionKind.OUTPUT, b"\xff", "format"),
        (InstructionKind.OUTPUT, b"[" * 50, "format"),
    ],
)
def test_what_the_utility_said_and_cannot_be_done_is_refused(
    channel: Channel, store: Store, recorder: Recorder, kind: int, body: Any, code: str
) -> None:
    assert take(channel, told(kind, body))
    sequence, state, content = answered(store)
    assert (sequence, state, content["code"], recorder.begun) == (1, REFUSED, code, [])


def test_a_handler_that_refuses_or_fails(channel: Channel, store: Store, recorder: Recorder) -> None:
    recorder.outcome = Refusal("limit", most=3)
    take(channel, told(InstructionKind.OUTPUT, sequence=1))
    recorder.outcome = Failure("no_answer")
    take(channel, told(InstructionKind.OUTPUT, sequence=2))
    assert answered(store) == (1, REFUSED, {"code": "limit", "most": 3})
    assert answered(store) == (2, FAILED, {"code": "no_answer"})


# When.


def test_an_instruction_has_an_end_and_a_beginning(channel: Channel, store: Store, clocks: Clocks) -> None:
    cases = [
        (WALL + 3599, DONE, {}),
        (WALL + 3600, REFUSED, {"code": "expired", "clock": WALL + 3600}),
        (WALL - 3600 - BEHIND_SECONDS, DONE, {}),
        (WALL - 3601 - BEHIND_SECONDS, REFUSED, {"code": "not_yet", "clock": WALL - 3601 - BEHIND_SECONDS}),
    ]
    for sequence, (wall, state, body) in enumerate(cases, 1):
        # A box of its own each time: what one has learnt of the time, the next does not know.
        channel.instants = Instants(0, lambda wall=wall: wall, lambda: clocks.counted)  # type: ignore[misc]
        take(channel, told(InstructionKind.OUTPUT, sequence=sequence))
        assert answered(store) == (sequence, state, body)


def test_a_clock_that_is_set_back_brings_nothing_back_to_life(channel: Channel, store: Store, clocks: Clocks) -> None:
    take(channel, told(InstructionKind.OUTPUT, sequence=1, since=WALL, until=WALL + 10))
    assert answered(store)[1] == DONE
    clocks.counted += 30
    clocks.wall -= 100
    # By its clock it is not yet over; but 30 seconds have been counted since WALL for sure.
    take(channel, told(InstructionKind.OUTPUT, sequence=2, since=WALL - 50, until=WALL + 25))
    assert answered(store) == (2, REFUSED, {"code": "expired", "clock": WALL + 30})


def test_what_is_known_of_the_time_outlives_a_restart(
    channel: Channel, store: Store, clocks: Clocks, recorder: Recorder, journal: Journal
) -> None:
    take(channel, told(InstructionKind.OUTPUT, sequence=1, since=WALL))
    answered(store)
    clocks.wall -= 200
    again = make_channel(store, clocks, recorder, journal)
    take(again, told(InstructionKind.OUTPUT, sequence=2, since=WALL - 300, until=WALL - 100))
    assert answered(store) == (2, REFUSED, {"code": "expired", "clock": WALL})


def test_a_clock_that_jumps_ahead_begins_nothing_that_is_over(channel: Channel, store: Store, clocks: Clocks) -> None:
    clocks.wall += 7200
    take(channel, told(InstructionKind.OUTPUT))
    assert answered(store)[1] == REFUSED
    clocks.wall -= 7200
    take(channel, told(InstructionKind.OUTPUT, sequence=2))
    assert answered(store)[1] == DONE


# Over restarts.


def test_what_was_begun_before_a_restart_is_answered_and_not_done_again(
    channel: Channel, store: Store, clocks: Clocks, recorder: Recorder, journal: Journal
) -> None:
    recorder.outcome = None  # as if the process ended before it knew
    take(channel, told(InstructionKind.OUTPUT, {"n": 1}))
    again = make_channel(store, clocks, recorder, journal)
    asyncio.run(again.settle())
    assert answered(store) == (1, FAILED, {"code": "interrupted"})
    assert (recorder.begun, recorder.resumed) == ([{"n": 1}], [1])
    assert not take(again, told(InstructionKind.OUTPUT, {"n": 1}))


def test_a_restart_is_done_once_the_box_is_back(
    channel: Channel, store: Store, clocks: Clocks, recorder: Recorder, journal: Journal
) -> None:
    channel.handlers[InstructionKind.RESTART] = Restart()
    with pytest.raises(Ending) as ending:
        take(channel, told(InstructionKind.RESTART))
    assert (ending.value.how, store.next_answer()) == (How.RESTART, None)
    again = make_channel(store, clocks, recorder, journal)
    again.handlers[InstructionKind.RESTART] = Restart()
    asyncio.run(again.settle())
    assert answered(store) == (1, DONE, {})


def test_an_ending_waits_for_the_slot_that_is_being_read(channel: Channel) -> None:
    channel.handlers[InstructionKind.RESTART] = Restart()

    async def work() -> None:
        reading = asyncio.Lock()
        channel.quiet = lambda: reading
        await reading.acquire()
        task = asyncio.create_task(channel.take(told(InstructionKind.RESTART)))
        await asyncio.sleep(0.05)
        assert not task.done()
        reading.release()
        with pytest.raises(Ending):
            await task

    asyncio.run(work())


def test_the_first_answer_stays(channel: Channel, store: Store, recorder: Recorder) -> None:
    take(channel, told(InstructionKind.OUTPUT))
    order = Order(1, b"\x01" * 32, 3, 0, 0, {})
    channel.answer(order, done(late=True))
    assert answered(store) == (1, DONE, {})


def test_a_damaged_store_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "channel.sqlite"
    path.write_bytes(b"nonsense" * 1000)
    with Store(path) as store:
        assert store.reached() == (0, 0)
    assert len(list(tmp_path.glob("channel.sqlite.damaged-*"))) == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "channel.sqlite").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "channel.sqlite")


# Reading again.


def test_reading_again_by_name(channel: Channel, store: Store) -> None:
    async def sums(table: Table) -> dict[str, Any]:
        table.finish()
        return {"sums": [1]}

    channel.handlers[InstructionKind.REREAD] = Reread({"sums": sums})
    for sequence, body in enumerate(({"what": "sums"}, {"what": "moon"}, {}, {"what": "sums", "x": 1}), 1):
        take(channel, told(InstructionKind.REREAD, body, sequence=sequence))
    assert answered(store) == (1, DONE, {"sums": [1]})
    assert answered(store) == (2, REFUSED, {"code": "not_offered", "what": "moon", "offered": ["sums"]})
    assert answered(store) == (3, REFUSED, {"code": "format", "message": "what: is missing"})
    assert answered(store) == (4, REFUSED, {"code": "format", "message": "x: is not a setting"})


# The line.


@pytest.fixture
def utility() -> Iterator[Utility]:
    with running_utility() as running:
        yield running


def turns(channel: Channel, count: int = 1) -> float:
    async def work() -> float:
        async with httpx.AsyncClient() as client:
            channel.line.client = client
            rests = [await channel.turn() for _ in range(count)]
        return rests[-1]

    return asyncio.run(work())


@pytest.fixture
def connected(store: Store, clocks: Clocks, recorder: Recorder, journal: Journal, utility: Utility) -> Channel:
    return make_channel(store, clocks, recorder, journal, utility.address)


def test_a_turn_polls_does_and_answers(connected: Channel, utility: Utility, recorder: Recorder) -> None:
    utility.instructions = [told(InstructionKind.OUTPUT, {"n": n}, n) for n in (1, 2)]
    assert turns(connected) == 0
    assert recorder.begun == [{"n": 1}, {"n": 2}]
    assert utility.said(1) == utility.said(2) == (DONE, {})
    # Nothing to tell, and told so at once: a second's rest.
    assert turns(connected, 2) in (0, 1)
    assert [poll.sequence for poll in utility.polls] == [0, 2, 2]


def test_an_answer_that_was_not_heard_is_posted_again(connected: Channel, utility: Utility, recorder: Recorder) -> None:
    utility.instructions = [told(InstructionKind.OUTPUT)]
    real, lost = utility.take_answer, []

    def lose(body: bytes) -> str:
        lost.append(real(body))
        raise ConnectionError

    utility.take_answer = lose  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        turns(connected)
    utility.take_answer = real  # type: ignore[method-assign]
    turns(connected)
    assert (lost, utility.said(1), recorder.begun) == (["stored"], (DONE, {}), [{}])


def test_an_answer_waits_for_a_key_that_is_away(
    connected: Channel, utility: Utility, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        public_key = KEY.public_key

        def sign(self, digest: bytes) -> bytes:
            raise KeyUnavailable("no answer from the process with the key")

    utility.instructions = [told(InstructionKind.OUTPUT)]
    connected.key = Away()
    turns(connected)
    assert (recorder.begun, utility.answers) == ([{}], [])
    assert "the answer to 1 has to wait" in caplog.text
    with pytest.raises(KeyUnavailable):
        turns(connected)
    connected.key = KEY
    turns(connected)
    assert (recorder.begun, utility.said(1)) == ([{}], (DONE, {}))


def test_an_answer_that_is_refused_for_good_does_not_hold_up_the_rest(connected: Channel, utility: Utility) -> None:
    utility.instructions = [told(InstructionKind.OUTPUT, None, n) for n in (1, 2)]
    sent: list[str] = []

    def keep(body: bytes) -> str:
        sent.append(json.loads(body)["answer"]["sequence"])
        return "stored"

    utility.take_answer = keep  # type: ignore[method-assign]
    real = connected.line.answer

    async def refuse_the_first(body: str) -> str:
        how = await real(body)
        return "refused: answered 409" if not sent[1:] else how

    connected.line.answer = refuse_the_first  # type: ignore[method-assign]
    turns(connected)
    assert sent == ["1", "2"]
    assert [each["posted"] for each in connected.store.newest(2)] == ["stored", "refused: answered 409"]


def test_polls_rise_while_the_clock_is_set_back(connected: Channel, clocks: Clocks, utility: Utility) -> None:
    turns(connected)
    clocks.wall -= 1000
    turns(connected, 2)
    at = [poll.at for poll in utility.polls]
    assert at == [WALL * 1000, WALL * 1000 + 1, WALL * 1000 + 2]


def test_the_head_end_may_set_the_number(connected: Channel, utility: Utility) -> None:
    problem = {"title": "clock"}
    utility.script = [(409, problem, {"Box-Clock": "1234567"})]
    with pytest.raises(Unavailable, match="answered 409"):
        turns(connected)
    turns(connected)
    assert utility.polls[-1].at == 1_234_567


@pytest.mark.parametrize(
    "reply",
    [(500, None), (200, []), (200, {"instructions": 5}), (404, {"title": "?"}), "hang up", (302, None)],
)
def test_what_is_no_answer_is_tried_again(connected: Channel, utility: Utility, reply: Any) -> None:
    utility.script = [reply]
    with pytest.raises(Unavailable):
        turns(connected)
    turns(connected)
    assert len(utility.polls) == 1


def test_instructions_of_a_stranger_do_not_make_it_ask_without_end(connected: Channel, utility: Utility) -> None:
    utility.instructions = [told(InstructionKind.OUTPUT, key=STRANGER)]
    assert turns(connected) == 1
    assert utility.answers == []


def test_the_silence_is_counted(connected: Channel, clocks: Clocks, utility: Utility) -> None:
    assert connected.silent_seconds() is None
    turns(connected)
    clocks.counted += 70
    clocks.wall -= 5000
    assert connected.silent_seconds() == 70


def test_a_poll_is_signed_over_its_own_tag(connected: Channel) -> None:
    content = decode_bytes(connected.line._credentials(9).removeprefix("Box "))
    poll = ChannelPoll.decode(content[:128])
    assert (poll.device, poll.key, poll.sequence, poll.at) == (DEVICE, KEY.public_key.id, 9, WALL * 1000)
    assert KEY.public_key.verifies(poll.digest, content[128:])
