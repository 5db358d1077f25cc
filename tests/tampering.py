"""Change a bundle byte by byte and see whether the verifier notices. Imports nothing of Django: runs in processes."""

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from evidence import canonical
from evidence.canonical import decode_bytes, encode_bytes
from evidence.verify import VerificationError, verify

BYTES = {"salt", "hashes", "envelope", "allotment", "row", "path", "statement", "signature", "id", "value"}
NUMBERS = {"size", "index", "time"}
PROCESSES = 2

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Tampering:
    """How many changes were tried, and the places whose change nobody noticed or named."""

    tried: int
    unnoticed: list[tuple[Path, int]]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Paths and texts of all leaves of a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def _is_bytes(path: Path) -> bool:
    names = [part for part in path if isinstance(part, str)]
    return names[0] != "document" and names[-1] in BYTES


def changed_texts(path: Path, text: str) -> Iterator[str]:
    """The leaf with each byte of its decoded content changed in turn."""
    if _is_bytes(path):
        content = decode_bytes(text)
        for at in range(len(content)):
            yield encode_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif path[-1] in NUMBERS and path[0] != "document":
        yield str(int(text) + 1)
        if int(text):
            yield str(int(text) - 1)
    else:
        for at in range(len(text)):
            yield text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        yield text + "x"


def replaced(bundle: Any, path: Path, text: str) -> bytes:
    """The bundle with one leaf replaced; the rest is shared."""
    top = copy.copy(bundle)
    node = top
    for part in path[:-1]:
        node[part] = copy.copy(node[part])
        node = node[part]
    node[path[-1]] = text
    return canonical.dumps(top)


def is_refused(bundle: bytes, trust: bytes) -> bool:
    try:
        verify(bundle, trust)
    except VerificationError as error:
        return bool(error.place)
    return False


def _tamper_share(bundle: bytes, trust: bytes, share: int) -> Tampering:
    value = json.loads(bundle)
    tried, unnoticed = 0, []
    for path, text in list(leaves(value))[share::PROCESSES]:
        for at, changed in enumerate(changed_texts(path, text)):
            tried += 1
            if not is_refused(replaced(value, path, changed), trust):
                unnoticed.append((path, at))
    return Tampering(tried, unnoticed)


def tamper(bundle: bytes, trust: bytes) -> Tampering:
    """Change every byte of the decoded content of a bundle, in turn."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        shares = [pool.submit(_tamper_share, bundle, trust, share) for share in range(PROCESSES)]
        done = [share.result() for share in shares]
    return Tampering(sum(share.tried for share in done), [place for share in done for place in share.unnoticed])
