import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from evidence.canonical import CanonicalError, decode_bytes, decode_int, dumps, encode_bytes, encode_int, loads
from tests.vectors.read import raw, vectors

VECTORS = vectors("canonical")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.text(st.characters(max_codepoint=127), max_size=4)
documents = st.recursive(
    st.booleans() | text, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
)


@given(documents)
def test_canonical_text_is_that_of_rfc_8785(document: Any) -> None:
    canonical = dumps(document)
    assert canonical == rfc8785.dumps(document)
    assert loads(canonical) == document


@pytest.mark.parametrize("vector", VECTORS["json"])
def test_canonical_text_is_read_and_written_alike(vector: str) -> None:
    assert rfc8785.dumps(loads(raw(vector))) == raw(vector)


@pytest.mark.parametrize("vector", VECTORS["jsonRefused"], ids=lambda vector: vector["why"])
def test_other_text_is_refused(vector: Any) -> None:
    with pytest.raises(CanonicalError):
        loads(raw(vector["text"]))


@contextmanager
def recursion_limit(limit: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("depth", [17, 2_000])
def test_deep_nesting_is_refused_whatever_the_recursion_limit(depth: int) -> None:
    with recursion_limit(100_000), pytest.raises(CanonicalError, match="nested deeper than 16 levels"):
        loads(b"[" * depth + b"]" * depth)


def test_depth_cannot_be_hidden_by_another_encoding() -> None:
    hidden = '["\u2220",' + "[" * 100 + "]" * 100 + ',"",""]'
    with pytest.raises(CanonicalError, match=r"nested deeper|not JSON"):
        loads(hidden.encode("utf-16-le"))


def test_a_string_without_an_end_is_refused_at_once() -> None:
    began = time.perf_counter()
    with pytest.raises(CanonicalError):
        loads(b'"' + b'\\"' * 4_000)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize("document", [None, 1, 1.5, (), b"", {"a": None}, [0], {1: ""}, {"é": ""}])
def test_values_without_a_canonical_form_are_refused(document: object) -> None:
    with pytest.raises(CanonicalError):
        dumps(document)


@given(documents, st.data())
def test_a_changed_byte_gives_another_document_or_is_refused(document: Any, data: st.DataObject) -> None:
    good = dumps(document)
    at, flip = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(1, 255))
    changed = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
    try:
        found = loads(changed)
    except CanonicalError:
        return
    assert found != document
    assert rfc8785.dumps(found) == changed


@pytest.mark.parametrize("vector", VECTORS["base64url"])
def test_base64url(vector: Any) -> None:
    assert encode_bytes(raw(vector["bytes"])) == vector["text"]
    assert decode_bytes(vector["text"]) == raw(vector["bytes"])


@pytest.mark.parametrize("wrong", [*VECTORS["base64urlRefused"], None, 1, b"AA"])
def test_other_spellings_of_bytes_are_refused(wrong: object) -> None:
    with pytest.raises(CanonicalError):
        decode_bytes(wrong)


@given(st.binary(max_size=40), st.data())
def test_bytes_have_one_spelling(content: bytes, data: st.DataObject) -> None:
    spelled = encode_bytes(content)
    assert decode_bytes(spelled) == content
    changed = list(spelled + "A")
    changed[data.draw(st.integers(0, len(spelled)))] = data.draw(st.characters(max_codepoint=127))
    try:
        found = decode_bytes("".join(changed))
    except CanonicalError:
        return
    assert found != content


@pytest.mark.parametrize("written", VECTORS["integers"])
def test_integers(written: str) -> None:
    assert encode_int(decode_int(written)) == written


@pytest.mark.parametrize("wrong", [*VECTORS["integersRefused"], None, 1, True, b"1"])
def test_other_spellings_of_integers_are_refused(wrong: object) -> None:
    with pytest.raises(CanonicalError):
        decode_int(wrong)
