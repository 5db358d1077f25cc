"""What the ledger's addresses take and give, for the API's documentation."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from apps.ledger.catalogue import KIND_OF, TABLES
from apps.web.schema import BYTES, INTEGER, TEXT, a_list, an_object, problems

_ANYTHING = {"type": "object", "additionalProperties": True}

_KIND = {"type": "string", "enum": list(KIND_OF)}
_MEMBERS = {
    "kind": _KIND,
    "nonce": BYTES,
    "fields": {**_ANYTHING, "description": "the members of the kind, as /ledger/kinds lists them"},
    "after": {**BYTES, "description": "the id of a command that must have been applied before"},
    "valid_until": {**INTEGER, "description": "UTC seconds, 0 for no end"},
    "signatures": a_list(an_object(key=BYTES, signature=BYTES)),
}
COMMAND = an_object(("after", "valid_until", "signatures"), **_MEMBERS)
UNSIGNED = an_object(("nonce", "after", "valid_until"), **{k: v for k, v in _MEMBERS.items() if k != "signatures"})
SENT = {"oneOf": [an_object(envelope=BYTES), COMMAND]}
ACCEPTED = an_object(id=BYTES, outcome={"type": "string", "format": "uri"})
STANDING = an_object(
    ("entry", "time", "code", "rule", "reason"),
    id=BYTES,
    kind=_KIND,
    ledger=TEXT,
    state={"type": "string", "enum": ["queued", "sent", "confirmed", "rejected"]},
    entry=INTEGER,
    time={**INTEGER, "description": "the ledger's, in UTC seconds"},
    code=INTEGER,
    rule={**TEXT, "description": "the name of the code"},
    reason=TEXT,
)
_MEMBER = an_object(name=TEXT, type=TEXT)
KINDS = an_object(
    kinds=a_list(
        an_object(
            ("reason",),
            kind=INTEGER,
            name=TEXT,
            description=TEXT,
            fields=a_list(_MEMBER),
            signed_by={**a_list(TEXT), "description": "the fields that name those who sign, in order"},
            needs_operator={"type": "boolean"},
            taken={"type": "boolean", "description": "whether it can be sent here"},
            reason={**TEXT, "description": "why it cannot"},
            eip712=TEXT,
        )
    ),
    codes=a_list(an_object(code=INTEGER, name=TEXT)),
    tables=a_list(an_object(name=TEXT, number=INTEGER, description=TEXT, ids=a_list(TEXT), fields=a_list(_MEMBER))),
)
TYPED_DATA = an_object(
    id=BYTES,
    command=COMMAND,
    typed_data={**_ANYTHING, "description": "the argument of eth_signTypedData_v4"},
    digest={**BYTES, "description": "what the wallet's signature is over"},
)
RECORD = an_object(table={"type": "string", "enum": list(TABLES)}, key=BYTES, value=BYTES, record=_ANYTHING)
EVENT = an_object(
    ("command", "origin"),
    position=INTEGER,
    id=BYTES,
    kind=TEXT,
    code=INTEGER,
    rule=TEXT,
    time=INTEGER,
    transaction=BYTES,
    envelope=BYTES,
    origin={**BYTES, "description": "the ledger that it was taken over from, left out for what took place on this one"},
    command={**COMMAND, "description": "the envelope's content, left out for bytes that are no command"},
)
EVENTS = an_object(("next",), events=a_list(EVENT), next={"type": "string", "format": "uri"})
PROOF = {**_ANYTHING, "description": "as the section `ledger` of an evidence bundle"}


def answers(status: int, body: dict[str, Any], *refusals: int) -> dict[Any, Any]:
    """An answer as JSON, and the statuses that come as problem documents."""
    return {(status, "application/json"): body, **problems(*refusals, 429, 503)}


LEDGER = OpenApiParameter("ledger", OpenApiTypes.STR, description="a ledger of this installation, else the default one")
AFTER = OpenApiParameter("after", OpenApiTypes.STR, description="the position of the last event that is known")
