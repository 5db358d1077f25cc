"""The evidence bundle of an invoice: everything that its figures were made from, with the proofs, as canonical JSON.

Sections: `document` and its `salt`; `ledger` with the commands and their proof, which says its kind; `days` with the
settlement's allotments and rows; `batches` with signed readings. Nothing in it is taken on trust: every byte is bound
by a hash, a signature or a recomputation, and surplus members are refused.
"""

from dataclasses import dataclass
from typing import Any

from evidence import canonical
from evidence.canonical import decode_bytes, decode_int, encode_bytes, encode_int
from evidence.ethereum.proof import LogPlace, ProvenBlock
from evidence.fabric.block import BlockSignature, OrderedBlock, OutcomePlace
from evidence.merkle import Path
from evidence.readings import LeafId, LeafValue, Statement
from evidence.settlement import Allotment
from evidence.sumtree import Node, Row, Sums

TYPE = "energymarket/bundle/1"
READINGS = "energymarket/readings/1"


class BundleError(ValueError):
    """The bundle does not have the form of a bundle; the message names the place."""


@dataclass(frozen=True, slots=True)
class LoggedCommand:
    """An applied command, as an embedded ledger's log holds it; `origin` is the ledger it comes from, if another."""

    index: int
    time: int
    envelope: bytes
    origin: bytes = b""


@dataclass(frozen=True, slots=True)
class EmbeddedLog:
    """Commands, in ascending order, that lead through `path` to the root of `checkpoint`."""

    kind = "embedded"
    checkpoint: str
    path: Path
    commands: tuple[LoggedCommand, ...]


@dataclass(frozen=True, slots=True)
class QuorumLog:
    """Blocks in the chain's order. The commands are in their logs."""

    kind = "quorum"
    blocks: tuple[ProvenBlock, ...]


@dataclass(frozen=True, slots=True)
class FabricLog:
    """Blocks in the channel's order. The commands are in the events of their transactions."""

    kind = "fabric"
    blocks: tuple[OrderedBlock, ...]


Log = EmbeddedLog | QuorumLog | FabricLog


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row with its place in the allotment's sum tree."""

    index: int
    salt: bytes
    row: Row
    siblings: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ShownAllotment:
    index: int
    allotment: Allotment
    rows: tuple[ShownRow, ...]


@dataclass(frozen=True, slots=True)
class SettledDay:
    """Allotments of one settlement, in the order of its tree, with their common path to its root."""

    path: Path
    allotments: tuple[ShownAllotment, ...]


