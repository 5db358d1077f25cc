"""What callers rely on in every adapter, as tests to inherit: a backend is one when its class passes."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from evidence.commands import Command, Fields
from evidence.commands.kinds import AnchorReadings, RegisterParticipant
from evidence.hashing import ZERO
from evidence.keys import Algorithm, PublicKey, SoftwareKey
from ledger_adapters.base import Event, Lane, LedgerAdapter, Transaction
from ledger_adapters.contract import Code, Genesis
from ledger_adapters.contract.records import AppliedId, Participant
from ledger_adapters.exceptions import Misconfigured

DAY = 20_454


@dataclass
class Bench:
    """A founded ledger. `reopen` gives another adapter for the same one, as another process would have."""

    ledger: LedgerAdapter
    reopen: Callable[[], LedgerAdapter]
    last: dict[int, bytes] = field(default_factory=dict)

    def command(self, fields: Fields) -> Command:
        return Command(self.ledger.genesis().market, secrets.token_bytes(32), fields)

    def prepare(self, *commands: Command | bytes, lane: int = 0) -> Transaction:
        envelopes = [item if isinstance(item, bytes) else item.envelope.encode() for item in commands]
        transaction = self.ledger.prepare(envelopes, Lane(lane, self.last.get(lane)))
        self.last[lane] = transaction.payload
        return transaction

    def send(self, *commands: Command | bytes, lane: int = 0) -> Transaction:
        transaction = self.prepare(*commands, lane=lane)
        self.ledger.submit(transaction)
        return transaction

    def codes(self, transaction: Transaction) -> list[Code]:
        outcomes = self.ledger.outcome(transaction.id)
        assert outcomes is not None
        return [outcome.code for outcome in outcomes]

    def end(self) -> int:
        end = 0
        for page in self.ledger.pages():
            end = page.next
        return end

    def events(self, start: int, limit: int = 500) -> list[Event]:
        found: list[Event] = []
        for page in self.ledger.pages(start, limit):
            assert len(page.events) <= limit
            found += page.events
        return found


def anchor() -> AnchorReadings:
    """Something that always succeeds."""
    return AnchorReadings(secrets.token_bytes(32), DAY, 0, 900, 1, secrets.token_bytes(32))


def participant() -> RegisterParticipant:
    key = SoftwareKey.generate(Algorithm.P256).public_key
    return RegisterParticipant(secrets.token_bytes(32), 3, key.algorithm, key.x, key.y, 1, ZERO)


class AdapterConformance:
    """Inherit it in a test module and give it a fixture `bench`; see `docs/adding-a-ledger-adapter.md`."""

    def test_founding_again_changes_nothing(self, bench: Bench) -> None:
        genesis = bench.ledger.genesis()
        stranger = SoftwareKey.generate().public_key
        assert bench.reopen().found(secrets.token_bytes(32), secrets.token_bytes(32), stranger) == genesis
        assert bench.ledger.read([Genesis.key()]) == {Genesis.key(): genesis.encode()}

    def test_who_signs_with_another_key_than_the_utility_is_told_at_once(self, bench: Bench) -> None:
        """Otherwise every batch would be refused, one after another."""
        stranger, relay = bench.reopen(), bench.reopen()
        stranger.operator, relay.operator = SoftwareKey.generate(), None
        with pytest.raises(Misconfigured, match=r"^KEYS: "):
            stranger.genesis()
        with pytest.raises(Misconfigured, match=r"^KEYS: "):
            stranger.prepare([bench.command(anchor()).envelope.encode()])
        assert relay.genesis() == bench.ledger.genesis()

    def test_a_batch_is_applied_and_its_outcomes_are_known_by_its_id(self, bench: Bench) -> None:
        first, second = bench.command(anchor()), bench.command(participant())
        sent = bench.send(first, second)
        outcomes = bench.ledger.outcome(sent.id)
        assert outcomes is not None
        assert [(one.id, one.code) for one in outcomes] == [(first.id, Code.APPLIED), (second.id, Code.APPLIED)]
        assert bench.reopen().outcome(sent.id) is not None

    def test_nobody_knows_the_outcome_of_what_was_never_sent(self, bench: Bench) -> None:
        assert bench.ledger.outcome(bench.prepare(bench.command(anchor()), lane=7).id) is None

    def test_sending_twice_does_nothing_more(self, bench: Bench) -> None:
        start = bench.end()
        sent = bench.send(bench.command(anchor()))
        bench.ledger.submit(sent)
        bench.reopen().submit(sent)
        assert len(bench.events(start)) == 1

    def test_a_known_command_answers_with_its_first_outcome_and_no_event(self, bench: Bench) -> None:
        command = bench.command(anchor())
        first = bench.send(command)
        start = bench.end()
        again = bench.send(command, bench.command(anchor()))
        assert bench.codes(again) == [Code.ALREADY_APPLIED, Code.APPLIED]
        before, after = bench.ledger.outcome(first.id), bench.ledger.outcome(again.id)
        assert before and after and before[0].time == after[0].time
        assert len(bench.events(start)) == 1

    def test_a_rejected_command_has_an_outcome_of_its_own(self, bench: Bench) -> None:
        """Between two that succeed: neither is lost, and the rejected id is not used up."""
        fields = participant()
        taken = bench.command(fields)
        bench.send(taken)
        start = bench.end()
        rejected = bench.command(fields)
        sent = bench.send(bench.command(anchor()), rejected, b"no command", bench.command(anchor()))
        codes = [Code.APPLIED, Code.ALREADY_REGISTERED, Code.BAD_ENCODING, Code.APPLIED]
        assert bench.codes(sent) == codes
        assert [event.outcome.code for event in bench.events(start)] == codes
        assert bench.ledger.read([AppliedId.key(rejected.id)]) == {AppliedId.key(rejected.id): None}

    def test_events_carry_the_whole_command_in_the_order_in_which_it_took_place(self, bench: Bench) -> None:
        start = bench.end()
        commands = [bench.command(anchor()) for _ in range(7)]
        sent = [bench.send(*commands[:3]), bench.send(*commands[3:])]
        events = bench.events(start)
        assert [event.outcome.envelope for event in events] == [command.envelope.encode() for command in commands]
        assert [event.transaction for event in events] == [sent[0].id] * 3 + [sent[1].id] * 4
        positions = [event.position for event in events]
        assert positions == sorted(set(positions)) and 0 <= positions[0] and positions[-1] < 2**63

    def test_events_come_in_pages_from_any_position(self, bench: Bench) -> None:
        start = bench.end()
        bench.send(*(bench.command(anchor()) for _ in range(5)))
        whole = bench.events(start)
        assert bench.events(start, limit=2) == whole
        assert bench.events(whole[2].position) == whole[2:]
        assert bench.reopen().events(whole[4].position + 1, 10).events == ()

    def test_state_is_what_the_commands_wrote(self, bench: Bench) -> None:
        fields = participant()
        command = bench.command(fields)
        bench.send(command)
        key, nothing = Participant.key(fields.participant), Participant.key(secrets.token_bytes(32))
        found = bench.ledger.read([key, nothing])
        value = found[key]
        assert found[nothing] is None and value is not None
        assert Participant.decode(value).public_key == PublicKey(fields.algorithm, fields.x, fields.y)

    def test_a_batch_as_large_as_the_limits_allow_is_taken(self, bench: Bench) -> None:
        limits = bench.ledger.limits
        size = len(bench.command(anchor()).envelope.encode())
        count = min(limits.commands, limits.bytes // size)
        sent = bench.send(*(bench.command(anchor()) for _ in range(count)))
        assert set(bench.codes(sent)) == {Code.APPLIED}

    def test_lanes_do_not_disturb_each_other(self, bench: Bench) -> None:
        """Two lanes prepare before either sends."""
        prepared = [bench.prepare(bench.command(anchor()), lane=lane) for lane in (0, 1)]
        for transaction in reversed(prepared):
            bench.ledger.submit(transaction)
        assert [bench.codes(transaction) for transaction in prepared] == [[Code.APPLIED], [Code.APPLIED]]

    def test_the_ledger_says_how_it_is(self, bench: Bench) -> None:
        before = bench.ledger.health()
        bench.send(bench.command(anchor()))
        after = bench.ledger.health()
        assert after.size > before.size or after.time > before.time
        assert after.time >= before.time
        assert bench.ledger.entries_before(bench.end()) == after.size
