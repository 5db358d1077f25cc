import hashlib
from typing import Any

import pytest

from evidence.hashing import sha256, tagged
from tests.vectors.read import raw, vectors


@pytest.mark.parametrize("vector", vectors("encoding")["taggedHash"])
def test_tagged_hash_is_sha256_after_the_hash_of_the_tag(vector: Any) -> None:
    prefix = hashlib.sha256(vector["tag"].encode()).digest()
    assert raw(vector["digest"]) == hashlib.sha256(prefix + raw(vector["content"])).digest()


def test_plain_sha256_of_the_standard() -> None:
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_tags_are_ascii() -> None:
    with pytest.raises(UnicodeEncodeError):
        tagged("em/größe/1", b"")
