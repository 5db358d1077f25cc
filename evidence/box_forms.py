"""What boxes and their utility say to each other, as JSON: bytes as base64url, integers as decimal strings.

{"instruction": {... fields of the form ...}, "signature": "...", "body": "..."}
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from evidence.abi import FixedBytes, Struct, layout
from evidence.boxes import body_hash
from evidence.canonical import CanonicalError, decode_bytes, decode_int, encode_bytes, encode_int

F = TypeVar("F", bound=Struct)


@dataclass(frozen=True, slots=True)
class Signed(Generic[F]):
    """A form with a signature over its digest, and the body whose SHA-256 stands in the form."""

    said: F
    signature: bytes
    body: bytes

    def as_json(self, name: str) -> dict[str, Any]:
        return {name: members(self.said), "signature": encode_bytes(self.signature), "body": encode_bytes(self.body)}


def read_signed(form: type[F], name: str, value: object) -> Signed[F]:
    """Raises `ValueError` that says what is wrong. Whether the signature fits is not looked at."""
    if not isinstance(value, dict) or set(value) != {name, "signature", "body"}:
        raise CanonicalError(f"an object with {name}, signature and body is expected")
    said = read_members(form, value[name])
    body = decode_bytes(value["body"])
    if getattr(said, "body", None) != body_hash(body):
        raise CanonicalError(f"the body is not the one that the {name} names")
    return Signed(said, decode_bytes(value["signature"]), body)


def members(said: Struct) -> dict[str, str]:
    shape = layout(type(said))
    return {
        name: encode_bytes(value) if isinstance(value, bytes) else encode_int(value)
        for name, value in zip(shape.names, shape.values(said), strict=True)
    }


def read_members(form: type[F], value: object) -> F:
    """Raises `ValueError`."""
    shape = layout(form)
    if not isinstance(value, dict) or set(value) != set(shape.names):
        raise CanonicalError(f"an object with exactly these members is expected: {', '.join(shape.names)}")
    return form(
        *(
            decode_bytes(value[name]) if isinstance(kind, FixedBytes) else decode_int(value[name])
            for name, kind in zip(shape.names, shape.types, strict=True)
        )
    )
