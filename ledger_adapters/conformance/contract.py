"""Send the same sequences to a ledger and to the contract's core, and compare all that comes of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from evidence.commands import Batch
from evidence.state import state_root
from ledger_adapters.base import Lane, LedgerAdapter, Transaction
from ledger_adapters.conformance import sequences
from ledger_adapters.conformance.sequences import Sent
from ledger_adapters.contract import Code, Genesis, Outcome, apply_batch, prepare, preview

# No command: its outcome says at which time a batch was applied.
CLOCK = b""
KEYS_AT_ONCE = 2_000


class Difference(AssertionError):
    """The ledger does something else than the core."""


@dataclass
class Trial:
    """A ledger to be tried. `relay` reaches the same ledger without the operator's key.

    `pass_time` lets ledger time go on by some seconds, if the ledger can do that. `seen` counts the outcomes, `heard`
    is how far its events were read.
    """

    operator: LedgerAdapter
    relay: LedgerAdapter
    pass_time: Callable[[int], None] | None = None
    seen: Counter[Code] = field(default_factory=Counter)
    commands: int = 0
    heard: int = 0


def run(trial: Trial, seeds: Sequence[int], rounds: int, each: int = 1) -> str:
    """Send `rounds` times `each` commands of every sequence; returns the state root that both came to.

    Raises `Difference`.
    """
    comparison = Comparison(trial, seeds)
    for number in range(rounds):
        for _ in range(each):
            comparison.advance(range(len(seeds)))
        # Deadlines pass, and once the delay between an auction's last order and its clearing.
        comparison.pass_time(130 if number == rounds // 2 else 1)
    return comparison.compare()


class Comparison:
    """A ledger and the core side by side, with one sequence per seed. Its methods raise `Difference`."""

    def __init__(self, trial: Trial, seeds: Sequence[int]) -> None:
        self.trial = trial
        self.genesis = trial.operator.genesis()
        self.domain = trial.operator.wallet_domain()
        self.sequences = [sequences.Sequence(seed, self.genesis, self.domain) for seed in seeds]
        self.state: dict[bytes, bytes | None] = {Genesis.key(): self.genesis.encode()}
        self.expected: list[Outcome] = []
        for page in trial.operator.pages(trial.heard):
            trial.heard = page.next
        self.now = trial.operator.health().time
        self.last: dict[int, bytes] = {}

    def advance(self, chosen: Iterable[int]) -> None:
        """Send the next command of each of the chosen sequences, by their positions."""
        self._send_all([self.sequences[position].next(self.state, self.now) for position in chosen])

    def pass_time(self, seconds: int) -> None:
        if self.trial.pass_time is not None:
            self.trial.pass_time(seconds)

    def compare(self) -> str:
        """Compare all events and the whole state; returns the state root."""
        self._compare_events()
        return self._compare_state()

    def _send_all(self, chosen: Sequence[Sent]) -> None:
        for by_operator in (True, False):
            adapter = self.trial.operator if by_operator else self.trial.relay
            for envelopes in _packed([sent.envelope for sent in chosen if sent.by_operator == by_operator], adapter):
                self._send(adapter, envelopes, by_operator)

    def _send(self, adapter: LedgerAdapter, envelopes: tuple[bytes, ...], by_operator: bool) -> None:
        lane = int(by_operator)
        transaction = adapter.prepare(envelopes, Lane(lane, self.last.get(lane)))
        self.last[lane] = transaction.payload
        adapter.submit(transaction)
        outcomes = _outcomes(adapter, transaction)
        self.now = outcomes[0].time
        prepared = prepare(Batch(envelopes, b""))
        for key in prepared.reads - self.state.keys():
            self.state[key] = None
        apply = preview if by_operator else apply_batch
        result = apply(prepared, self.state, self.now, self.domain)
        for position, (found, due) in enumerate(zip(outcomes, result.outcomes, strict=True)):
            if (found.id, found.code, found.time) != (due.id, due.code, due.time):
                raise Difference(f"command {position} of {transaction.id.hex()}: {found} where {due} is due")
        self.state |= result.writes
        self.expected += [outcome for outcome in result.outcomes if outcome.code is not Code.ALREADY_APPLIED]
        self.trial.seen.update(outcome.code for outcome in result.outcomes)
        self.trial.commands += len(envelopes) - 1

    def _compare_events(self) -> None:
        pages = self.trial.operator.pages(self.trial.heard)
        told = [event.outcome for page in pages for event in page.events]
        if len(told) != len(self.expected):
            raise Difference(f"{len(told)} events where {len(self.expected)} are due")
        for position, (found, due) in enumerate(zip(told, self.expected, strict=True)):
            if found != due:
                raise Difference(f"event {position}: {found} where {due} is due")

    def _compare_state(self) -> str:
        keys = sorted(self.state)
        found: dict[bytes, bytes | None] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            found |= self.trial.operator.read(keys[start : start + KEYS_AT_ONCE])
        for key in keys:
            if found[key] != self.state[key]:
                raise Difference(f"state {key.hex()}: {_hex(found[key])} where {_hex(self.state[key])} is due")
        return state_root({key: value for key, value in found.items() if value is not None}).hex()


def _packed(envelopes: Sequence[bytes], adapter: LedgerAdapter) -> Iterator[tuple[bytes, ...]]:
    """Batches within the ledger's limits, each with a clock in front."""
    batch, size = [CLOCK], 0
    for envelope in envelopes:
        size += len(envelope)
        if len(batch) == adapter.limits.commands or size > adapter.limits.bytes:
            yield tuple(batch)
            batch, size = [CLOCK], len(envelope)
        batch.append(envelope)
    if len(batch) > 1:
        yield tuple(batch)


def _outcomes(adapter: LedgerAdapter, transaction: Transaction) -> tuple[Outcome, ...]:
    found = adapter.outcome(transaction.id)
    if found is None:
        raise Difference(f"the ledger took {transaction.id.hex()} and knows nothing of it")
    return found


def _hex(value: bytes | None) -> str:
    return "nothing" if value is None else value.hex()
