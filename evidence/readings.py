"""Readings as a device signs them: salted leaves, the statement over their root, and the anchor's leaf."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from evidence import merkle
from evidence.abi import I64, U8, U32, U64, Bytes32, Struct
from evidence.hashing import tagged

_U8, _U32, _U64, _I64 = 1 << 8, 1 << 32, 1 << 64, 1 << 63


class Register(IntEnum):
    """What a reading counts. Energy of a slot; the sign is always that of the name.

    Settled are consumption and generation. The others are what the meter at the grid connection shows: active energy in
    both directions, and reactive energy in the quadrants of IEC 62053-23 (1 inductive import, 2 capacitive export,
    3 inductive export, 4 capacitive import).
    """

    CONSUMPTION = 1
    GENERATION = 2
    GRID_IMPORT = 3
    GRID_EXPORT = 4
    REACTIVE_1 = 5
    REACTIVE_2 = 6
    REACTIVE_3 = 7
    REACTIVE_4 = 8

    @property
    def unit(self) -> "Unit":
        return Unit.VARH if self >= Register.REACTIVE_1 else Unit.WH


class Quality(IntEnum):
    TRUE_VALUE = 1
    SUBSTITUTE = 2


class Unit(IntEnum):
    """What the readings of a statement are in, all of them."""

    WH = 1
    VARH = 2


class Grade(IntEnum):
    """How good the evidence for a reading is; a figure has the worst grade of what it was made from."""

    DEVICE_SIGNED = 1
    OPERATOR_SIGNED = 2
    SUBSTITUTE = 3


@dataclass(frozen=True, slots=True)
class LeafId(Struct):
    point: Bytes32
    register: U32
    slot: U64


@dataclass(frozen=True, slots=True)
class LeafValue(Struct):
    value: I64
    quality: U8


@dataclass(frozen=True, slots=True)
class Statement(Struct):
    """What a device says about a batch: `count` readings in [start, end) have this root. Instants in UTC seconds."""

    device: Bytes32
    key: Bytes32
    sequence: U64
    start: U64
    end: U64
    unit: U32
    count: U32
    root: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/batch-statement/1", self.encode())


@dataclass(frozen=True, slots=True)
class Reading:
    """One slot of one register of a metering point. `slot` is its start in UTC seconds, `value` in Wh or varh."""

    point: bytes
    register: int
    slot: int
    value: int
    quality: int = Quality.TRUE_VALUE

    def leaf(self, salt: bytes) -> bytes:
        return leaf(salt, self.leaf_id, LeafValue(self.value, self.quality).encode())

    @property
    def leaf_id(self) -> bytes:
        return LeafId(self.point, self.register, self.slot).encode()


def salt(secret: bytes, leaf_id: bytes) -> bytes:
    """The salt of a leaf under K, the secret of a metering point and its occupant."""
    return hmac.digest(secret, leaf_id, "sha256")


def leaf(salt: bytes, leaf_id: bytes, value: bytes) -> bytes:
    return tagged("em/leaf/1", salt + leaf_id + value)


def leaf_hashes(readings: Iterable[Reading], secrets: Mapping[bytes, bytes]) -> list[bytes]:
    """Leaf hashes (as the tree stores them) of `readings`, which must be in ascending order of their leaf ids.

    The same as `leaf` under `salt`, written out: a head-end makes billions of them. Raises ValueError for readings out
    of order or of range, KeyError for a point without a secret.
    """
    tag, sha = hashlib.sha256(b"em/leaf/1").digest(), hashlib.sha256
    hashes = []
    before = b""
    for reading in readings:
        point, register, slot, value = reading.point, reading.register, reading.slot, reading.value
        if not (0 <= slot < _U64 and 0 <= register < _U32 and -_I64 <= value < _I64 and 0 <= reading.quality < _U8):
            raise ValueError(f"out of range: {reading}")
        leaf_id = point + register.to_bytes(32) + slot.to_bytes(32)
        if len(leaf_id) != 96:
            raise ValueError(f"a point has 32 bytes: {reading}")
        if leaf_id <= before:
            raise ValueError("readings must be given once each, in ascending order of point, register and slot")
        before = leaf_id
        salt = hmac.digest(secrets[point], leaf_id, "sha256")
        content = value.to_bytes(32, signed=True) + reading.quality.to_bytes(32)
        hashes.append(sha(b"\0" + sha(tag + salt + leaf_id + content).digest()).digest())
    return hashes


def batch_root(readings: Iterable[Reading], secrets: Mapping[bytes, bytes]) -> bytes:
    """Root over `readings` with the secrets K by metering point."""
    return merkle.root_of_hashes(leaf_hashes(readings, secrets))


def anchor_leaf(digest: bytes, signature: bytes) -> bytes:
    """The content of an anchor's leaf: the statement's digest with the signature over it."""
    return tagged("em/anchor/1", digest + signature)
