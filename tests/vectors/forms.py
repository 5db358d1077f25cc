"""Vectors of the forms: encoding, commands, keys, state, readings, trees, settlement, checkpoints, canonical JSON."""

import base64
from collections.abc import Sequence
from dataclasses import fields, make_dataclass, replace
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import accumulators, boxes, checkpoint, contents, eip712, journal, merkle, readings, settlement, sumtree
from evidence import canonical as canonical_json
from evidence.abi import FixedBytes, Integer, ListOf, Struct, layout
from evidence.canonical import encode_bytes
from evidence.coefficients import TOTAL_PPM, Coefficient
from evidence.commands import Command, batch_digest, sign_digest, wallet_digest
from evidence.hashing import ZERO, sha256, tagged
from evidence.imports import ImportedEntry, import_digest, signed_import
from evidence.keys import P256_ORDER, SECP256K1_ORDER, Algorithm, PublicKey
from evidence.state import state_key, state_root
from tests.vectors.contract_cases import SUCCEEDING
from tests.vectors.market import ALICE, BOB, DAY, LEDGER, MARKET, METER, NOW, POINT, UTILITY, batch, command, ident

# Encoding

_INTEGERS = (
    Integer(8, False),
    Integer(32, False),
    Integer(64, False),
    Integer(128, False),
    Integer(64, True),
    Integer(128, True),
)
_LISTS = (ListOf(FixedBytes(), 64), ListOf(Integer(64, False), 64), ListOf(Integer(128, False), 64))
TYPES = {kind.name: kind for kind in (*_INTEGERS, FixedBytes(), *_LISTS)}


def struct(types: Sequence[str]) -> Any:
    """A class of records with fields of these types."""
    members = [(f"field{i}", Annotated[Any, TYPES[name]]) for i, name in enumerate(types)]
    return make_dataclass("Record", members, bases=(Struct,), frozen=True)


def _bounds(kind: Integer) -> tuple[int, int]:
    return (-(1 << kind.bits - 1), (1 << kind.bits - 1) - 1) if kind.signed else (0, (1 << kind.bits) - 1)


