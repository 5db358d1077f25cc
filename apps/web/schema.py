"""What addresses of the API take and give, in the words of OpenAPI."""

from typing import Any

from apps.web.problems import CONTENT_TYPE

BYTES = {"type": "string", "description": "unpadded base64url"}
INTEGER = {"type": "string", "pattern": "^(0|-?[1-9][0-9]*)$"}
TEXT = {"type": "string"}


def an_object(optional: tuple[str, ...] = (), **members: Any) -> dict[str, Any]:
    required = [name for name in members if name not in optional]
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


def a_list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


_PROBLEM = an_object(
    type=TEXT,
    title=TEXT,
    status={"type": "integer"},
    detail=TEXT,
    errors=a_list(an_object(field=TEXT, rule=TEXT, message=TEXT)),
)


def problems(*statuses: int) -> dict[Any, Any]:
    """Statuses that come as problem documents."""
    return {(status, CONTENT_TYPE): _PROBLEM for status in statuses}
