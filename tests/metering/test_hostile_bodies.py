"""Bodies that somebody sends to do harm: refused, before they cost more than a good one."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from apps.metering.api import MOST_BYTES
from evidence.canonical import encode_bytes
from tests.metering.head_end import HeadEnd, make_head_end, post, stored

pytestmark = pytest.mark.django_db

MEGABYTE = 1_000_000
MOST_MEMORY = 40 * MEGABYTE


@pytest.fixture
def head_end(db: None) -> HeadEnd:
    return make_head_end()


@contextmanager
def bounded_memory() -> Iterator[None]:
    """A megabyte of JSON may be held as objects, but not much more."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY, f"{peak / MEGABYTE:.0f} MB"


def keys(count: int) -> bytes:
    return b"{" + b",".join(b'"%x":1' % number for number in range(count)) + b"}"


BODIES = {
    "five megabytes": (b'{"statement":"' + b"x" * 5 * MEGABYTE + b'"}', 413),
    "a million keys": (keys(1_000_000), 413),
    "as many keys as fit": (keys(100_000), 400),
    "lists in lists": (b"[" * (MOST_BYTES - 1), 400),
    "objects in objects": (b'{"a":' * 150_000, 400),
    "one long number": (b'{"statement":' + b"9" * (MOST_BYTES - 100) + b"}", 400),
    "quotes that never end": (b'{"' + b"\\" * (MOST_BYTES - 10), 400),
    "many small lists": (b"[" + b"[]," * 300_000 + b"[]]", 400),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_made_to_do_harm_is_refused_in_bounded_memory(head_end: HeadEnd, name: str) -> None:
    body, status = BODIES[name]
    with bounded_memory():
        response = post(body)
    assert response.status_code == status, response.content[:300]
    assert response["Content-Type"] == "application/problem+json"
    assert len(response.content) < 2_000
    assert stored() == (0, 0)


def test_another_devices_batch_cannot_be_used_by_a_stranger(head_end: HeadEnd) -> None:
    """Neither under another name, nor with another key, nor a second time."""
    body = head_end.body()
    assert post(body).json()["status"] == "stored"
    assert post(body).json()["status"] == "known"
    for member in ("device", "key", "root"):
        forged = json.loads(body)
        forged["statement"][member] = encode_bytes(b"\x07" * 32)
        assert post(json.dumps(forged).encode()).status_code == 403, member
    assert stored() == (1, 96)
