"""Bodies that are taken as they came."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework.parsers import BaseParser

from apps.web.problems import FieldError, ProblemError


class Bytes(BaseParser):
    """The bytes of a body, at most `most` of them."""

    media_type = "*/*"
    most: ClassVar[int]

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        content: bytes = stream.read(self.most + 1)
        if len(content) > self.most:
            message = _("At most %(bytes)s bytes are taken.") % {"bytes": self.most}
            errors = [FieldError("", "too_large", message)]
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, errors=errors)
        return content
