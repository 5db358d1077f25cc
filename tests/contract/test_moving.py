"""A ledger is closed, another takes its entries over and is sealed: by both parties, entry by entry, for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from evidence import eip712
from evidence.accumulators import chain_of
from evidence.commands import Command, Fields
from evidence.commands.kinds import CloseLedger, OpenImport, SealImport
from evidence.hashing import ZERO
from evidence.imports import ImportBatch, ImportedEntry, signed_import
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code, Genesis, ImportRefused, Outcome, apply_import, prepare_import
from ledger_adapters.contract.records import Closing, Import
from tests.vectors.contract_cases import SUCCEEDING, of
from tests.vectors.market import COMMUNITY, LEDGER, MARKET, NOW, UTILITY, WORLD, Market, ident, p256, records

NEW = ident("new ledger")
NEW_UTILITY, NEW_COMMUNITY = p256("new utility"), p256("new community")
FRESH = records((Genesis.of(NEW, MARKET, NEW_UTILITY.public_key, NEW_COMMUNITY.public_key),))
OPEN = OpenImport((LEDGER,), (eip712.Domain(LEDGER).separator(),))


def agreed(
    fields: Fields, ledger: bytes = NEW, signers: Sequence[SoftwareKey] = (NEW_UTILITY, NEW_COMMUNITY)
) -> Command:
    return Command(MARKET, ident("agreed"), fields).signed_by(ledger, *signers)


def history() -> list[ImportedEntry]:
    """One command of each kind and one that is rejected, on the ledger of the vectors; it starts from nothing."""
    old = Market(dict(WORLD))
    told: list[Outcome] = []
    for fields, _ in SUCCEEDING[:-3]:
        told += old.send(of(fields)).outcomes
    told += old.send(b"no command").outcomes
    return [ImportedEntry(LEDGER, outcome.code, outcome.time, outcome.envelope) for outcome in told]


@dataclass
class Target:
    """A ledger that takes over what the vectors' ledger did after its first state, which it has already."""

    state: dict[bytes, bytes] = field(default_factory=lambda: {**WORLD, **FRESH})

    def send(self, *commands: Command) -> Code:
        market = Market(self.state)
        code = market.send(*commands, operator=None).outcomes[-1].code
        self.state = market.state
        return code

    def take(self, batch: ImportBatch) -> tuple[Outcome, ...]:
        prepared = prepare_import(batch)
        result = apply_import(prepared, {key: self.state.get(key) for key in prepared.reads})
        self.state.update(result.writes)
        return result.outcomes

    def entries(self, start: int, *entries: ImportedEntry, operator: SoftwareKey = NEW_UTILITY) -> tuple[Outcome, ...]:
        return self.take(signed_import(NEW, start, [entry.encode() for entry in entries], operator))


@pytest.fixture
def target() -> Target:
    found = Target()
    assert found.send(agreed(OPEN)) is Code.APPLIED
    return found


def test_entries_give_their_outcomes_and_the_state_of_the_old_ledger(target: Target) -> None:
    entries = history()
    first = target.entries(0, *entries[:5])
    second = target.entries(5, *entries[5:])
    for outcome, entry in zip(first + second, entries, strict=True):
        assert (outcome.code, outcome.time, outcome.envelope) == (entry.code, entry.time, entry.envelope)
        assert outcome.origin == LEDGER
    old = Market(dict(WORLD))
    for fields, _ in SUCCEEDING[:-3]:
        old.send(of(fields))
    assert old.state.items() - {(Genesis.key(), WORLD[Genesis.key()])} <= target.state.items()
    head = chain_of(entry.digest for entry in entries)
    assert Import.decode(target.state[Import.key()]) == Import(LEDGER, len(entries), head, 0, ZERO)


def test_an_import_is_sealed_by_both_parties_with_its_count_head_and_root(target: Target) -> None:
    entries = history()[:3]
    target.entries(0, *entries)
    seal = SealImport(3, chain_of(entry.digest for entry in entries), ident("root"))
    assert target.send(agreed(replace(seal, count=2))) is Code.OTHER_ENTRIES
    assert target.send(agreed(replace(seal, head=ident("head")))) is Code.OTHER_ENTRIES
    assert target.send(agreed(seal, signers=(NEW_UTILITY, NEW_UTILITY))) is Code.WRONG_SIGNER
    assert target.send(agreed(seal, signers=(NEW_UTILITY,))) is Code.SIGNATURE_COUNT
    assert target.send(agreed(seal)) is Code.APPLIED
    assert Import.decode(target.state[Import.key()]) == Import(LEDGER, 3, seal.head, NOW, ident("root"))
    # For ever.
    assert target.send(agreed(replace(seal, root=ident("another")))) is Code.IMPORT_OVER
    assert target.send(agreed(OPEN)) is Code.ALREADY_APPLIED
    assert target.send(agreed(replace(OPEN, separators=(ZERO,)))) is Code.IMPORT_OVER
    with pytest.raises(ImportRefused, match="IMPORT_OVER"):
        target.entries(3, history()[3])


