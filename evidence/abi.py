"""The standard ABI encoding of a Solidity tuple, for the few types that a ledger record may hold.

A record is a frozen dataclass that inherits `Struct` and annotates its fields with the types below. Values out of range
fail when the record is made; bytes that do not re-encode to themselves are refused when it is read.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self, get_type_hints

WORD = 32


class EncodingError(ValueError):
    """A value does not fit its type, or bytes are not the canonical encoding of any value."""


def _word(data: memoryview, at: int) -> memoryview:
    if at < 0 or at + WORD > len(data):
        raise EncodingError("the encoding ends too early")
    return data[at : at + WORD]


@dataclass(frozen=True)
class Integer:
    bits: int
    signed: bool
    dynamic: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @cached_property
    def bounds(self) -> tuple[int, int]:
        return (-(1 << self.bits - 1), 1 << self.bits - 1) if self.signed else (0, 1 << self.bits)

    def check(self, value: Any) -> None:
        low, high = self.bounds
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value < high:
            raise EncodingError(f"{value!r} is not a {self.name}")

    def encode(self, value: int) -> bytes:
        return value.to_bytes(WORD, "big", signed=self.signed)

    def size(self, value: Any) -> int:
        return WORD

    def decode(self, data: memoryview, at: int) -> int:
        return int.from_bytes(_word(data, at), "big", signed=self.signed)


@dataclass(frozen=True)
class FixedBytes:
    dynamic: ClassVar[bool] = False
    name: ClassVar[str] = "bytes32"

    def check(self, value: Any) -> None:
        if type(value) is not bytes or len(value) != WORD:
            raise EncodingError(f"{value!r} is not 32 bytes")

    def encode(self, value: bytes) -> bytes:
        return value

    def size(self, value: Any) -> int:
        return WORD

    def decode(self, data: memoryview, at: int) -> bytes:
        return bytes(_word(data, at))


@dataclass(frozen=True)
class DynamicBytes:
    """Bytes of any length; only envelopes and batches hold them, the fields of a command do not."""

    dynamic: ClassVar[bool] = True
    name: ClassVar[str] = "bytes"

    def check(self, value: Any) -> None:
        if type(value) is not bytes:
            raise EncodingError(f"{value!r} is not bytes")

    def encode(self, value: bytes) -> bytes:
        return len(value).to_bytes(WORD, "big") + value + bytes(-len(value) % WORD)

    def decode(self, data: memoryview, at: int) -> bytes:
        length = int.from_bytes(_word(data, at), "big")
        if at + WORD + length > len(data):
            raise EncodingError("the encoding ends too early")
        return bytes(data[at + WORD : at + WORD + length])

    def size(self, value: Any) -> int:
        return WORD + len(value) + -len(value) % WORD


@dataclass(frozen=True)
class ListOf:
    item: "Type"
    most: int
    dynamic: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return f"{self.item.name}[]"

    def check(self, value: Any) -> None:
        if type(value) is not tuple or len(value) > self.most:
            raise EncodingError(f"not a tuple of at most {self.most}")
        for item in value:
            self.item.check(item)

    def encode(self, value: tuple[Any, ...]) -> bytes:
        return len(value).to_bytes(WORD, "big") + encode_values((self.item,) * len(value), value)

    def decode(self, data: memoryview, at: int) -> tuple[Any, ...]:
        count = int.from_bytes(_word(data, at), "big")
        if count > self.most:
            raise EncodingError(f"a list of {count}, at most {self.most} are allowed")
        return decode_values((self.item,) * count, data[at + WORD :])

    def size(self, value: Any) -> int:
        heads = WORD * (1 + len(value))
        return heads + sum(self.item.size(item) for item in value) if self.item.dynamic else heads


Type = Integer | FixedBytes | DynamicBytes | ListOf


def encode_values(types: tuple[Type, ...], values: tuple[Any, ...]) -> bytes:
    """Head and tail encoding of `values`, which must already have been checked against `types`."""
    head, tail = bytearray(), bytearray()
    for kind, value in zip(types, values, strict=True):
        encoded = kind.encode(value)
        if kind.dynamic:
            head += (WORD * len(types) + len(tail)).to_bytes(WORD, "big")
            tail += encoded
        else:
            head += encoded
    return bytes(head + tail)


def decode_values(types: tuple[Type, ...], data: memoryview) -> tuple[Any, ...]:
    """Tails must follow each other without gap or overlap, so that no small input grows large."""
    values = []
    tail = WORD * len(types)
    for index, kind in enumerate(types):
        at = index * WORD
        if kind.dynamic:
            if int.from_bytes(_word(data, at), "big") != tail:
                raise EncodingError("a tail is not where the canonical encoding has it")
            at = tail
        value = kind.decode(data, at)
        values.append(value)
        if kind.dynamic:
            tail += kind.size(value)
    return tuple(values)


_U64, _U128 = Integer(64, False), Integer(128, False)
U8 = Annotated[int, Integer(8, False)]
U32 = Annotated[int, Integer(32, False)]
U64 = Annotated[int, _U64]
U128 = Annotated[int, _U128]
I64 = Annotated[int, Integer(64, True)]
I128 = Annotated[int, Integer(128, True)]
Bytes32 = Annotated[bytes, FixedBytes()]
Bytes32s = Annotated[tuple[bytes, ...], ListOf(FixedBytes(), 64)]
U64s = Annotated[tuple[int, ...], ListOf(_U64, 64)]
U128s = Annotated[tuple[int, ...], ListOf(_U128, 64)]
Bytes = Annotated[bytes, DynamicBytes()]


@dataclass(frozen=True)
class Layout:
    """The names and types of a record's fields, in the order of the encoding."""

    names: tuple[str, ...]
    types: tuple[Type, ...]
    values: Callable[[Any], tuple[Any, ...]]
    is_static: bool


_LAYOUTS: dict[type[Any], Layout] = {}


def layout(record: type[Any]) -> Layout:
    found = _LAYOUTS.get(record)
    if found is None:
        hints = get_type_hints(record, include_extras=True)
        names = tuple(field.name for field in fields(record))
        types = tuple(hints[name].__metadata__[0] for name in names)
        found = _LAYOUTS[record] = Layout(names, types, _reader(names), not any(kind.dynamic for kind in types))
    return found


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Reads all fields of a record at once; `attrgetter` gives a tuple from two names on."""
    return attrgetter(*names) if len(names) > 1 else lambda record: tuple(getattr(record, name) for name in names)


class Struct:
    """A record of typed fields. Subclasses are frozen dataclasses."""

    __slots__ = ()

    def __post_init__(self) -> None:
        shape = layout(type(self))
        for name, kind, value in zip(shape.names, shape.types, shape.values(self), strict=True):
            try:
                kind.check(value)
            except EncodingError as error:
                raise EncodingError(f"{type(self).__name__}.{name}: {error}") from None

    def encode(self) -> bytes:
        shape = layout(type(self))
        values = shape.values(self)
        if shape.is_static:
            return b"".join([kind.encode(value) for kind, value in zip(shape.types, values, strict=True)])
        return encode_values(shape.types, values)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises `EncodingError` unless `data` is exactly what `encode` gives for some record of this type."""
        shape = layout(cls)
        record = cls(*decode_values(shape.types, memoryview(data)))
        # A static word in range has one encoding; only heads and tails can be laid out in several ways.
        if len(data) != WORD * len(shape.types) if shape.is_static else record.encode() != data:
            raise EncodingError(f"{cls.__name__}: not the canonical encoding")
        return record
