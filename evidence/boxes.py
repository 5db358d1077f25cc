"""What a box beside the meter and its utility say to each other: enrolment with a one-time code, and instructions.

The box opens every connection itself. Bodies are bytes of JSON; only their SHA-256 is signed, so that a form of a body
can grow without a new form here.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from enum import IntEnum

from evidence.abi import U8, U32, U64, Bytes32, Struct
from evidence.hashing import sha256, tagged
from evidence.keys import PublicKey

# Crockford's base 32: no I, L, O and U, so that a code survives being read out.
CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 16  # 80 bits
_MISREAD = str.maketrans("OIL", "011")


class InstructionKind(IntEnum):
    CONFIGURE = 1
    SCHEDULE = 2
    OUTPUT = 3
    REREAD = 4
    RESTART = 5
    UPDATE = 6
    ROTATE_KEY = 7


class AnswerState(IntEnum):
    """What became of an instruction. Refused: never begun. Failed: begun, and the box is as it was before."""

    DONE = 1
    REFUSED = 2
    FAILED = 3


def new_code() -> str:
    """A one-time enrolment code."""
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


def read_code(text: str) -> str:
    """A code as somebody typed it, in its one form. Raises ValueError."""
    code = re.sub(r"[\s-]", "", text.upper()).translate(_MISREAD)
    if len(code) != CODE_LENGTH or not set(code) <= set(CODE_ALPHABET):
        raise ValueError(f"an enrolment code has {CODE_LENGTH} letters and digits")
    return code


def shown_code(code: str) -> str:
    """A code in groups of four, as people read it."""
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4))


def code_id(code: str) -> bytes:
    """What names a code without telling it."""
    return tagged("em/enrolment-code/1", code.encode())


def code_key(code: str) -> bytes:
    """What both sides authenticate with who know the code."""
    return tagged("em/enrolment-key/1", code.encode())


@dataclass(frozen=True, slots=True)
class Enrolment(Struct):
    """A box asks to be enrolled. The new key signs the digest, and `mac` shows that the sender knows the code."""

    code: Bytes32
    algorithm: U8
    x: Bytes32
    y: Bytes32
    body: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/enrolment/1", self.encode())

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.algorithm, self.x, self.y)


@dataclass(frozen=True, slots=True)
class EnrolmentAnswer(Struct):
    """What the utility answers to the enrolment with digest `request`, with a `mac` over the digest."""

    code: Bytes32
    request: Bytes32
    body: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/enrolment-answer/1", self.encode())


@dataclass(frozen=True, slots=True)
class Instruction(Struct):
    """What the utility's key `issuer` tells a device. Sequences rise; instants in UTC seconds, `until` excluded."""

    device: Bytes32
    issuer: Bytes32
    sequence: U64
    kind: U32
    since: U64
    until: U64
    body: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/instruction/1", self.encode())


@dataclass(frozen=True, slots=True)
class InstructionAnswer(Struct):
    """What the device did with the instruction whose digest is `instruction`, signed with its key."""

    device: Bytes32
    key: Bytes32
    sequence: U64
    instruction: Bytes32
    state: U8
    at: U64
    body: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/instruction-answer/1", self.encode())


@dataclass(frozen=True, slots=True)
class ChannelPoll(Struct):
    """A device asks for instructions after `sequence`. `at` is its clock in milliseconds and rises with every poll."""

    device: Bytes32
    key: Bytes32
    sequence: U64
    at: U64

    @property
    def digest(self) -> bytes:
        return tagged("em/channel-poll/1", self.encode())


@dataclass(frozen=True, slots=True)
class Document(Struct):
    """A device sends a document whose bytes have this SHA-256: that says who sent it, its readings stay unsigned."""

    device: Bytes32
    key: Bytes32
    body: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/device-document/1", self.encode())


@dataclass(frozen=True, slots=True)
class BoxStatus(Struct):
    """What a device says about itself. Sequences rise; `body` is the SHA-256 of canonical JSON."""

    device: Bytes32
    key: Bytes32
    sequence: U64
    body: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/box-status/1", self.encode())


@dataclass(frozen=True, slots=True)
class Release(Struct):
    """A version of the box's program: an archive of `size` bytes with SHA-256 `archive`, signed with a release key."""

    major: U32
    minor: U32
    patch: U32
    size: U64
    archive: Bytes32

    @property
    def digest(self) -> bytes:
        return tagged("em/agent-release/1", self.encode())


def text_digest(text: bytes) -> bytes:
    """What a device signs for whoever asks it on the spot: it can be taken for nothing else that it signs."""
    return tagged("em/device-text/1", text)


def body_hash(body: bytes) -> bytes:
    return sha256(body)


def mac(key: bytes, digest: bytes) -> bytes:
    """HMAC-SHA-256. Compare with `hmac.compare_digest`."""
    return hmac.digest(key, digest, "sha256")
