"""32-byte identifiers in the database."""

import secrets
from typing import TYPE_CHECKING, Any

from django.db import models


def random_id() -> bytes:
    return secrets.token_bytes(32)


if TYPE_CHECKING:
    _BinaryField = models.BinaryField[Any, Any]
else:
    _BinaryField = models.BinaryField


class IdField(_BinaryField):
    """32 bytes: a random id assigned once, a digest, or half a key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 32
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_length"]
        return name, path, args, kwargs

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> bytes | None:
        return None if value is None else bytes(value)
