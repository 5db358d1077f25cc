"""The embedded ledger: what it writes, what it answers, what it refuses."""

from dataclasses import replace

import pytest

from evidence.commands import Batch, batch_digest
from evidence.hashing import tagged
from evidence.keys import SoftwareKey
from ledger_adapters.base import Event, Transaction
from ledger_adapters.contract import Code, Genesis
from ledger_adapters.contract.records import Anchor
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.postgres import PostgresStore
from ledger_adapters.embedded.store import MemoryStore, Store
from ledger_adapters.exceptions import Misconfigured, Rejected
from tests.adapters.embedded import Bench, anchor


def test_a_ledger_without_genesis_says_what_to_do(store: Store) -> None:
    ledger = EmbeddedLedger("test", store, SoftwareKey.generate(), Bench(MemoryStore()).checkpoint)
    for ask in (ledger.genesis, ledger.health):
        with pytest.raises(Misconfigured, match="ledger init"):
            ask()


def test_the_genesis_record_is_written_once(bench: Bench) -> None:
    again = bench.open().found(b"\x08" * 32, b"\x09" * 32, SoftwareKey.generate().public_key)
    assert again == bench.genesis
    assert bench.ledger.read([Genesis.key()]) == {Genesis.key(): bench.genesis.encode()}
    assert bench.ledger.health().size == 0


def test_what_was_submitted_can_be_read(bench: Bench) -> None:
    commands = [bench.command(anchor(n)) for n in range(3)]
    transaction = bench.apply(*commands)
    events = bench.ledger.events(0, 10).events
    assert [event.position for event in events] == [0, 1, 2]
    assert [event.outcome.id for event in events] == [command.id for command in commands]
    assert {event.outcome.code for event in events} == {Code.APPLIED}
    assert {event.transaction for event in events} == {transaction.id}
    assert [event.outcome.envelope for event in events] == [command.envelope.encode() for command in commands]
    assert bench.ledger.events(1, 1).events == events[1:2]
    key = Anchor.key((1).to_bytes(32, "big"), 20_000, (2).to_bytes(32, "big"))
    values = bench.open().read([key, b"\x00" * 32])
    assert Anchor.decode(values[key] or b"").count == 1
    assert values[b"\x00" * 32] is None
    assert key in bench.ledger.state_entries()


def test_a_transaction_counts_once(bench: Bench) -> None:
    transaction = bench.apply(bench.command(anchor(1)))
    state = bench.ledger.state_entries()
    bench.ledger.submit(transaction)
    bench.open().submit(transaction)
    assert bench.ledger.health().size == 1
    assert bench.ledger.state_entries() == state


def test_a_known_command_in_another_transaction_makes_no_event(bench: Bench) -> None:
    command = bench.command(anchor(1))
    bench.apply(command)
    bench.clock.now += 60
    second = bench.apply(bench.command(anchor(2)), command)
    outcomes = bench.ledger.outcome(second.id)
    assert outcomes is not None
    assert [outcome.code for outcome in outcomes] == [Code.APPLIED, Code.ALREADY_APPLIED]
    assert outcomes[1].time == bench.clock.now - 60
    assert bench.ledger.health().size == 2


def test_a_rejected_command_is_an_event_and_leaves_no_state(bench: Bench) -> None:
    bench.apply(bench.command(anchor(1)))
    state = bench.ledger.state_entries()
    transaction = bench.apply(bench.command(anchor(1)))
    outcomes = bench.ledger.outcome(transaction.id)
    assert outcomes is not None
    assert outcomes[0].code is Code.ALREADY_ANCHORED
    assert bench.ledger.events(1, 1).events[0].outcome.code is Code.ALREADY_ANCHORED
    assert bench.ledger.state_entries() == state


def test_a_transaction_that_was_never_sent_is_unknown(bench: Bench) -> None:
    transaction = bench.transaction(bench.command(anchor(1)))
    assert bench.ledger.outcome(transaction.id) is None


def test_a_batch_that_the_operator_did_not_sign_is_rejected_by_the_contract(bench: Bench) -> None:
    command = bench.command(anchor(1))
    stranger = SoftwareKey.generate().sign(batch_digest(bench.genesis.ledger, [command]))
    payload = bytes(32) + Batch((command.envelope.encode(),), stranger).encode()
    bench.ledger.submit(Transaction(tagged("em/transaction/1", payload), payload))
    assert bench.ledger.events(0, 1).events[0].outcome.code is Code.OPERATOR_SIGNATURE


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"\xff" * 64])
def test_bytes_that_are_no_batch_are_refused_for_ever(bench: Bench, payload: bytes) -> None:
    with pytest.raises(Rejected):
        bench.ledger.submit(Transaction(tagged("em/transaction/1", payload), payload))
    transaction = bench.transaction(bench.command(anchor(1)))
    with pytest.raises(Rejected):
        bench.ledger.submit(replace(transaction, id=b"\x01" * 32))
    assert bench.ledger.health().size == 0


def test_the_ledgers_time_never_goes_back(bench: Bench) -> None:
    bench.apply(bench.command(anchor(1)))
    bench.clock.now -= 1_000
    bench.apply(bench.command(anchor(2)))
    times = [event.outcome.time for event in bench.ledger.events(0, 10).events]
    assert times == [bench.clock.now + 1_000] * 2
    assert bench.ledger.health().time == bench.clock.now + 1_000


def test_a_broken_write_leaves_nothing(bench: Bench) -> None:
    bench.apply(bench.command(anchor(1)))
    before = bench.ledger.state_entries(), bench.ledger.health(), bench.ledger.events(0, 10).events
    with pytest.raises(ZeroDivisionError), bench.store.writing() as writer:
        writer.write_events([Event(1, b"\x06" * 32, replace(before[2][0].outcome, id=b"\x07" * 32))])
        writer.write_state({b"\x05" * 32: b"value"})
        writer.write_transaction(b"\x06" * 32, b"outcomes")
        writer.write_tiles({(0, 0): b"tile"})
        raise ZeroDivisionError
    assert before == (bench.ledger.state_entries(), bench.ledger.health(), bench.ledger.events(0, 10).events)
    assert bench.ledger.outcome(b"\x06" * 32) is None
    bench.apply(bench.command(anchor(2)))


def test_creating_again_keeps_everything(postgres_store: PostgresStore) -> None:
    bench = Bench(postgres_store)
    bench.apply(bench.command(anchor(1)))
    bench.ledger.create()
    assert PostgresStore(postgres_store.url, postgres_store.schema).state_entries() == bench.ledger.state_entries()


@pytest.mark.parametrize("options", [{"SHCEMA": "x"}, {"STORE": "memory", "URL": "x"}])
def test_an_option_that_does_not_exist_is_named(options: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match=r"LEDGERS\['default'\].*(SHCEMA|URL)"):
        EmbeddedLedger.from_options("default", options)
