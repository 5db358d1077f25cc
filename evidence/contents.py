"""Salted hashes of what stays off the ledger."""

from collections.abc import Mapping

from evidence import canonical
from evidence.hashing import tagged


def contents(salt: bytes, members: Mapping[str, object]) -> bytes:
    """The digest under which a ledger knows a record's personal or technical details."""
    return tagged("em/contents/1", salt + canonical.dumps(dict(members)))


def document_digest(salt: bytes, document: bytes) -> bytes:
    """The digest under which a ledger knows a document, such as an invoice, given as canonical JSON."""
    return tagged("em/document/1", salt + document)
