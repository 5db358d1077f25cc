"""The embedded ledger, on either store, and whether a ledger that breaks a rule would be found out."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from evidence.commands import kinds
from evidence.keys import SoftwareKey
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.conformance import AdapterConformance, Bench, Comparison, Difference, Trial, run
from ledger_adapters.conformance.moving import MovingConformance, New, Old
from ledger_adapters.contract import Code, ContractError, Result, core
from ledger_adapters.contract.kind import Context, View
from ledger_adapters.contract.records import Anchor, Offer, OfferState
from ledger_adapters.embedded import adapter
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.store import MemoryStore, Store
from tests.adapters.embedded import Clock, postgres_store, store
from tests.conformance import test_fabric, test_quorum

__all__ = ["postgres_store", "store"]

SEQUENCES = 5


def ledgers(store: Store, clock: Clock) -> Callable[[SoftwareKey | None], EmbeddedLedger]:
    """Opens the ledger of a store."""
    key = Ed25519PrivateKey.generate()
    return lambda operator: EmbeddedLedger("test", store, operator, key, clock)


def founded(ledger: EmbeddedLedger) -> EmbeddedLedger:
    ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)
    return ledger


def new_trial() -> Trial:
    clock = Clock()
    opened = ledgers(MemoryStore(), clock)

    def pass_time(seconds: int) -> None:
        clock.now += seconds

    return Trial(founded(opened(SoftwareKey.generate())), opened(None), pass_time)


class TestEmbedded(AdapterConformance):
    @pytest.fixture
    def bench(self, store: Store) -> Bench:
        opened, operator = ledgers(store, Clock()), SoftwareKey.generate()
        return Bench(founded(opened(operator)), lambda: opened(operator))


class TestMovesToEmbedded(MovingConformance):
    @pytest.fixture
    def new(self, old: Old, store: Store) -> New:
        checkpoint, operator, community = Ed25519PrivateKey.generate(), SoftwareKey.generate(), SoftwareKey.generate()

        def opened() -> EmbeddedLedger:
            return EmbeddedLedger("new", store, operator, checkpoint)

        opened().found(secrets.token_bytes(32), old.market, community.public_key)
        old.keys |= {key.public_key.id: key for key in (operator, community)}
        return New(opened(), opened)


def test_sequences_give_what_the_core_gives_and_reach_its_errors() -> None:
    trial = new_trial()
    run(trial, range(200), rounds=20)
    assert_most_are_met(trial)


def assert_most_are_met(trial: Trial) -> None:
    """Nine of ten outcomes. Those of moving are met in `MovingConformance`."""
    outcomes = {code for code in Code if code < Code.IMPORT_OPEN}
    missed = outcomes - set(trial.seen)
    assert len(missed) <= len(outcomes) // 10, sorted(code.name for code in missed)


class LedgerMachine(RuleBasedStateMachine):
    """Sequences that take turns as they like. What fails is made as short as it can be."""

    def new_trial(self) -> Trial:
        return new_trial()

    @initialize(first=st.integers(0, 2**32))
    def found(self, first: int) -> None:
        self.comparison = Comparison(self.new_trial(), range(first, first + SEQUENCES))

    @rule(chosen=st.lists(st.integers(0, SEQUENCES - 1), min_size=1, max_size=SEQUENCES, unique=True))
    def advance(self, chosen: list[int]) -> None:
        self.comparison.advance(chosen)

    @rule(seconds=st.sampled_from((1, 3, 130, 3_600)))
    def pass_time(self, seconds: int) -> None:
        self.comparison.pass_time(seconds)

    def teardown(self) -> None:
        if hasattr(self, "comparison"):
            self.comparison.compare()


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None, derandomize=True)


# Mutants

Rule = Callable[[Any, View, Context], None]
TRUE_RULES = dict(core.RULES)


def one_wh_more(fields: kinds.CommitPurchase, view: View, context: Context) -> None:
    offer = view.find(Offer, fields.offer)
    if offer is not None and offer.committed + fields.energy == offer.energy + 1:
        view.put(replace(offer, energy=offer.energy + 1), fields.offer)
    TRUE_RULES[fields.KIND].rule(fields, view, context)


def closed_whenever_asked(fields: kinds.CloseOffer, view: View, context: Context) -> None:
    try:
        TRUE_RULES[fields.KIND].rule(fields, view, context)
    except ContractError as error:
        if error.code is not Code.STILL_OPEN:
            raise


def first_of_two_errors_swapped(fields: kinds.RegisterPlant, view: View, context: Context) -> None:
    try:
        TRUE_RULES[fields.KIND].rule(fields, view, context)
    except ContractError as error:
        if error.code is Code.PARTICIPANT_UNKNOWN:
            raise ContractError(Code.ALREADY_REGISTERED) from None
        raise


def anchored_a_second_later(fields: kinds.AnchorReadings, view: View, context: Context) -> None:
    TRUE_RULES[fields.KIND].rule(fields, view, context)
    ids = (fields.area, fields.day, fields.root)
    anchor = view.find(Anchor, *ids)
    assert anchor is not None
    view.put(replace(anchor, time=anchor.time + 1), *ids)


def withdrawn_counts_as_closed(fields: kinds.WithdrawOffer, view: View, context: Context) -> None:
    TRUE_RULES[fields.KIND].rule(fields, view, context)
    offer = view.find(Offer, fields.offer)
    assert offer is not None
    view.put(replace(offer, state=OfferState.CLOSED), fields.offer)


MUTANTS: tuple[tuple[type[kinds.Fields], Rule], ...] = (
    (kinds.CommitPurchase, one_wh_more),
    (kinds.CloseOffer, closed_whenever_asked),
    (kinds.RegisterPlant, first_of_two_errors_swapped),
    (kinds.AnchorReadings, anchored_a_second_later),
    (kinds.WithdrawOffer, withdrawn_counts_as_closed),
)


@pytest.mark.parametrize(("kind", "mutant"), MUTANTS, ids=lambda item: getattr(item, "__name__", ""))
def test_a_mutated_rule_is_caught(monkeypatch: pytest.MonkeyPatch, kind: type[kinds.Fields], mutant: Rule) -> None:
    """Only the ledger's contract is changed, the core that it is compared with stays as it is."""
    mutated = {**TRUE_RULES, kind.KIND: replace(TRUE_RULES[kind.KIND], rule=mutant)}

    def apply(*arguments: Any) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(core, "RULES", mutated)
            return core.apply_batch(*arguments)

    monkeypatch.setattr(adapter, "apply_batch", apply)
    with pytest.raises(Difference):
        run(new_trial(), range(200), rounds=20)


def test_every_backend_has_a_conformance_class() -> None:
    backends = {one for one in LedgerAdapter.__subclasses__() if one.__module__.startswith("ledger_adapters.")}
    assert backends <= {EmbeddedLedger, *test_fabric.BACKENDS, *test_quorum.BACKENDS}