@dataclass(frozen=True, slots=True)
class ShownReading:
    index: int
    salt: bytes
    id: LeafId
    value: LeafValue


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """Readings of one statement with their common path to its root, and the statement's place in its anchor."""

    statement: Statement
    signature: bytes
    anchor_index: int
    anchor_path: Path
    path: Path
    readings: tuple[ShownReading, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    document: dict[str, Any]
    salt: bytes
    log: Log
    days: tuple[SettledDay, ...]
    batches: tuple[SignedBatch, ...]


@dataclass(frozen=True, slots=True)
class ReadingsBundle:
    """Readings of one metering point of an area, with what the ledger has to show for them, and nothing else."""

    area: bytes
    point: bytes
    log: Log
    batches: tuple[SignedBatch, ...]


# Writing


def dump(bundle: Bundle) -> bytes:
    return canonical.dumps(
        {
            "type": TYPE,
            "document": bundle.document,
            "salt": encode_bytes(bundle.salt),
            "ledger": _dump_log(bundle.log),
            "days": [_dump_day(day) for day in bundle.days],
            "batches": [_dump_batch(batch) for batch in bundle.batches],
        }
    )


def dump_readings(bundle: ReadingsBundle) -> bytes:
    return canonical.dumps(
        {
            "type": READINGS,
            "area": encode_bytes(bundle.area),
            "point": encode_bytes(bundle.point),
            "ledger": _dump_log(bundle.log),
            "batches": [_dump_batch(batch) for batch in bundle.batches],
        }
    )


def _dump_log(log: Log) -> dict[str, Any]:
    if isinstance(log, QuorumLog):
        return {"kind": log.kind, "blocks": [_dump_block(block) for block in log.blocks]}
    if isinstance(log, FabricLog):
        return {"kind": log.kind, "blocks": [_dump_ordered(block) for block in log.blocks]}
    return {
        "kind": log.kind,
        "checkpoint": log.checkpoint,
        "path": _dump_path(log.path),
        "commands": [_dump_command(command) for command in log.commands],
    }


def _dump_command(command: LoggedCommand) -> dict[str, Any]:
    members = {
        "index": encode_int(command.index),
        "time": encode_int(command.time),
        "envelope": encode_bytes(command.envelope),
    }
    return {**members, "origin": encode_bytes(command.origin)} if command.origin else members


def _dump_block(block: ProvenBlock) -> dict[str, Any]:
    return {
        "header": encode_bytes(block.header),
        "nodes": [encode_bytes(node) for node in block.nodes],
        "logs": [{"transaction": encode_int(log.transaction), "index": encode_int(log.index)} for log in block.logs],
    }


def _dump_ordered(block: OrderedBlock) -> dict[str, Any]:
    return {
        "number": encode_int(block.number),
        "previous": encode_bytes(block.previous),
        "data": encode_bytes(block.data),
        "metadata": encode_bytes(block.metadata),
        "signatures": [
            {"signer": encode_bytes(each.signer), "signature": encode_bytes(each.signature)}
            for each in block.signatures
        ],
        "outcomes": [
            {"transaction": encode_int(place.transaction), "index": encode_int(place.index)} for place in block.outcomes
        ],
    }


def _dump_path(path: Path) -> dict[str, Any]:
    return {"size": encode_int(path.size), "hashes": [encode_bytes(found) for found in path.hashes]}


def _dump_day(day: SettledDay) -> dict[str, Any]:
    return {
        "path": _dump_path(day.path),
        "allotments": [
            {
                "index": encode_int(shown.index),
                "allotment": encode_bytes(shown.allotment.encode()),
                "rows": [
                    {
                        "index": encode_int(row.index),
                        "salt": encode_bytes(row.salt),
                        "row": encode_bytes(row.row.encode()),
                        "path": [encode_bytes(node.hash + node.sums.encode()) for node in row.siblings],
                    }
                    for row in shown.rows
                ],
            }
            for shown in day.allotments
        ],
    }


def _dump_batch(batch: SignedBatch) -> dict[str, Any]:
    return {
        "statement": encode_bytes(batch.statement.encode()),
        "signature": encode_bytes(batch.signature),
        "anchor": {"index": encode_int(batch.anchor_index), "path": _dump_path(batch.anchor_path)},
        "path": _dump_path(batch.path),
        "readings": [
            {
                "index": encode_int(reading.index),
                "salt": encode_bytes(reading.salt),
                "id": encode_bytes(reading.id.encode()),
                "value": encode_bytes(reading.value.encode()),
            }
            for reading in batch.readings
        ],
    }


# Reading


def load(text: bytes) -> Bundle:
    """Read a bundle. Raises `BundleError` naming the place, for unknown and missing members too."""
    try:
        value = canonical.loads(text)
    except ValueError as error:
        raise BundleError(f"bundle: {error}") from None
    top = _object("bundle", value, "type", "document", "salt", "ledger", "days", "batches")
    if top["type"] != TYPE:
        raise BundleError(f"bundle: the type {top['type']!r} is not {TYPE!r}")
    if not isinstance(top["document"], dict):
        raise BundleError("document: an object is expected")
    return Bundle(
        top["document"],
        _bytes("salt", top["salt"]),
        _log(top["ledger"]),
        tuple(_day(f"days[{i}]", day) for i, day in enumerate(_list("days", top["days"]))),
        tuple(_batch(f"batches[{i}]", batch) for i, batch in enumerate(_list("batches", top["batches"]))),
    )


def is_of_readings(text: bytes) -> bool:
    """Whether this claims to be a bundle of readings; `load_readings` says whether it is one."""
    try:
        value = canonical.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("type") == READINGS


def load_readings(text: bytes) -> ReadingsBundle:
    """Read a bundle of readings. Raises `BundleError` as `load` does."""
    try:
        value = canonical.loads(text)
    except ValueError as error:
        raise BundleError(f"bundle: {error}") from None
    top = _object("bundle", value, "type", "area", "point", "ledger", "batches")
    if top["type"] != READINGS:
        raise BundleError(f"bundle: the type {top['type']!r} is not {READINGS!r}")
    return ReadingsBundle(
        _bytes("area", top["area"]),
        _bytes("point", top["point"]),
        _log(top["ledger"]),
        tuple(_batch(f"batches[{i}]", batch) for i, batch in enumerate(_list("batches", top["batches"]))),
    )


def _object(at: str, value: Any, *members: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(members):
        raise BundleError(f"{at}: exactly the members {', '.join(members)} are expected")
    return value


def _list(at: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BundleError(f"{at}: a list is expected")
    return value


def _bytes(at: str, value: Any, size: int = 32) -> bytes:
    content = _any_bytes(at, value)
    if len(content) != size:
        raise BundleError(f"{at}: {size} bytes are expected")
    return content


def _any_bytes(at: str, value: Any) -> bytes:
    try:
        return decode_bytes(value)
    except ValueError as error:
        raise BundleError(f"{at}: {error}") from None


def _int(at: str, value: Any) -> int:
    try:
        return decode_int(value)
    except ValueError as error:
        raise BundleError(f"{at}: {error}") from None


def _natural(at: str, value: Any) -> int:
    number = _int(at, value)
    if number < 0:
        raise BundleError(f"{at}: the number is negative")
    return number


def _struct(at: str, record: Any, value: Any) -> Any:
    try:
        return record.decode(_any_bytes(at, value))
    except ValueError as error:
        raise BundleError(f"{at}: {error}") from None


def _path(at: str, value: Any) -> Path:
    members = _object(at, value, "size", "hashes")
    hashes = _list(f"{at}.hashes", members["hashes"])
    return Path(
        _int(f"{at}.size", members["size"]), tuple(_bytes(f"{at}.hashes[{i}]", h) for i, h in enumerate(hashes))
    )


def _log(value: Any) -> Log:
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == EmbeddedLog.kind:
        return _embedded_log(value)
    if kind == QuorumLog.kind:
        members = _object("ledger", value, "kind", "blocks")
        blocks = _list("ledger.blocks", members["blocks"])
        return QuorumLog(tuple(_block(f"ledger.blocks[{i}]", block) for i, block in enumerate(blocks)))
    if kind == FabricLog.kind:
        members = _object("ledger", value, "kind", "blocks")
        blocks = _list("ledger.blocks", members["blocks"])
        return FabricLog(tuple(_ordered(f"ledger.blocks[{i}]", block) for i, block in enumerate(blocks)))
    raise BundleError(f"ledger.kind: nobody knows ledgers of kind {kind!r}")


def _embedded_log(value: Any) -> EmbeddedLog:
    members = _object("ledger", value, "kind", "checkpoint", "path", "commands")
    if not isinstance(members["checkpoint"], str):
        raise BundleError("ledger.checkpoint: text is expected")
    commands = []
    for i, item in enumerate(_list("ledger.commands", members["commands"])):
        at = f"ledger.commands[{i}]"
        taken_over = ("origin",) if isinstance(item, dict) and "origin" in item else ()
        command = _object(at, item, "index", "time", "envelope", *taken_over)
        commands.append(
            LoggedCommand(
                _int(f"{at}.index", command["index"]),
                _int(f"{at}.time", command["time"]),
                _any_bytes(f"{at}.envelope", command["envelope"]),
                _bytes(f"{at}.origin", command["origin"]) if taken_over else b"",
            )
        )
    return EmbeddedLog(members["checkpoint"], _path("ledger.path", members["path"]), tuple(commands))


def _block(at: str, value: Any) -> ProvenBlock:
    members = _object(at, value, "header", "nodes", "logs")
    nodes = _list(f"{at}.nodes", members["nodes"])
    logs = [LogPlace(*place) for place in _places(f"{at}.logs", members["logs"])]
    return ProvenBlock(
        _any_bytes(f"{at}.header", members["header"]),
        tuple(_any_bytes(f"{at}.nodes[{i}]", node) for i, node in enumerate(nodes)),
        tuple(logs),
    )


def _ordered(at: str, value: Any) -> OrderedBlock:
    members = _object(at, value, "number", "previous", "data", "metadata", "signatures", "outcomes")
    signatures = []
    for i, item in enumerate(_list(f"{at}.signatures", members["signatures"])):
        place = f"{at}.signatures[{i}]"
        signed = _object(place, item, "signer", "signature")
        signer, signature = (_any_bytes(f"{place}.{name}", signed[name]) for name in ("signer", "signature"))
        signatures.append(BlockSignature(signer, signature))
    return OrderedBlock(
        _natural(f"{at}.number", members["number"]),
        _bytes(f"{at}.previous", members["previous"]),
        _any_bytes(f"{at}.data", members["data"]),
        _any_bytes(f"{at}.metadata", members["metadata"]),
        tuple(signatures),
        tuple(OutcomePlace(*place) for place in _places(f"{at}.outcomes", members["outcomes"])),
    )


def _places(at: str, value: Any) -> list[tuple[int, int]]:
    """Transactions, and indexes in each."""
    found = []
    for i, item in enumerate(_list(at, value)):
        place = _object(f"{at}[{i}]", item, "transaction", "index")
        transaction = _natural(f"{at}[{i}].transaction", place["transaction"])
        found.append((transaction, _natural(f"{at}[{i}].index", place["index"])))
    return found


def _day(at: str, value: Any) -> SettledDay:
    members = _object(at, value, "path", "allotments")
    shown = _list(f"{at}.allotments", members["allotments"])
    return SettledDay(
        _path(f"{at}.path", members["path"]),
        tuple(_allotment(f"{at}.allotments[{i}]", item) for i, item in enumerate(shown)),
    )


def _allotment(at: str, value: Any) -> ShownAllotment:
    members = _object(at, value, "index", "allotment", "rows")
    return ShownAllotment(
        _int(f"{at}.index", members["index"]),
        _struct(f"{at}.allotment", Allotment, members["allotment"]),
        tuple(_row(f"{at}.rows[{i}]", item) for i, item in enumerate(_list(f"{at}.rows", members["rows"]))),
    )


def _row(at: str, value: Any) -> ShownRow:
    members = _object(at, value, "index", "salt", "row", "path")
    siblings = []
    for i, item in enumerate(_list(f"{at}.path", members["path"])):
        content = _bytes(f"{at}.path[{i}]", item, 128)
        try:
            siblings.append(Node(content[:32], Sums.decode(content[32:])))
        except ValueError as error:
            raise BundleError(f"{at}.path[{i}]: {error}") from None
    return ShownRow(
        _int(f"{at}.index", members["index"]),
        _bytes(f"{at}.salt", members["salt"]),
        _struct(f"{at}.row", Row, members["row"]),
        tuple(siblings),
    )


def _batch(at: str, value: Any) -> SignedBatch:
    members = _object(at, value, "statement", "signature", "anchor", "path", "readings")
    anchor = _object(f"{at}.anchor", members["anchor"], "index", "path")
    readings = []
    for i, item in enumerate(_list(f"{at}.readings", members["readings"])):
        place = f"{at}.readings[{i}]"
        reading = _object(place, item, "index", "salt", "id", "value")
        readings.append(
            ShownReading(
                _int(f"{place}.index", reading["index"]),
                _bytes(f"{place}.salt", reading["salt"]),
                _struct(f"{place}.id", LeafId, reading["id"]),
                _struct(f"{place}.value", LeafValue, reading["value"]),
            )
        )
    return SignedBatch(
        _struct(f"{at}.statement", Statement, members["statement"]),
        _bytes(f"{at}.signature", members["signature"], 64),
        _int(f"{at}.anchor.index", anchor["index"]),
        _path(f"{at}.anchor.path", anchor["path"]),
        _path(f"{at}.path", members["path"]),
        tuple(readings),
    )
