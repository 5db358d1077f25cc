"""Identity, time and the overlay: what holds for every kind of command."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.commands import Command, Fields
from evidence.hashing import ZERO
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code, domain_of
from ledger_adapters.contract.records import AppliedId, Domain
from tests.vectors.contract_cases import COMMIT, PUBLISH, SUCCEEDING, cases, of, state_for
from tests.vectors.market import ALICE, BOB, NOW, UTILITY, WORLD, Market, batch, command, ident, run, sign

COMMANDS = [sent for case in cases() for sent in case.commands if isinstance(sent, Command)]

some_commands = st.lists(st.sampled_from(COMMANDS), max_size=10)
instants = st.integers(NOW - 7_200, NOW + 14_400)


@given(some_commands, instants, st.sampled_from([UTILITY, ALICE, None]))
def test_a_batch_does_what_its_commands_do_one_by_one(
    sent: list[Command], now: int, operator: SoftwareKey | None
) -> None:
    together, alone = Market(dict(WORLD), now), Market(dict(WORLD), now)
    result = together.send(*sent, operator=operator)
    assert list(result.outcomes) == [alone.send(one, operator=operator).outcomes[0] for one in sent]
    assert together.state == alone.state


@given(some_commands, instants)
def test_only_applied_commands_write(sent: list[Command], now: int) -> None:
    market = Market(dict(WORLD), now)
    for one in sent:
        before = dict(market.state)
        result = market.send(one)
        if result.outcomes[0].code is not Code.APPLIED:
            assert result.writes == {}
            assert market.state == before


@given(st.lists(st.tuples(st.sampled_from(COMMANDS), instants), max_size=12))
def test_an_id_applies_once_and_keeps_its_first_time(sent: list[tuple[Command, int]]) -> None:
    market = Market(dict(WORLD))
    first: dict[bytes, int] = {}
    for one, market.now in sent:
        outcome = market.send(one).outcomes[0]
        if outcome.id in first:
            assert (outcome.code, outcome.time) == (Code.ALREADY_APPLIED, first[outcome.id])
        elif outcome.code is Code.APPLIED:
            first[outcome.id] = outcome.time
            assert market.state[AppliedId.key(outcome.id)] == AppliedId(one.fields.KIND, outcome.time).encode()


@given(st.lists(st.tuples(st.sampled_from(COMMANDS), instants), max_size=12))
def test_the_time_of_a_domain_never_runs_backwards(sent: list[tuple[Command, int]]) -> None:
    market = Market(dict(WORLD))
    last: dict[bytes, int] = {}
    for one, market.now in sent:
        outcome = market.send(one).outcomes[0]
        domain = domain_of(one)
        if outcome.code is Code.APPLIED:
            assert outcome.time == max(market.now, last.get(domain, 0))
            last[domain] = outcome.time
            assert market.state[domain] == Domain(outcome.time).encode()


@pytest.mark.parametrize("fields", [fields for fields, _ in SUCCEEDING], ids=lambda f: type(f).__name__)
def test_a_known_id_is_answered_without_a_look_at_anything_else(fields: Fields) -> None:
    good = of(fields)
    market = Market(dict(state_for(fields)))
    assert market.code(good) is Code.APPLIED
    market.now += 5
    again = replace(good, after=ident("never applied"), valid_until=1, signatures=())
    result = market.send(again, operator=None)
    assert (result.outcomes[0].code, result.outcomes[0].time) == (Code.ALREADY_APPLIED, NOW)
    assert result.writes == {}


def test_a_rejected_id_can_be_used_later() -> None:
    market = Market(dict(WORLD))
    offer = of(PUBLISH)
    buys = sign(replace(of(COMMIT, offer=ident("new offer"), energy=2_000), after=offer.id, signatures=()), BOB)
    assert market.code(buys) is Code.PREDECESSOR_MISSING
    assert market.code(offer) is Code.APPLIED
    assert market.code(buys) is Code.APPLIED
    assert market.code(buys) is Code.ALREADY_APPLIED


def test_equal_fields_with_another_nonce_are_another_command() -> None:
    market = Market(dict(WORLD))
    first = of(COMMIT, energy=1_000)
    second = command(replace(COMMIT, energy=1_000, purchase=ident("second purchase")), BOB, nonce="second")
    assert first.id != command(first.fields, BOB, nonce="second").id
    assert [market.code(first), market.code(second)] == [Code.APPLIED, Code.APPLIED]


def test_bytes_that_are_no_command_have_the_id_zero_and_no_trace() -> None:
    result = run(WORLD, batch([b"junk"]), NOW)
    assert [(one.id, one.code, one.time, one.envelope) for one in result.outcomes] == [
        (ZERO, Code.BAD_ENCODING, NOW, b"junk")
    ]
    assert result.writes == {}


def test_a_ledger_without_genesis_applies_nothing() -> None:
    with pytest.raises(ValueError, match="no genesis record"):
        run({}, batch([of(COMMIT)]), NOW)
