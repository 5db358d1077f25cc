"""Whoever has the commit lock commits for all that wait."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from ledger_adapters.contract import Code
from ledger_adapters.embedded.postgres import PostgresStore
from ledger_adapters.embedded.store import Store, Writer
from ledger_adapters.exceptions import Transient
from tests.adapters.embedded import Bench, anchor


class Gate:
    """A store whose first write waits until the gate opens, and which counts the writes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.writes = 0
        self.failures: list[Exception] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        self.writes += 1
        self.entered.set()
        assert self.opened.wait(20)
        if self.failures:
            raise self.failures.pop(0)
        with self._store.writing() as writer:
            yield writer


def submit_all(bench: Bench, gate: Gate, transactions: Sequence[Any]) -> list[Exception | None]:
    """The first transaction's commit waits until all others are queued behind it."""
    results: list[Exception | None] = [None] * len(transactions)

    def submit(index: int) -> None:
        try:
            bench.ledger.submit(transactions[index])
        except Exception as error:
            results[index] = error

    gate.writes = 0
    gate.opened.clear()
    gate.entered.clear()
    threads = [threading.Thread(target=submit, args=[index]) for index in range(len(transactions))]
    threads[0].start()
    assert gate.entered.wait(20)
    for thread in threads[1:]:
        thread.start()
    while len(bench.ledger._queue) < len(transactions) - 1:
        threading.Event().wait(0.005)
    gate.opened.set()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def gated(store: Store) -> tuple[Bench, Gate]:
    gate = Gate(store)
    gate.opened.set()
    return Bench(gate), gate


def test_transactions_that_wait_are_committed_together(gated: tuple[Bench, Gate]) -> None:
    bench, gate = gated
    transactions = [bench.transaction(bench.command(anchor(n))) for n in range(12)]
    assert submit_all(bench, gate, transactions) == [None] * 12
    assert gate.writes == 2
    events = bench.ledger.events(0, 100).events
    assert [event.position for event in events] == list(range(12))
    assert {event.outcome.code for event in events} == {Code.APPLIED}
    assert {event.transaction for event in events} == {transaction.id for transaction in transactions}


def test_commands_of_one_group_see_each_other(gated: tuple[Bench, Gate]) -> None:
    bench, gate = gated
    transactions = [bench.transaction(bench.command(anchor(1))) for _ in range(5)]
    assert submit_all(bench, gate, transactions) == [None] * 5
    codes = [event.outcome.code for event in bench.ledger.events(0, 100).events]
    assert sorted(codes) == [Code.APPLIED] + [Code.ALREADY_ANCHORED] * 4


def test_the_same_transaction_twice_in_one_group_counts_once(gated: tuple[Bench, Gate]) -> None:
    bench, gate = gated
    first, second = (bench.transaction(bench.command(anchor(n))) for n in range(2))
    assert submit_all(bench, gate, [first, second, second, second]) == [None] * 4
    assert bench.ledger.health().size == 2


@pytest.mark.parametrize("failure", [Transient("away"), ValueError("a defect of ours")])
def test_when_a_commit_fails_nobody_of_its_group_is_told_otherwise(
    gated: tuple[Bench, Gate], failure: Exception
) -> None:
    bench, gate = gated
    transactions = [bench.transaction(bench.command(anchor(n))) for n in range(4)]
    gate.failures = [failure]
    assert submit_all(bench, gate, transactions) == [failure, None, None, None]
    gate.failures = [Transient("the first")]
    more = [bench.transaction(bench.command(anchor(n))) for n in range(10, 14)]

    original = bench.ledger._append

    def broken(writer: Writer, group: Any) -> None:
        original(writer, group)
        raise failure

    bench.ledger._append = broken  # type: ignore[method-assign]
    results = submit_all(bench, gate, more)
    assert results[1:] == [failure] * 3
    assert [bench.ledger.outcome(transaction.id) for transaction in more] == [None] * 4
    bench.ledger._append = original  # type: ignore[method-assign]
    for transaction in more:
        bench.ledger.submit(transaction)
    assert bench.ledger.health().size == 3 + 4


def test_adapters_of_several_processes_keep_one_journal(postgres_store: PostgresStore) -> None:
    bench = Bench(postgres_store)
    ledgers = [bench.ledger, bench.open(), bench.open()]
    transactions = [bench.transaction(bench.command(anchor(n))) for n in range(30)]

    def work(number: int) -> None:
        for transaction in transactions[number::3]:
            ledgers[number].submit(transaction)

    threads = [threading.Thread(target=work, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = bench.ledger.events(0, 100).events
    assert [event.position for event in events] == list(range(30))
    assert {event.transaction for event in events} == {transaction.id for transaction in transactions}
