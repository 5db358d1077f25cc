from typing import Any

import pytest
import rfc8785

from evidence.canonical import CanonicalError, loads
from evidence.contents import contents, document_digest
from tests.evidence.by_hand import tagged
from tests.vectors.read import raw, vectors

VECTORS = vectors("contents")


@pytest.mark.parametrize("vector", VECTORS["contents"], ids=lambda vector: vector["digest"][:10])
def test_contents_by_hand(vector: Any) -> None:
    members = loads(raw(vector["json"]))
    assert raw(vector["json"]) == rfc8785.dumps(members)
    assert raw(vector["digest"]) == tagged(b"em/contents/1", raw(vector["salt"]) + raw(vector["json"]))
    assert contents(raw(vector["salt"]), dict(reversed(members.items()))) == raw(vector["digest"])


@pytest.mark.parametrize("vector", VECTORS["documents"], ids=lambda vector: vector["digest"][:10])
def test_document_by_hand(vector: Any) -> None:
    digest = tagged(b"em/document/1", raw(vector["salt"]) + raw(vector["document"]))
    assert raw(vector["digest"]) == digest == document_digest(raw(vector["salt"]), raw(vector["document"]))


def test_salts_are_32_bytes() -> None:
    assert {len(raw(vector["salt"])) for group in VECTORS.values() for vector in group} == {32}


def test_contents_without_a_canonical_form_are_refused() -> None:
    with pytest.raises(CanonicalError):
        contents(bytes(32), {"power": 9_900})
