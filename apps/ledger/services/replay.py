"""Replay all entries of a ledger by the contract, and compare the state that comes out with the one that it holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from apps.ledger.catalogue import kind_name
from apps.ledger.ledgers import get_ledger
from apps.ledger.services.reconcile import Difference
from evidence.commands import Batch, parse
from evidence.imports import ImportBatch, ImportedEntry
from evidence.state import state_root
from ledger_adapters.base import Event, LedgerAdapter
from ledger_adapters.contract import (
    Code,
    Genesis,
    ImportRefused,
    Outcome,
    Result,
    apply_batch,
    prepare,
    prepare_import,
    preview,
    replay_import,
)
from ledger_adapters.contract.records import Import

AT_ONCE = 500

# How many entries were replayed, and how much of the ledger they are, from 0 to 1.
Progress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """`root`: the state root as the entries alone give it."""

    entries: int
    records: int
    root: bytes
    differences: tuple[Difference, ...]


@dataclass
class _Replay:
    """The state after `entries` entries, and which entry wrote each key last.

    `position` and `mark` are where the ledger is to be read on; `unread` are keys that the ledger itself does not hold
    as they came out, or was not asked for yet.
    """

    adapter: LedgerAdapter
    state: dict[bytes, bytes]
    written_by: dict[bytes, str]
    position: int = 0
    mark: bytes = b""
    entries: int = 0
    differences: list[Difference] = field(default_factory=list)
    unread: set[bytes] = field(default_factory=lambda: {Genesis.key()})


def verify(ledger: str, progress: Progress = lambda done, share: None) -> Replayed:
    """Raises `Transient` when the ledger cannot be reached."""
    adapter = get_ledger(ledger)
    replay = _Replay(adapter, {Genesis.key(): adapter.genesis().encode()}, {Genesis.key(): "genesis"})
    _catch_up(replay, progress)
    # The ledger goes on while it is read: what it wrote since is replayed, and what differed is looked at again.
    while _read_back(replay) and _catch_up(replay, progress):
        pass
    values = adapter.read(replay.unread)
    for key in sorted(replay.unread):
        there = values[key]
        replay.differences.append(
            Difference(
                f"record {key.hex()} ({replay.written_by[key]})",
                f"the entries give {replay.state[key].hex()}, the ledger holds {there.hex() if there else 'nothing'}",
            )
        )
    return Replayed(replay.entries, len(replay.state), state_root(replay.state), tuple(replay.differences))


def _catch_up(replay: _Replay, progress: Progress) -> int:
    """Replay what is new; returns how many entries that were."""
    before = replay.entries
    for page in replay.adapter.pages(replay.position, AT_ONCE, replay.mark):
        replay.position, replay.mark = page.next, page.mark
        for event in page.events:
            _apply(replay, event)
        size = replay.adapter.health().size
        progress(replay.entries, replay.adapter.entries_before(replay.position) / size if size else 1.0)
    return replay.entries - before


def _apply(replay: _Replay, event: Event) -> None:
    recorded = event.outcome
    name = f"entry {event.position}"
    if (command := parse(recorded.envelope)) is not None:
        name += f", {kind_name(command.fields.KIND)}"
    try:
        result = _taken_over(replay, recorded) if recorded.origin else _run(replay, recorded)
    except ImportRefused as refusal:
        replay.differences.append(Difference(name, f"was taken over, and comes out as {refusal.code.name}"))
        return
    (outcome,) = result.outcomes
    replay.state.update(result.writes)
    replay.written_by.update(dict.fromkeys(result.writes, name))
    replay.unread |= result.writes.keys()
    replay.entries += 1
    for what, here, there in _compared(outcome, recorded):
        replay.differences.append(Difference(name, f"{what} comes out as {here}, the ledger recorded {there}"))


def _run(replay: _Replay, recorded: Outcome) -> Result:
    prepared = prepare(Batch((recorded.envelope,), b""))
    values = {key: replay.state.get(key) for key in prepared.reads}
    # A batch's signature is no part of its entries: what the operator did not sign was refused for just that.
    run = apply_batch if recorded.code is Code.OPERATOR_SIGNATURE else preview
    return run(prepared, values, recorded.time, replay.adapter.wallet_domain())


def _taken_over(replay: _Replay, recorded: Outcome) -> Result:
    """Raises `ImportRefused`."""
    taken = replay.state.get(Import.key())
    entry = ImportedEntry(recorded.origin, recorded.code, recorded.time, recorded.envelope)
    start = Import.decode(taken).count if taken else 0
    prepared = prepare_import(ImportBatch(start, (entry.encode(),), b""))
    return replay_import(prepared, {key: replay.state.get(key) for key in prepared.reads})


def _compared(outcome: Outcome, recorded: Outcome) -> Iterator[tuple[str, str, str]]:
    if outcome.id != recorded.id:
        yield "the id", outcome.id.hex(), recorded.id.hex()
    if outcome.code is not recorded.code:
        yield "the outcome", outcome.code.name, recorded.code.name
    if outcome.time != recorded.time:
        yield "the time", str(outcome.time), str(recorded.time)


def _read_back(replay: _Replay) -> bool:
    """Compare what is unread with what the ledger holds; whether anything differs."""
    keys, replay.unread = sorted(replay.unread), set()
    for start in range(0, len(keys), AT_ONCE):
        chunk = keys[start : start + AT_ONCE]
        values = replay.adapter.read(chunk)
        replay.unread |= {key for key in chunk if values[key] != replay.state[key]}
    return bool(replay.unread)
