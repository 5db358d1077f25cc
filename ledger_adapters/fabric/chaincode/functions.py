"""The functions of the chaincode, by the first argument of a transaction.

- `submit`: a batch; applies its commands and returns `SubmitResponse`. What was new in it goes out as an event.
- `import`: a batch of another ledger's entries; takes all of them over or none, and announces them.
- `read`: concatenated state keys; returns `ReadResponse`.
- `found`: a genesis record that this organisation agreed to; writes it once and returns it. The same again changes
  nothing.
- `genesis`: returns the genesis record.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evidence.abi import EncodingError
from evidence.commands import Batch
from evidence.imports import ImportBatch
from evidence.keys import BadKey
from ledger_adapters.contract import Code, Genesis, ImportRefused, apply_batch, apply_import, prepare, prepare_import
from ledger_adapters.fabric.chaincode.messages import (
    EVENT,
    IMPORTED,
    ImportedEvent,
    OutcomesEvent,
    ReadResponse,
    SubmitResponse,
    split_keys,
)

MOST_SECONDS_OFF = 60
NOT_AGREED = "this organisation has not agreed to the genesis record"


class Refused(Exception):
    """The transaction is not endorsed; the message says why, without anything of its payload."""


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction as its proposal asks for it; `time` is the proposal's, in UTC seconds."""

    function: bytes
    arguments: tuple[bytes, ...]
    time: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What is endorsed beside the writes. An empty event is none."""

    payload: bytes
    event: bytes = b""
    event_name: str = EVENT


class State(Protocol):
    """The ledger's state as one transaction sees it: reads do not see its own writes."""

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]: ...

    async def write(self, entries: Mapping[bytes, bytes]) -> None: ...


async def invoke(call: Call, state: State, clock: Callable[[], float], genesis_file: Path | None) -> Answer:
    """Run a transaction. Raises `Refused`; `clock` gives this organisation's own UTC seconds.

    `genesis_file` holds the SHA-256 (hex) of the genesis record that this organisation agreed to.
    """
    match call.function, call.arguments:
        case b"submit", (batch,):
            return await _submit(batch, call.time, state, clock)
        case b"import", (entries,):
            return await _import(entries, state)
        case b"read", (keys,):
            return await _read(keys, state)
        case b"found", (record,):
            return await _found(record, state, genesis_file)
        case b"genesis", ():
            return Answer((await _genesis(state)).encode())
    raise Refused("unknown function, or not its number of arguments")


async def _submit(argument: bytes, time: int, state: State, clock: Callable[[], float]) -> Answer:
    # The client sets the transaction's time; the ledger's time is only as good as this check of every organisation.
    off = time - clock()
    if abs(off) > MOST_SECONDS_OFF:
        raise Refused(
            f"the transaction's time is {off:+.0f} s off the clock of this organisation, "
            f"{MOST_SECONDS_OFF} s are allowed"
        )
    try:
        prepared = prepare(Batch.decode(argument))
    except EncodingError:
        raise Refused("the argument of submit is no batch") from None
    # Sorted, so that every run of a batch asks the peer the same.
    values = await state.read(sorted(prepared.reads))
    if values[Genesis.key()] is None:
        raise Refused("the ledger has no genesis record")
    # On the event loop: in threads it was measured to make neither small transactions nor all together faster.
    result = apply_batch(prepared, values, time)
    await state.write(result.writes)
    new = [outcome for outcome in result.outcomes if outcome.code is not Code.ALREADY_APPLIED]
    event = OutcomesEvent.of(new).encode() if new else b""
    return Answer(SubmitResponse.of(result.outcomes).encode(), event)


async def _import(argument: bytes, state: State) -> Answer:
    try:
        prepared = prepare_import(ImportBatch.decode(argument))
        values = await state.read(sorted(prepared.reads))
        if values[Genesis.key()] is None:
            raise Refused("the ledger has no genesis record")
        result = apply_import(prepared, values)
    except EncodingError:
        raise Refused("the argument of import is no batch of entries") from None
    except ImportRefused as refusal:
        raise Refused(f"the entries are not taken over: {refusal}") from None
    await state.write(result.writes)
    event = ImportedEvent.of(result.outcomes).encode()
    return Answer(SubmitResponse.of(result.outcomes).encode(), event, IMPORTED)


async def _read(argument: bytes, state: State) -> Answer:
    try:
        keys = split_keys(argument)
    except EncodingError as error:
        raise Refused(f"the argument of read: {error}") from None
    values = await state.read(keys)
    return Answer(ReadResponse(tuple(values[key] or b"" for key in keys)).encode())


async def _found(argument: bytes, state: State, genesis_file: Path | None) -> Answer:
    try:
        genesis = Genesis.decode(argument)
        genesis.utility.check_point()
        genesis.community.check_point()
    except (EncodingError, BadKey):
        raise Refused("the argument of found is no genesis record with two keys") from None
    key = Genesis.key()
    there = (await state.read([key]))[key]
    if there is None:
        _check_agreed(argument, genesis_file)
        await state.write({key: argument})
    elif there != argument:
        raise Refused("the ledger has another genesis record already")
    return Answer(argument)


def _check_agreed(record: bytes, genesis_file: Path | None) -> None:
    """Whoever may write to the channel could found a ledger with keys of their own."""
    digest = hashlib.sha256(record).hexdigest()
    if genesis_file is None or not genesis_file.is_file():
        raise Refused(f"{NOT_AGREED} with SHA-256 {digest}, nor to any other")
    if genesis_file.read_text(encoding="ascii").strip() != digest:
        raise Refused(f"{NOT_AGREED} with SHA-256 {digest}, but to another")


async def _genesis(state: State) -> Genesis:
    value = (await state.read([Genesis.key()]))[Genesis.key()]
    if value is None:
        raise Refused("the ledger has no genesis record")
    return Genesis.decode(value)
