"""Reads the committed vectors back, for tests that check them against something else than the code that made them."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def vectors(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))


def raw(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError(f"{text!r} is not hex after 0x")
    return bytes.fromhex(text[2:])


def value(written: Any) -> Any:
    """A number or bytes, or a tuple of them, as written in a vector."""
    if isinstance(written, list):
        return tuple(value(item) for item in written)
    return raw(written) if written.startswith("0x") else int(written)
