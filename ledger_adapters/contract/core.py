"""Checks that are the same for every kind, in the order that every ledger keeps, and the overlay of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence import eip712
from evidence.abi import EncodingError
from evidence.commands import Batch, Command, batch_digest, parse, sign_digest, wallet_digest
from evidence.hashing import ZERO
from ledger_adapters.contract import auctions, metering, moving, offers, registry, settlement
from ledger_adapters.contract.errors import Code, ContractError
from ledger_adapters.contract.kind import Context, Kind, Signatory, View, require
from ledger_adapters.contract.records import AppliedId, Domain, Genesis

RULES: dict[int, Kind[Any]] = {
    kind.fields.KIND: kind
    for kind in (*registry.KINDS, *metering.KINDS, *offers.KINDS, *auctions.KINDS, *settlement.KINDS, *moving.KINDS)
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one command. `time` is the ledger time at which it took place; for a known id, the first time.

    `origin` is the id of the ledger that an imported entry comes from, empty for what took place here.
    """

    id: bytes
    code: Code
    time: int
    envelope: bytes = field(repr=False)
    origin: bytes = b""


@dataclass(frozen=True, slots=True)
class Result:
    """What a batch does: state writes, and an outcome per command in their order."""

    writes: dict[bytes, bytes]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch read once: its commands (None where the bytes are no command) and every state key they can look at."""

    batch: Batch
    commands: tuple[Command | None, ...]
    reads: frozenset[bytes]


def domain_of(command: Command) -> bytes:
    """The key of the command's conflict domain, which names its stream in the outbox."""
    return RULES[command.fields.KIND].domain(command.fields)


def prepare(batch: Batch) -> Prepared:
    commands = tuple(parse(envelope) for envelope in batch.envelopes)
    reads = {Genesis.key(), *moving.GATE}
    for command in commands:
        if command is not None:
            reads |= reads_of(command)
    return Prepared(batch, commands, frozenset(reads))


def reads_of(command: Command) -> set[bytes]:
    """Every state key that one command can look at."""
    kind = RULES[command.fields.KIND]
    reads = {AppliedId.key(command.id), kind.domain(command.fields), *kind.reads(command.fields)}
    return reads | {AppliedId.key(command.after)} if command.after != ZERO else reads


def apply_batch(
    prepared: Prepared, values: Mapping[bytes, bytes | None], now: int, domain: eip712.Domain | None = None
) -> Result:
    """Apply commands in order on an overlay over `values`: every key of `prepared.reads`, None where absent.

    A rejected command leaves no trace in the writes. Bytes that are no command are rejected under the id zero.
    `domain` is what wallets sign in, where that is more than the ledger's id.
    """
    genesis = genesis_of(values)
    digest = batch_digest(genesis.ledger, prepared.commands)
    by_utility = genesis.utility.verifies(digest, prepared.batch.signature)
    return _apply_all(prepared, values, genesis, domain or eip712.Domain(genesis.ledger), by_utility, now)


def preview(
    prepared: Prepared, values: Mapping[bytes, bytes | None], now: int, domain: eip712.Domain | None = None
) -> Result:
    """What `apply_batch` would do if the operator signed the batch."""
    genesis = genesis_of(values)
    return _apply_all(prepared, values, genesis, domain or eip712.Domain(genesis.ledger), True, now)


def genesis_of(values: Mapping[bytes, bytes | None]) -> Genesis:
    raw = values[Genesis.key()]
    if raw is None:
        raise ValueError("the ledger has no genesis record")
    return Genesis.decode(raw)


def _apply_all(
    prepared: Prepared,
    values: Mapping[bytes, bytes | None],
    genesis: Genesis,
    domain: eip712.Domain,
    by_utility: bool,
    now: int,
) -> Result:
    overlay = dict(values)
    writes: dict[bytes, bytes] = {}
    outcomes = []
    for command, envelope in zip(prepared.commands, prepared.batch.envelopes, strict=True):
        if command is None:
            outcomes.append(Outcome(ZERO, Code.BAD_ENCODING, now, envelope))
            continue
        view = View(overlay)
        code, time = apply_one(command, view, genesis.market, domain, by_utility, now)
        outcomes.append(Outcome(command.id, code, time, envelope))
        if code is Code.APPLIED:
            overlay.update(view.writes)
            writes.update(view.writes)
    return Result(writes, tuple(outcomes))


def apply_one(
    command: Command,
    view: View,
    market: bytes,
    domain: eip712.Domain,
    by_utility: bool,
    now: int,
    is_imported: bool = False,
) -> tuple[Code, int]:
    """The outcome of one command and its time. `domain` is that of the ledger for which it was signed."""
    if command.market != market:
        return Code.WRONG_MARKET, now
    known = view.find(AppliedId, command.id)
    if known is not None:
        return Code.ALREADY_APPLIED, known.time
    kind = RULES[command.fields.KIND]
    conflicts = kind.domain(command.fields)
    last = view.at(Domain, conflicts)
    time = max(now, last.time) if last else now
    try:
        if not is_imported:
            moving.check_gate(command.fields, view)
        _check(command, kind, view, domain, by_utility, time)
    except ContractError as error:
        return error.code, time
    except EncodingError:
        return Code.OVERFLOW, time
    view.writes[conflicts] = Domain(time).encode()
    view.put(AppliedId(command.fields.KIND, time), command.id)
    return Code.APPLIED, time


def _check(command: Command, kind: Kind[Any], view: View, domain: eip712.Domain, by_utility: bool, time: int) -> None:
    require(not command.valid_until or time <= command.valid_until, Code.EXPIRED)
    require(command.after == ZERO or view.find(AppliedId, command.after) is not None, Code.PREDECESSOR_MISSING)
    require(by_utility or not kind.by_utility, Code.OPERATOR_SIGNATURE)
    context = Context(command.id, time, tuple(key for key, _ in command.signatures))
    _check_signatures(command, domain, kind.signers(command.fields, view, context))
    kind.rule(command.fields, view, context)


def _check_signatures(command: Command, domain: eip712.Domain, expected: tuple[Signatory, ...]) -> None:
    require(len(command.signatures) == len(expected), Code.SIGNATURE_COUNT)
    for (key_id, signature), signatory in zip(command.signatures, expected, strict=True):
        require(key_id == signatory.key.id, Code.WRONG_SIGNER)
        digest = wallet_digest(domain, command) if signatory.is_wallet else sign_digest(domain.ledger, command)
        require(signatory.key.verifies(digest, signature), Code.BAD_SIGNATURE)
