"""How a program shows who it is: `Authorization: Bearer em_...`."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.accounts.models import ApiClient
from apps.accounts.models.clients import PREFIX, token_hash

SCHEME = "Bearer"


class ApiClientAuthentication(BaseAuthentication):
    """The sender of a request is an `ApiClient`. A wrong token is a 401, another scheme is left to others."""

    def authenticate(self, request: Request) -> tuple[ApiClient, None] | None:
        scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != SCHEME:
            return None
        clients = ApiClient.objects.select_related("utility").filter(revoked_at=None)
        client = clients.filter(token_hash=token_hash(token)).first() if token.startswith(PREFIX) else None
        if client is None:
            raise AuthenticationFailed
        return client, None

    def authenticate_header(self, request: Request) -> str:
        return SCHEME