def test_nothing_else_is_taken_until_the_seal(target: Target) -> None:
    assert Market(target.state).code(of(SUCCEEDING[0][0])) is Code.IMPORT_OPEN
    assert target.send(agreed(CloseLedger(ident("next")))) is Code.IMPORT_OPEN


def test_a_ledger_without_an_import_takes_no_entries_and_no_seal() -> None:
    target = Target()
    assert target.send(agreed(SealImport(0, ZERO, ZERO))) is Code.IMPORT_NOT_OPEN
    with pytest.raises(ImportRefused, match="IMPORT_NOT_OPEN"):
        target.entries(0, history()[0])


@pytest.mark.parametrize(
    "fields",
    [
        OpenImport((), ()),
        OpenImport((LEDGER,), ()),
        OpenImport((LEDGER, LEDGER), (ZERO, ZERO)),
        OpenImport((ZERO,), (ZERO,)),
    ],
)
def test_old_ledgers_are_named_each_once_with_its_domain(fields: OpenImport) -> None:
    assert Target().send(agreed(fields)) is Code.BAD_OLD_LEDGERS


def test_a_closed_ledger_takes_nothing_more() -> None:
    closing = agreed(CloseLedger(NEW), LEDGER, (UTILITY, COMMUNITY))
    market = Market(dict(WORLD))
    assert market.code(agreed(CloseLedger(NEW), LEDGER, (UTILITY,))) is Code.SIGNATURE_COUNT
    first = of(SUCCEEDING[0][0])
    market.send(first)
    assert market.code(closing) is Code.APPLIED
    assert Closing.decode(market.state[Closing.key()]) == Closing(NEW, NOW)
    assert market.code(of(SUCCEEDING[1][0])) is Code.LEDGER_CLOSED
    assert market.code(replace(closing, nonce=ident("again"))) is Code.LEDGER_CLOSED
    assert market.code(first) is Code.ALREADY_APPLIED


def test_what_is_about_the_old_ledger_itself_is_history_only(target: Target) -> None:
    closing = agreed(CloseLedger(NEW), LEDGER, (UTILITY, COMMUNITY))
    (outcome,) = target.entries(0, ImportedEntry(LEDGER, 0, NOW, closing.envelope.encode()))
    assert outcome.code is Code.APPLIED
    assert Closing.key() not in target.state


class TestWhatIsRefused:
    """None of the batch is taken, and the one that is wrong is named."""

    @staticmethod
    def refused(target: Target, *entries: ImportedEntry, start: int = 0, operator: SoftwareKey = NEW_UTILITY) -> str:
        before = dict(target.state)
        with pytest.raises(ImportRefused) as error:
            target.entries(start, *entries, operator=operator)
        assert target.state == before
        return str(error.value)

    def test_without_the_operators_signature(self, target: Target) -> None:
        assert self.refused(target, history()[0], operator=NEW_COMMUNITY) == "OPERATOR_SIGNATURE"

    def test_at_another_place(self, target: Target) -> None:
        assert self.refused(target, history()[0], start=1) == "OTHER_ENTRIES"
        target.entries(0, history()[0])
        assert self.refused(target, history()[0], start=0) == "OTHER_ENTRIES"

    def test_an_outcome_that_does_not_come_out(self, target: Target) -> None:
        fields, _ = next(one for one in SUCCEEDING if one[1])
        unsigned = ImportedEntry(LEDGER, 0, NOW, replace(of(fields), signatures=()).envelope.encode())
        assert self.refused(target, history()[0], unsigned) == "entry 1 of the batch: OTHER_OUTCOME"

    def test_a_time_before_that_of_its_domain(self, target: Target) -> None:
        one = history()[0]
        late = replace(one, time=NOW + 10)
        target.entries(0, late)
        again = replace(Command.from_bytes(one.envelope), nonce=ident("another"))
        assert self.refused(target, replace(one, envelope=again.envelope.encode()), start=1).endswith("OTHER_OUTCOME")

    def test_signatures_for_another_ledger(self) -> None:
        """Checked in the old ledger's domain, not in this one's."""
        target = Target()
        target.send(agreed(OpenImport((ident("stranger"),), (ZERO,))))
        applied = [entry for entry in history() if entry.code == Code.APPLIED]
        entry = next(each for each in applied if Command.from_bytes(each.envelope).signatures)
        assert self.refused(target, replace(entry, ledger=ident("stranger"))).endswith("OTHER_OUTCOME")

    def test_an_old_ledger_that_was_not_named(self, target: Target) -> None:
        entry = replace(history()[0], ledger=ident("stranger"))
        assert self.refused(target, entry) == "entry 0 of the batch: BAD_OLD_LEDGERS"

    def test_an_unknown_outcome_and_applied_bytes_that_are_no_command(self, target: Target) -> None:
        entry = history()[0]
        assert self.refused(target, replace(entry, code=99)).endswith("BAD_ENCODING")
        assert self.refused(target, replace(entry, envelope=b"none")).endswith("BAD_ENCODING")

    def test_bytes_that_are_no_entry(self, target: Target) -> None:
        with pytest.raises(ImportRefused, match="entry 0 of the batch: BAD_ENCODING"):
            target.take(signed_import(NEW, 0, [history()[0].encode()[:-1]], NEW_UTILITY))
