"""Canonical JSON (RFC 8785) restricted to objects, lists, strings and booleans, and base64url with one spelling."""

import base64
import binascii
import json
import re
from typing import Any, NoReturn

DEEPEST = 16
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,77}")


class CanonicalError(ValueError):
    """The text is not canonical JSON of the restricted form."""


def dumps(value: object) -> bytes:
    """Canonical bytes of a value made of dict, list, str and bool. Keys are ASCII, so their order is the RFC's."""
    _check(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _check(value: object) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise CanonicalError(f"member name {key!r} is not ASCII text")
            _check(item)
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif not isinstance(value, str | bool):
        raise CanonicalError(f"{value!r} has no canonical form: integers travel as decimal strings, null is left out")


def _refuse(token: str) -> NoReturn:
    raise CanonicalError(f"the number {token} is not allowed: integers travel as decimal strings")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CanonicalError("a member is given twice")
    return members


def check_depth(text: str) -> None:
    """Call before a parser sees foreign JSON: how deep it may go must not depend on the interpreter's settings.

    Raises `CanonicalError` beyond `DEEPEST` levels.
    """
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            raise CanonicalError(f"nested deeper than {DEEPEST} levels")


def loads(text: bytes) -> Any:
    """Read canonical bytes; anything else, even other spacing, is refused."""
    try:
        # Decoded here, since the parser would guess UTF-16 and see other brackets than were counted.
        decoded = text.decode()
        check_depth(decoded)
        value = json.loads(
            decoded, object_pairs_hook=_members, parse_float=_refuse, parse_int=_refuse, parse_constant=_refuse
        )
        again = dumps(value)
    except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
        raise CanonicalError(f"not JSON: {error}") from None
    if again != text:
        raise CanonicalError("the text is not in canonical form")
    return value


def encode_bytes(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode_bytes(text: object) -> bytes:
    """Unpadded base64url. Spellings that decode alike but do not re-encode to themselves are refused."""
    if not isinstance(text, str):
        raise CanonicalError(f"{text!r} is not base64url text")
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CanonicalError(f"not base64url: {error}") from None
    if encode_bytes(content) != text:
        raise CanonicalError(f"{text!r} does not re-encode to itself")
    return content


def encode_int(number: int) -> str:
    return str(number)


def decode_int(text: object) -> int:
    """A decimal string without sign +, leading zeros or -0."""
    if not isinstance(text, str) or not _INTEGER.fullmatch(text):
        raise CanonicalError(f"{text!r} is not a decimal integer")
    return int(text)
