"""What the key process is asked and answers: one line of JSON each, bytes in hex.

    {"verb": "sign", "key": "<id>", "digest": "<32 bytes>"}    →  {"signature": "<64 bytes>"}
    {"verb": "promote", "key": "<id>"}                         →  {}
    {"verb": "sign", "key": "<id>", "digest": ""}              →  {"error": "refused", "message": "..."}

What stands under which verb: `VERBS` in `meter_agent.keys.process`.
"""

import json
from collections.abc import Mapping
from typing import Any

from evidence.keys import PublicKey
from meter_agent.keys.errors import KeyFault, KeyFileError, KeyRefused, KeyUnavailable

MOST_BYTES = 16_384
ERRORS: dict[str, type[KeyFault]] = {"file": KeyFileError, "refused": KeyRefused, "unavailable": KeyUnavailable}
_NAMES = {error: name for name, error in ERRORS.items()}


def encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        message = json.loads(line.decode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("is no object")
    return message


def error_message(error: KeyFault) -> dict[str, Any]:
    return {"error": _NAMES[type(error)], "message": str(error)}


def raise_error(message: Mapping[str, Any]) -> None:
    """The error in an answer, if there is one. Raises `KeyFault`."""
    if "error" in message:
        raise ERRORS.get(str(message["error"]), KeyRefused)(str(message.get("message")))


def encode_key(key: PublicKey) -> dict[str, Any]:
    return {"algorithm": int(key.algorithm), "x": key.x.hex(), "y": key.y.hex()}


def decode_key(content: Mapping[str, Any]) -> PublicKey:
    """Raises KeyError, TypeError or ValueError."""
    key = PublicKey(content["algorithm"], bytes.fromhex(content["x"]), bytes.fromhex(content["y"]))
    key.check_point()
    return key
