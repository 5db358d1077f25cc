"""Protocol Buffers, read strictly: what Fabric's own parser could read in another way is refused.

Fields that nobody asks for are passed over, since signatures cover the bytes they stand in.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
LONGEST_VARINT = 10


class FabricError(ValueError):
    """A message is malformed, or does not prove what it should."""


class Field(NamedTuple):
    """`start` is where it begins in the message, `kind` its wire type."""

    start: int
    number: int
    kind: int
    value: int | bytes


def fields(content: bytes) -> Iterator[Field]:
    """The fields of a message in their order. Raises `FabricError`."""
    at = 0
    while at < len(content):
        start = at
        tag, at = _varint(content, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise FabricError("a field has no number")
        if kind == VARINT:
            value, at = _varint(content, at)
            yield Field(start, number, kind, value)
            continue
        if kind == LENGTH:
            size, at = _varint(content, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise FabricError(f"a field has the wire type {kind}")
        if at + size > len(content):
            raise FabricError("a message ends too early")
        yield Field(start, number, kind, content[at : at + size])
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number in its shortest form, and where it ends."""
    value = 0
    for index, byte in enumerate(content[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 64 or (index and not byte):
                break
            return value, at + index + 1
    raise FabricError("a number is not in its one form")


class Message:
    """A message by the numbers of its fields. `what` names it in errors."""

    def __init__(self, content: bytes, what: str) -> None:
        self._what = what
        self._fields: dict[int, list[Field]] = defaultdict(list)
        try:
            for field in fields(content):
                self._fields[field.number].append(field)
        except FabricError as error:
            raise FabricError(f"the {what}: {error}") from None

    def each(self, number: int) -> list[bytes]:
        """The values of a repeated field."""
        return [self._octets(field) for field in self._fields[number]]

    def octets(self, number: int) -> bytes:
        """The value of a field, empty where it is missing."""
        found = self.each(number)
        if len(found) > 1:
            raise FabricError(f"the {self._what} has field {number} twice")
        return found[0] if found else b""

    def text(self, number: int) -> str:
        try:
            return self.octets(number).decode()
        except UnicodeDecodeError:
            raise FabricError(f"field {number} of the {self._what} is no text") from None

    def number(self, number: int) -> int:
        """The value of an unsigned field, 0 where it is missing."""
        found = [field.value for field in self._fields[number]]
        if len(found) > 1 or not all(isinstance(value, int) for value in found):
            raise FabricError(f"field {number} of the {self._what} is not one number")
        return sum(value for value in found if isinstance(value, int))

    def message(self, number: int, what: str) -> "Message":
        return Message(self.octets(number), what)

    def _octets(self, field: Field) -> bytes:
        if field.kind != LENGTH or isinstance(field.value, int):
            raise FabricError(f"field {field.number} of the {self._what} is of another type")
        return field.value