def _encoded(types: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {"types": list(types), "values": list(values), "encoding": struct(types)(*values).encode()}


def _abi() -> list[dict[str, Any]]:
    vectors = [_encoded([kind.name], [bound]) for kind in _INTEGERS for bound in _bounds(kind)]
    vectors += [_encoded([name], [-1]) for name in ("int64", "int128")]
    vectors += [_encoded(["bytes32"], [word]) for word in (ZERO, ident("word"), b"\xff" * 32)]
    words = tuple(ident(f"word {i}") for i in range(64))
    vectors += [_encoded(["bytes32[]"], [words[:count]]) for count in (0, 1, 64)]
    vectors += [_encoded([name], [(0, 1, 2**64 - 1)]) for name in ("uint64[]", "uint128[]")]
    vectors.append(_encoded([], []))
    vectors.append(
        _encoded(
            ["uint8", "bytes32[]", "int64", "uint64[]", "bytes32", "uint128[]"],
            [1, words[:2], -2, (3, 4, 5), words[3], ()],
        )
    )
    return vectors


def _abi_refused() -> list[dict[str, Any]]:
    def word(number: int) -> bytes:
        return number.to_bytes(32, "big", signed=number < 0)

    refused = [
        {"types": [kind.name], "encoding": word(bound), "why": "out of range"}
        for kind in _INTEGERS
        for bound in (_bounds(kind)[0] - 1, _bounds(kind)[1] + 1)
    ]
    empty, one = struct(["bytes32[]"])(()).encode(), struct(["bytes32[]"])((ident("word"),)).encode()
    shifted = word(64) + ZERO + word(0)
    for types, encoding, why in (
        (["uint8"], b"", "too short"),
        (["uint8"], word(1)[1:], "too short"),
        (["uint8"], word(1) + b"\x00", "too long"),
        (["bytes32[]"], one[:-1], "too short"),
        (["bytes32[]"], one + ZERO, "too long"),
        (["bytes32[]"], word(64) + empty[32:], "the list starts outside"),
        (["bytes32[]"], shifted, "the list does not start where it must"),
        (["bytes32[]"], word(2**255), "the list starts far outside"),
        (["bytes32[]"], word(32) + word(65) + bytes(65 * 32), "65 entries"),
        (["bytes32[]"], word(32) + word(2**256 - 1), "more entries than bytes"),
        (["bytes32[]", "bytes32[]"], word(64) + word(64) + word(0), "two lists share their bytes"),
        (["bytes32[]", "bytes32[]"], word(96) + word(64) + word(0) * 2, "the second list stands before the first"),
        (["bytes32[]", "bytes32[]"], word(64) + word(128) + word(0) * 3, "a gap between two lists"),
        (["uint64[]"], word(32) + word(1) + word(2**64), "an entry out of range"),
    ):
        refused.append({"types": types, "encoding": encoding, "why": why})
    return refused


def encoding() -> dict[str, Any]:
    contents = (b"", b"abc", bytes(range(65)))
    return {
        "taggedHash": [
            {"tag": tag, "content": content, "digest": tagged(tag, content)}
            for tag in ("em/id/1", "em/state/1")
            for content in contents
        ],
        "abi": _abi(),
        "abiRefused": _abi_refused(),
    }


# Commands

_DOMAINS = (
    eip712.Domain(LEDGER),
    eip712.Domain(LEDGER, chain=1337),
    eip712.Domain(LEDGER, chain=1337, contract=ident("contract")[:20]),
    eip712.Domain(LEDGER, contract=ident("contract")[:20]),
)


def _domain(domain: eip712.Domain) -> dict[str, Any]:
    described: dict[str, Any] = {"name": eip712.NAME, "version": eip712.VERSION}
    if domain.chain is not None:
        described["chainId"] = domain.chain
    if domain.contract is not None:
        described["verifyingContract"] = domain.contract
    return {**described, "salt": domain.ledger}


def _command(sent: Command) -> dict[str, Any]:
    names = layout(type(sent.fields)).names
    return {
        "kind": type(sent.fields).__name__,
        "number": sent.fields.KIND,
        "nonce": sent.nonce,
        "after": sent.after,
        "validUntil": sent.valid_until,
        "fields": {eip712.camel(name): getattr(sent.fields, name) for name in names},
        "encodedFields": sent.fields.encode(),
        "id": sent.id,
        "signDigest": sign_digest(LEDGER, sent),
        "typedData": eip712.encode_type(type(sent.fields)),
        "walletDigests": [{"domain": _domain(domain), "digest": wallet_digest(domain, sent)} for domain in _DOMAINS],
        "signatures": [{"signer": key, "signature": signature} for key, signature in sent.signatures],
        "envelope": sent.envelope.encode(),
    }


def commands() -> dict[str, Any]:
    sent = []
    for i, (kind, signers) in enumerate(SUCCEEDING):
        after, valid_until = ident("predecessor") if i % 2 else ZERO, NOW * (i % 3)
        sent.append(command(kind, *signers, nonce=f"nonce {i}", after=after, valid_until=valid_until))
    batches = [sent[:0], sent[:1], sent[:3]]
    return {
        "ledger": LEDGER,
        "market": MARKET,
        "operator": _public(UTILITY.public_key),
        "commands": [_command(one) for one in sent],
        "batches": [
            {
                "commands": [one.id for one in group],
                "signDigests": [sign_digest(LEDGER, one) for one in group],
                "digest": batch_digest(LEDGER, group),
                "signature": batch(group).signature,
                "encoding": batch(group).encode(),
            }
            for group in batches
        ],
    }


# Keys


def _public(key: PublicKey) -> dict[str, Any]:
    return {"algorithm": key.algorithm, "x": key.x, "y": key.y}


CURVES = {
    Algorithm.P256: (
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        -3,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        P256_ORDER,
    ),
    Algorithm.SECP256K1: (2**256 - 2**32 - 977, 0, 7, SECP256K1_ORDER),
}


def _unreduced(algorithm: Algorithm) -> PublicKey:
    """A point whose x is given as x + p, which still fits 32 bytes."""
    p, a, b, _ = CURVES[algorithm]
    for x in range(1, 100):
        square = (x**3 + a * x + b) % p
        y = pow(square, (p + 1) // 4, p)
        if y * y % p == square:
            return PublicKey(algorithm, (x + p).to_bytes(32, "big"), y.to_bytes(32, "big"))
    raise AssertionError("no point with a small x")


def _with_s(key: Any, s: int) -> tuple[bytes, bytes]:
    """A digest, and the signature over it that has this very s: the digest is solved for."""
    order = CURVES[key.algorithm][3]
    nonce = type(key)(key.algorithm, ident("signing nonce"))
    r = int.from_bytes(nonce.public_key.x, "big") % order
    k, d = int.from_bytes(nonce.secret, "big"), int.from_bytes(key.secret, "big")
    return ((s * k - r * d) % order).to_bytes(32, "big"), r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _signatures(key: Any) -> list[dict[str, Any]]:
    order = CURVES[key.algorithm][3]
    digest = ident("digest")
    good = key.sign(digest)
    r, s = good[:32], good[32:]

    def number(value: int) -> bytes:
        return value.to_bytes(32, "big")

    high = number(order - int.from_bytes(s, "big"))
    middle, above = _with_s(key, order // 2), _with_s(key, order // 2 + 1)
    rows = [
        (digest, good, True, "as signed"),
        (*middle, True, "s is the largest low one"),
        (*above, False, "s is the smallest high one"),
        (digest, r + high, False, "high s"),
        (ident("other digest"), good, False, "another digest"),
        (digest, s + r, False, "r and s swapped"),
        (digest, ZERO + s, False, "r zero"),
        (digest, r + ZERO, False, "s zero"),
        (digest, bytes(64), False, "both zero"),
        (digest, number(order) + s, False, "r is the order"),
        (digest, r + number(order), False, "s is the order"),
        (digest, b"\xff" * 64, False, "beyond the order"),
        (digest, good + b"\x00", False, "65 bytes"),
        (digest, good[:-1], False, "63 bytes"),
        (digest, b"", False, "no bytes"),
    ]
    return [
        {"key": _public(key.public_key), "digest": over, "signature": mark, "accepted": accepted, "why": why}
        for over, mark, accepted, why in rows
    ]


def keys() -> dict[str, Any]:
    refused = []
    for key in (ALICE, BOB):
        public = key.public_key
        other = Algorithm.SECP256K1 if key.algorithm is Algorithm.P256 else Algorithm.P256
        refused += [
            (replace(public, y=public.x), "off the curve"),
            (replace(public, x=ZERO, y=ZERO), "zero"),
            (replace(public, algorithm=other), "a point of the other curve"),
            (_unreduced(key.algorithm), "x not reduced"),
            (replace(public, algorithm=0), "algorithm 0"),
            (replace(public, algorithm=3), "algorithm 3"),
        ]
    return {
        "keys": [{**_public(key.public_key), "id": key.public_key.id} for key in (ALICE, BOB)],
        "keysRefused": [{**_public(public), "why": why} for public, why in refused],
        "signatures": [row for key in (ALICE, BOB) for row in _signatures(key)],
    }


# State


def state() -> dict[str, Any]:
    named: list[tuple[int, tuple[bytes | int, ...]]] = [
        (0, ()),
        (1, (3, ident("alice"))),
        (3, (ident("alice"),)),
        (7, (ident("device"), DAY)),
        (12, (ident("issuer"), ident("series"), 2**64 - 1)),
        (255, (ZERO, 0)),
    ]
    # Given out of order: the root sorts by key.
    entries = {state_key(table, *ids): sha256(bytes([table])) * (1 + table % 3) for table, ids in named}
    sets = [{}, dict([next(iter(entries.items()))]), entries]
    return {
        "keys": [{"table": table, "ids": list(ids), "key": state_key(table, *ids)} for table, ids in named],
        "roots": [
            {"entries": [{"key": key, "value": value} for key, value in chosen.items()], "root": state_root(chosen)}
            for chosen in sets
        ],
    }


# Readings


def signed_readings() -> dict[str, Any]:
    secrets = {POINT: ident("secret of alice's point"), ident("second point"): ident("secret of the second point")}
    start = DAY * 86_400
    registers = {readings.Register.CONSUMPTION: (0, 75), readings.Register.GENERATION: (2**63 - 1, -(2**63), 13)}
    rows = [
        readings.Reading(point, register, start + 900 * i, value, readings.Quality(1 + i % 2))
        for point in sorted(secrets)
        for register, values in registers.items()
        for i, value in enumerate(values)
    ]
    root = readings.batch_root(rows, secrets)
    key = METER.public_key.id
    statement = readings.Statement(ident("device"), key, 7, start, start + 2_700, readings.Unit.WH, len(rows), root)
    signature = METER.sign(statement.digest)
    leaf = readings.anchor_leaf(statement.digest, signature)
    other = readings.anchor_leaf(ident("other digest"), METER.sign(ident("other digest")))
    return {
        "readings": [
            {
                "secret": secrets[row.point],
                "point": row.point,
                "register": row.register,
                "slot": row.slot,
                "value": row.value,
                "quality": row.quality,
                "leafId": row.leaf_id,
                "salt": readings.salt(secrets[row.point], row.leaf_id),
                "leaf": row.leaf(readings.salt(secrets[row.point], row.leaf_id)),
            }
            for row in rows
        ],
        "root": root,
        "statement": {
            **{eip712.camel(field.name): getattr(statement, field.name) for field in fields(statement)},
            "digest": statement.digest,
        },
        "signer": _public(METER.public_key),
        "signature": signature,
        "anchor": {"leaf": leaf, "otherLeaf": other, "root": merkle.root([leaf, other])},
    }


# Boxes beside meters


def box_talk() -> dict[str, Any]:
    code = "0123456789ABCDEF"
    key, issuer = METER.public_key, ALICE.public_key
    body = b'{"destinations":[]}'
    request = boxes.Enrolment(boxes.code_id(code), key.algorithm, key.x, key.y, boxes.body_hash(body))
    answer = boxes.EnrolmentAnswer(boxes.code_id(code), request.digest, boxes.body_hash(b"{}"))
    instruction = boxes.Instruction(
        ident("device"), issuer.id, 9, boxes.InstructionKind.CONFIGURE, NOW, NOW + 3600, boxes.body_hash(body)
    )
    done = boxes.InstructionAnswer(
        ident("device"), key.id, 9, instruction.digest, boxes.AnswerState.DONE, NOW + 60, boxes.body_hash(b"{}")
    )
    poll = boxes.ChannelPoll(ident("device"), key.id, 9, NOW * 1000 + 17)
    document = boxes.Document(ident("device"), key.id, boxes.body_hash(b'{"measures":[]}'))
    status = boxes.BoxStatus(ident("device"), key.id, 9, boxes.body_hash(b'{"refused":"0"}'))
    release = boxes.Release(1, 4, 2, 12_345, boxes.body_hash(b"an archive"))
    return {
        "code": {"code": code, "id": boxes.code_id(code), "key": boxes.code_key(code)},
        "enrolment": _said(request, METER) | {"mac": boxes.mac(boxes.code_key(code), request.digest)},
        "enrolmentAnswer": _fields(answer) | {"mac": boxes.mac(boxes.code_key(code), answer.digest)},
        "instruction": _said(instruction, ALICE),
        "instructionAnswer": _said(done, METER),
        "channelPoll": _said(poll, METER),
        "document": _said(document, METER),
        "boxStatus": _said(status, METER),
        "release": _said(release, BOB),
        "text": {"text": "a meter's own words", "digest": boxes.text_digest(b"a meter's own words")},
    }


def _fields(said: Any) -> dict[str, Any]:
    return {
        **{eip712.camel(field.name): getattr(said, field.name) for field in fields(said)},
        "encoding": said.encode(),
        "digest": said.digest,
    }


def _said(said: Any, signer: Any) -> dict[str, Any]:
    return {**_fields(said), "signer": _public(signer.public_key), "signature": signer.sign(said.digest)}


# Trees

# The inputs of the certificate-transparency project's own tests of RFC 6962.
CT_INPUTS = tuple(
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
)  # fmt: skip


def _sums(sums: sumtree.Sums) -> dict[str, int]:
    return {"weight": sums.weight, "limit": sums.limit, "allocated": sums.allocated}


def _sum_tree(size: int) -> dict[str, Any]:
    rows = []
    for i in range(size):
        weight, limit = (1_000 * i, 0) if i % 2 else (0, 500 + i)
        row = sumtree.Row(ident(f"point {i}"), 1 + i % 5, ident(f"claim {i}"), weight, limit, 400 + i, 120_000 + i)
        rows.append((row, ident(f"salt {i}")))
    rows.sort(key=lambda pair: pair[0].hash(pair[1]))
    leaves = [sumtree.Node(row.hash(salt), row.sums) for row, salt in rows]
    root = sumtree.root(leaves)
    return {
        "rows": [
            {
                **{field.name: getattr(row, field.name) for field in fields(row)},
                "salt": salt,
                "encoding": row.encode(),
                "hash": leaf.hash,
                "path": [{"hash": node.hash, "sums": _sums(node.sums)} for node in sumtree.path(leaves, i)],
            }
            for i, ((row, salt), leaf) in enumerate(zip(rows, leaves, strict=True))
        ],
        "root": root.hash,
        "sums": _sums(root.sums),
    }


def trees() -> dict[str, Any]:
    hashes = [merkle.leaf_hash(content) for content in CT_INPUTS]
    chosen = [(8, (0,)), (8, (5,)), (3, (2,)), (7, (6,)), (1, (0,)), (7, (0, 3, 4)), (8, tuple(range(8))), (5, (0, 4))]
    return {
        "leaves": list(CT_INPUTS),
        "leafHashes": hashes,
        "roots": [merkle.root(CT_INPUTS[:size]) for size in range(9)],
        "paths": [
            {"size": size, "indexes": list(indexes), "hashes": list(merkle.path(hashes[:size], indexes).hashes)}
            for size, indexes in chosen
        ],
        "sumTrees": [_sum_tree(size) for size in (0, 1, 2, 5, 8)],
    }


# Settlement and salted contents


def settlements() -> dict[str, Any]:
    largest = 2**128 - 1
    allotments = [
        settlement.Allotment(ident(plant), slot, scheme, available, rows, weight, limit, allocated, ident(root))
        for plant, slot, scheme, available, rows, weight, limit, allocated, root in (
            ("plant", DAY * 86_400, settlement.Scheme.OWN_USE, 400, 1, 0, 400, 400, "own use"),
            ("plant", DAY * 86_400, settlement.Scheme.PURCHASE, 5_000, 3, 700_000, 2_000, 4_999, "purchases"),
            ("plant", DAY * 86_400 + 900, settlement.Scheme.FEED_IN, 1, 1, 1, 0, 1, "fed in"),
            ("utility", 2**64 - 1, settlement.Scheme.SUPPLY, 2**64 - 1, 2**32 - 1, largest, largest, largest, "supply"),
        )
    ]
    allotments.sort(key=lambda one: (one.plant, one.slot, one.scheme))
    salt = ident("salt of a settlement")
    rows = [
        (plant, slot, scheme, ident("claim"))
        for plant, slot, scheme in ((ident("plant"), DAY * 86_400, 5), (ident("plant"), 2**64 - 1, 255), (ZERO, 0, 0))
    ]
    return {
        "schemes": {scheme.name: scheme for scheme in settlement.Scheme},
        "allotments": [
            {
                **{field.name: getattr(one, field.name) for field in fields(one)},
                "encoding": one.encode(),
                "leafHash": one.leaf_hash,
            }
            for one in allotments
        ],
        "root": merkle.root_of_hashes([one.leaf_hash for one in allotments]),
        "rowSalts": [
            {
                "salt": salt,
                "plant": plant,
                "slot": slot,
                "scheme": scheme,
                "claim": claim,
                "rowSalt": settlement.row_salt(salt, plant, slot, scheme, claim),
            }
            for plant, slot, scheme, claim in rows
        ],
    }


def salted_contents() -> dict[str, Any]:
    salt = ident("salt of contents")
    chosen: tuple[dict[str, object], ...] = (
        {},
        {"technology": "pv", "name": "Dach Süd"},
        {"b": ["1", True, {"c": ""}], "a": "\u20ac", "B": False},
    )
    return {
        "contents": [
            {"salt": salt, "json": canonical_json.dumps(members), "digest": contents.contents(salt, members)}
            for members in chosen
        ],
        "documents": [
            {"salt": salt, "document": document, "digest": contents.document_digest(salt, document)}
            for document in map(canonical_json.dumps, chosen)
        ],
    }


# Journal of the embedded ledger: checkpoints and entries


def accumulated() -> dict[str, Any]:
    """Heads over no, one and several orders, and what stands for an order until its salt is shown."""
    items = [ident(f"order {number}") for number in range(3)]
    salt, orders = ident("salt of an order"), (b"", bytes(32), ident("price") + ident("energy"))
    return {
        "chains": [
            {"items": items[:count], "count": count, "head": accumulators.chain_of(items[:count])}
            for count in range(len(items) + 1)
        ],
        "orders": [
            {"salt": salt, "order": order, "commitment": accumulators.order_commitment(salt, order)} for order in orders
        ],
    }


def coefficients() -> dict[str, Any]:
    """Trees of shares that add up, and those that must be refused."""
    trees = []
    for parts in ((1_000_000,), (333_334, 333_333, 333_333), (1_000_000, 0), (999_999,), (500_000, 500_001)):
        leaves = [
            (Coefficient(ident(f"point {i}"), ppm), ident(f"salt of coefficient {i}")) for i, ppm in enumerate(parts)
        ]
        leaves.sort(key=lambda leaf: leaf[0].node(leaf[1]).hash)
        root = sumtree.root([coefficient.node(salt) for coefficient, salt in leaves])
        trees.append(
            {
                "coefficients": [
                    {"point": one.point, "ppm": one.ppm, "salt": salt, "hash": one.node(salt).hash}
                    for one, salt in leaves
                ],
                "root": root.hash,
                "sums": _sums(root.sums),
                "accepted": sum(parts) == TOTAL_PPM,
            }
        )
    return {"trees": trees}


def imported() -> dict[str, Any]:
    """Entries of another ledger, and the chain of those that were rejected there."""
    envelope = command(SUCCEEDING[0][0], nonce="imported").envelope.encode()
    entries = [ImportedEntry(ident("old ledger"), code, NOW, content) for code, content in ((0, envelope), (52, b""))]
    return {
        "entries": [
            {"ledger": one.ledger, "code": one.code, "time": one.time, "envelope": one.envelope, "digest": one.digest}
            for one in entries
        ],
        "rejected": accumulators.chain_of(entry.digest for entry in entries[1:]),
        "batches": [
            {
                "ledger": LEDGER,
                "start": start,
                "entries": group,
                "digest": import_digest(LEDGER, start, group),
                "signature": (signed := signed_import(LEDGER, start, group, UTILITY)).signature,
                "encoding": signed.encode(),
            }
            for start, group in ((0, []), (7, [entry.encode() for entry in entries]))
        ],
    }


def _note_line(name: str, content: bytes) -> str:
    return f"\u2014 {name} {base64.b64encode(content).decode()}\n"


def _witness(note: str) -> dict[str, Any]:
    """A cosignature of version 1 (C2SP tlog-cosignature) of a witness with an Ed25519 key."""
    key = Ed25519PrivateKey.from_private_bytes(ident("witness key"))
    name, public = "witness.example/w1", key.public_key().public_bytes_raw()
    text = note.rpartition("\n\n")[0] + "\n"
    signature = key.sign(f"cosignature/v1\ntime {NOW}\n{text}".encode())
    key_id = sha256(name.encode() + b"\n\x04" + public)[:4]
    line = _note_line(name, key_id + NOW.to_bytes(8, "big") + signature)
    return {"name": name, "key": public, "time": NOW, "line": line}


def _witnessed_notes(note: str, witness: str) -> list[dict[str, str]]:
    head, own = note.rsplit("\n\n", 1)
    name = checkpoint.origin(LEDGER)
    stranger = Ed25519PrivateKey.from_private_bytes(ident("other checkpoint key"))
    other_key = checkpoint.sign(checkpoint.Checkpoint(name, 8, ident("log root")), stranger).rsplit("\n\n", 1)[1]
    lines = {
        "a witness after the ledger": own + witness,
        "a witness before the ledger": witness + own,
        "a later key of the ledger beside the trusted one": own + other_key,
        "a signature of one byte by a kind of key that is not known": own + _note_line("w", b"hash\x00"),
        "the same witness twice": own + witness + witness,
    }
    return [{"note": f"{head}\n\n{text}", "why": why} for why, text in lines.items()]


def _refused_witnesses(note: str, witness: str) -> list[dict[str, str]]:
    head, own = note.rsplit("\n\n", 1)
    lines = {
        "a witness alone": witness,
        "signed by the ledger twice": own + own,
        "the ledger's signature under the witness's name": own.replace(checkpoint.origin(LEDGER), "witness.example/w1"),
        "a witness's line is not base64": own + witness[:-5] + "????\n",
        "a witness's line has spaces of its own": own + witness.replace(" witness", "  witness"),
        "a witness's line has a word too many": own + witness[:-1] + " more\n",
        "a witness's line has no dash": own + witness.replace("\u2014 ", ""),
        "a witness's line has a hyphen instead of the dash": own + witness.replace("\u2014", "-"),
        "a witness without a name": own + _note_line("", b"hash" + bytes(64)),
        "a witness without a signature": own + _note_line("w", b"hash"),
        "an empty line between the signatures": f"{own}\n{witness}",
        "an empty line after the signatures": f"{own}{witness}\n",
        "no line break after the witness": own + witness[:-1],
    }
    return [{"note": f"{head}\n\n{text}", "why": why} for why, text in lines.items()]


def _refused_notes(note: str, key: Ed25519PrivateKey) -> list[dict[str, str]]:
    origin, size, root, _, mark = note.splitlines()
    stranger = Ed25519PrivateKey.from_private_bytes(ident("other checkpoint key"))
    name = checkpoint.origin(LEDGER)
    other_origin = checkpoint.origin(ident("other ledger"))
    first_of_mark = mark.rindex(" ") + 1
    changed = {
        "another size": note.replace(f"\n{size}\n", "\n1\n"),
        "size with a zero before it": note.replace(f"\n{size}\n", f"\n0{size}\n"),
        "size with a plus": note.replace(f"\n{size}\n", f"\n+{size}\n"),
        "another root": note.replace(root, encode_root(ident("other root"))),
        "root of 31 bytes": note.replace(root, encode_root(bytes(31))),
        "no signature": f"{origin}\n{size}\n{root}\n",
        "no last line break": note[:-1],
        "a line too many": note.replace("\n\n", "\nmore\n\n"),
        "another name before the signature": note.replace(mark, mark.replace(name, other_origin)),
        "signature not base64": note.replace(mark, mark[:-4] + "????"),
        "another key's hash": note.replace(mark, mark[:first_of_mark] + "AAAA" + mark[first_of_mark + 4 :]),
        "signed by another key": checkpoint.sign(checkpoint.Checkpoint(name, 8, ident("log root")), stranger),
        "of another ledger": checkpoint.sign(checkpoint.Checkpoint(other_origin, 8, ident("log root")), key),
        "a hyphen instead of the dash": note.replace("— ", "- "),
    }
    return [{"note": text, "why": why} for why, text in changed.items()]


def encode_root(root: bytes) -> str:
    return checkpoint.Checkpoint("", 0, root).text.splitlines()[2]


def checkpoints() -> dict[str, Any]:
    key = Ed25519PrivateKey.from_private_bytes(ident("checkpoint key"))
    name = checkpoint.origin(LEDGER)
    public = key.public_key().public_bytes_raw()
    points = [checkpoint.Checkpoint(name, size, root) for size, root in ((0, sha256(b"")), (8, ident("log root")))]
    notes = [checkpoint.sign(point, key) for point in points]
    witness = _witness(notes[1])
    return {
        "ledger": LEDGER,
        "origin": name,
        "key": public,
        "keyHash": checkpoint.key_hash(name, public),
        "notes": [
            {"size": point.size, "root": point.root, "note": note} for point, note in zip(points, notes, strict=True)
        ],
        "witness": witness,
        "witnessed": _witnessed_notes(notes[1], witness["line"]),
        "refused": _refused_notes(notes[1], key) + _refused_witnesses(notes[1], witness["line"]),
        "entries": [_entry(0, NOW, 0, b"an envelope"), _entry(2**64 - 1, 0, 52, b"")],
    }


def _entry(index: int, time: int, code: int, envelope: bytes) -> dict[str, Any]:
    entry = journal.Entry(index, time, code, ident("command"), journal.envelope_digest(envelope))
    return {
        "index": index,
        "time": time,
        "code": code,
        "id": entry.id,
        "envelope": envelope,
        "encoding": entry.encode(),
        "leafHash": entry.leaf_hash,
    }


# Canonical JSON

_JSON = (
    "{}", "[]", '""', "true", "false", '{"a":"1","b":[],"c":{}}', '{"A":true,"_":"","a":false}',
    '"\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\/"', '"€ 𝄞 é \x7f \u2028"', '{"":""}', '[["1"],["-1"],[true,false]]',
    "[" * 16 + "]" * 16, '{"a":' * 15 + "[]" + "}" * 15, '"' + "[{" * 16 + '"', '["\\\\","\\"' + "[" * 16 + '"]',
)  # fmt: skip

_NOT_JSON = {
    "no text": "",
    "null": "null",
    "null inside": '{"a":null}',
    "integer": "1",
    "float": "1.0",
    "exponent": "1e3",
    "minus zero": "-0",
    "not a number": "NaN",
    "infinity": "-Infinity",
    "space": '{"a": "b"}',
    "space before": ' "a"',
    "line break after": '"a"\n',
    "members out of order": '{"b":"","a":""}',
    "a member twice": '{"a":"1","a":"1"}',
    "a member twice, inside": '[{"a":"1","a":"2"}]',
    "member name not ASCII": '{"é":""}',
    "slash escaped": '"\\/"',
    "letter escaped": '"\\u0061"',
    "upper-case escape": '"\\u001F"',
    "long escape of a line break": '"\\u000a"',
    "control character as it is": '"\n"',
    "half a surrogate pair": '"\\ud834"',
    "trailing comma": '["a",]',
    "comment": '"a"//',
    "single quotes": "'a'",
    "two values": '"a""b"',
    "byte order mark": '\ufeff"a"',
    "17 levels of lists": "[" * 17 + "]" * 17,
    "17 levels of objects": '{"a":' * 17 + '""' + "}" * 17,
    "17 levels after a string with a quote": '["\\"",' + "[" * 16 + "]" * 17,
    "a list without an end": "[" * 16,
    "a string without an end": '"a',
    "a string that ends in an escape": '"a\\',
}


_NOT_INTEGERS = ["", "-", "+1", "-0", "00", "01", "1.0", "1e3", " 1", "1 ", "1\n", "1_000", "0x1", "\u0661", "--1"]


def canonical() -> dict[str, Any]:
    contents = (b"", b"\x00", b"\xfb\xff", b"abc", bytes(range(250, 256)), ident("bytes"))
    refused = [{"text": text.encode(), "why": why} for why, text in _NOT_JSON.items()]
    refused += [
        {"text": '"a"'.encode("utf-16-le"), "why": "UTF-16"},
        {"text": '"é"'.encode("latin-1"), "why": "Latin-1"},
        {"text": b'"\xed\xa0\xb4"', "why": "surrogate in UTF-8"},
        {"text": b'"\xc0\x80"', "why": "overlong UTF-8"},
    ]
    return {
        "json": [text.encode() for text in _JSON],
        "jsonRefused": refused,
        "base64url": [{"bytes": content, "text": encode_bytes(content)} for content in contents],
        "base64urlRefused": ["A", "AA==", "AB", "AAB", "+/8", "-_8=", "AA AA", "AA\n", "ÄÄ", "AAAAA", "//8", "="],
        "integers": ["0", "1", "-1", "10", "18446744073709551615", "-170141183460469231731687303715884105728"],
        "integersRefused": _NOT_INTEGERS,
    }
