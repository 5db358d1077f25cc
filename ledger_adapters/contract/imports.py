"""Entries of another ledger, taken over one by one while an import is open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from evidence.abi import EncodingError
from evidence.accumulators import chain
from evidence.commands import Command, parse
from evidence.eip712 import OldDomain
from evidence.hashing import ZERO
from evidence.imports import ImportBatch, ImportedEntry, import_digest
from ledger_adapters.contract import moving
from ledger_adapters.contract.core import Outcome, Result, apply_one, genesis_of, reads_of
from ledger_adapters.contract.errors import Code, ContractError
from ledger_adapters.contract.kind import View, require
from ledger_adapters.contract.records import Genesis, Import, OldLedger

# What is about the old ledger itself is history here, and no command of this one.
_OF_THE_LEDGER = frozenset(kind.fields.KIND for kind in moving.KINDS)


class ImportRefused(Exception):
    """A batch of entries is not taken, none of it. `position` of the entry in its batch, None for the batch itself."""

    def __init__(self, code: Code, position: int | None = None) -> None:
        super().__init__(code.name if position is None else f"entry {position} of the batch: {code.name}")
        self.code = code
        self.position = position


@dataclass(frozen=True, slots=True)
class PreparedImport:
    """A batch of entries read once, their commands (None where the bytes are no command) and all keys they look at."""

    batch: ImportBatch
    entries: tuple[ImportedEntry, ...]
    commands: tuple[Command | None, ...]
    reads: frozenset[bytes]


def prepare_import(batch: ImportBatch) -> PreparedImport:
    """Raises `ImportRefused` for bytes that are no entries."""
    entries = []
    for position, content in enumerate(batch.entries):
        try:
            entries.append(ImportedEntry.decode(content))
        except EncodingError:
            raise ImportRefused(Code.BAD_ENCODING, position) from None
    commands = tuple(parse(entry.envelope) for entry in entries)
    reads = {Genesis.key(), *moving.GATE, *(OldLedger.key(entry.ledger) for entry in entries)}
    for command in commands:
        if command is not None:
            reads |= reads_of(command)
    return PreparedImport(batch, tuple(entries), commands, frozenset(reads))


def apply_import(prepared: PreparedImport, values: Mapping[bytes, bytes | None]) -> Result:
    """Take entries over: the applied ones have to give the outcome and time that were recorded for them.

    `values`: every key of `prepared.reads`, None where absent. Raises `ImportRefused`; then nothing is taken.
    """
    genesis, batch = genesis_of(values), prepared.batch
    if not genesis.utility.verifies(import_digest(genesis.ledger, batch.start, batch.entries), batch.signature):
        raise ImportRefused(Code.OPERATOR_SIGNATURE)
    return replay_import(prepared, values)


def replay_import(prepared: PreparedImport, values: Mapping[bytes, bytes | None]) -> Result:
    """What `apply_import` does once the operator's signature was found right."""
    market, view = genesis_of(values).market, View(values)
    try:
        found = view.get(Import, (), Code.IMPORT_NOT_OPEN)
        require(found.is_open, Code.IMPORT_OVER)
        require(prepared.batch.start == found.count, Code.OTHER_ENTRIES)
    except ContractError as error:
        raise ImportRefused(error.code) from None
    head, outcomes = found.head, []
    for position, (entry, command) in enumerate(zip(prepared.entries, prepared.commands, strict=True)):
        try:
            outcomes.append(_take(entry, command, view, market))
        except ContractError as error:
            raise ImportRefused(error.code, position) from None
        head = chain(head, entry.digest)
    view.put(replace(found, count=found.count + len(outcomes), head=head))
    return Result(view.writes, tuple(outcomes))


def _take(entry: ImportedEntry, command: Command | None, view: View, market: bytes) -> Outcome:
    old = view.get(OldLedger, (entry.ledger,), Code.BAD_OLD_LEDGERS)
    require(entry.code in list(Code), Code.BAD_ENCODING)
    if entry.code == Code.APPLIED:
        if command is None:
            raise ContractError(Code.BAD_ENCODING)
        if command.fields.KIND not in _OF_THE_LEDGER:
            domain = OldDomain(entry.ledger, kept=old.separator)
            found = apply_one(command, view, market, domain, True, entry.time, is_imported=True)
            require(found == (Code.APPLIED, entry.time), Code.OTHER_OUTCOME)
    return Outcome(command.id if command else ZERO, Code(entry.code), entry.time, entry.envelope, entry.ledger)
