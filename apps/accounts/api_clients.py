"""How a program shows who it is: `Authorization: Bearer em_...`."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.accounts.models import ApiClient
from apps.accounts.models.clients import PREFIX, token_hash

SCHEME = "Bearer"


class ApiClientAuthentication(BaseAuthentication):
    """`request.auth` is the `ApiClient`; no person sends. A wrong token is a 401, other schemes are left to others."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiClient] | None:
        scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != SCHEME:
            return None
        clients = ApiClient.objects.select_related("utility").filter(revoked_at=None)
        client = clients.filter(token_hash=token_hash(token)).first() if token.startswith(PREFIX) else None
        if client is None:
            raise AuthenticationFailed
        return AnonymousUser(), client

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


class ApiClientScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API's documentation says it."""

    target_class = ApiClientAuthentication
    name = "apiClient"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer"}
